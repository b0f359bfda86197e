"""Good answers to every product's questions; dates are counted from today."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

Json = dict[str, Any]


def day(offset: int) -> str:
    """A day so many days from today, as the API writes it."""
    return (datetime.now(UTC) + timedelta(days=offset)).date().isoformat()


def osago() -> Json:
    """A car in Moscow with one driver."""
    return {
        "vehicle": {
            "plate": "К456МН199",
            "vin": "X9FLXXEEBLES67719",
            "category": "B",
            "make": "Lada",
            "model": "Vesta",
            "year": 2019,
            "power_hp": "87",
            "purpose": "personal",
            "trailer": False,
        },
        "owner": {"kind": "individual", "region": "Москва", "territory": "Москва"},
        "drivers": {
            "limited": True,
            "list": [{"birth_date": "1984-05-17", "licence_since": "2006-03-01", "kbm_class": "4"}],
        },
        "use": {"starts_on": day(5), "months": 12},
    }


def mortgage() -> Json:
    """Life and a flat for a bank."""
    return {
        "cover": {"risks": "life_property"},
        "loan": {"bank": "sber", "debt": "3500000", "contract_number": "12345/2026", "contract_date": "2024-02-15"},
        "borrower": {
            "birth_date": "1988-04-12",
            "sex": "female",
            "occupation": "office",
            "smoker": False,
            "serious_illness": False,
        },
        "property": {"kind": "flat", "year_built": 2012, "wooden": False, "gas": True},
        "starts_on": day(3),
    }


def travel() -> Json:
    """A week in Europe, with a child."""
    return {
        "trip": {"territory": "schengen", "starts_on": day(10), "ends_on": day(17), "purpose": "leisure"},
        "travellers": [{"birth_date": "1990-05-05"}, {"birth_date": "2015-09-01"}],
        "cover": {"sum_insured": "50000", "currency": "EUR", "activity": "none", "luggage": True},
    }


ANSWERS: dict[str, Callable[[], Json]] = {"osago": osago, "mortgage": mortgage, "travel": travel}
