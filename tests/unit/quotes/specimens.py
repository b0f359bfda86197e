"""A product, answers and moments that tests of quotes share."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from insuretech.contracts.insurers import Offered
from insuretech.contracts.money import Money
from insuretech.contracts.products import CancellationRule, ProductDefinition, Term
from insuretech.contracts.tariffs import Corridor
from insuretech.contracts.text import Text
from insuretech.kit.ids import new_id
from insuretech.quotes.domain import Limits, LineStatus
from insuretech.quotes.ports import Line, Quote

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
TODAY = date(2026, 11, 22)
CORRIDOR = Corridor(edition="6007-U", min=Money(Decimal("4000.00")), max=Money(Decimal("9000.00")), factors=())
LIMITS = Limits(CORRIDOR.min, CORRIDOR.max, CORRIDOR.edition)

QUESTIONS: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "additionalProperties": False,
    "required": ["plate", "drivers", "use"],
    "properties": {
        "plate": {
            "type": "string",
            "maxLength": 20,
            "x-mask": "plate",
            "x-label": {"ru": "Госномер", "en": "Plate"},
        },
        "trailer": {"type": "boolean", "x-label": {"ru": "Прицеп", "en": "Trailer"}},
        "drivers": {
            "type": "array",
            "minItems": 1,
            "x-label": {"ru": "Водители", "en": "Drivers"},
            "x-item": {"ru": "Водитель", "en": "Driver"},
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["birth_date", "licence_since"],
                "properties": {
                    "birth_date": {
                        "type": "string",
                        "format": "date",
                        "x-label": {"ru": "Дата рождения", "en": "Date of birth"},
                    },
                    "licence_since": {
                        "type": "string",
                        "format": "date",
                        "x-label": {"ru": "Права с", "en": "Licensed since"},
                    },
                },
            },
        },
        "use": {
            "type": "object",
            "additionalProperties": False,
            "required": ["starts_on", "months"],
            "properties": {
                "starts_on": {
                    "type": "string",
                    "format": "date",
                    "x-label": {"ru": "Первый день", "en": "First day"},
                },
                "months": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": 12,
                    "x-label": {"ru": "Срок", "en": "Period"},
                    "x-options": {"12": {"ru": "Год", "en": "A year"}},
                },
            },
        },
    },
}


def product(
    *insurers: str, code: str = "osago", version: str = "1", questions: dict[str, Any] | None = None
) -> ProductDefinition:
    """A version of a product sold by these insurers."""
    return ProductDefinition(
        code=code,
        version=version,
        kind="compulsory",
        title=Text("ОСАГО", "OSAGO"),
        question_set=questions or QUESTIONS,
        term=Term(starts_on="/use/starts_on", months="/use/months"),
        insurers=insurers,
        consents=(),
        cancellation=CancellationRule(kind="cooling_off", ground=Text("", ""), source=""),
    )


def answers(**changes: Any) -> dict[str, Any]:
    """Answers nothing is wrong with, with some of them changed."""
    driver = {"birth_date": "1990-05-05", "licence_since": "2010-06-01"}
    starts_on = (TODAY + timedelta(days=4)).isoformat()
    good = {"plate": "А123ВС77", "drivers": [driver], "use": {"starts_on": starts_on, "months": 12}}
    return {**good, **changes}


def offered(amount: str = "5000.00", number: str = "N-1", ttl: timedelta = timedelta(hours=24)) -> Offered:
    """An offer an insurer may make."""
    return Offered(offer_number=number, premium=Money(Decimal(amount)), expires_at=NOW + ttl)


def quote(limits: Limits | None = LIMITS, secret: bytes = b"ciphertext", quote_id: UUID | None = None) -> Quote:
    """A quote that is being collected."""
    return Quote(
        id=quote_id or new_id(),
        owner="buyer:" + "0" * 64,
        product="osago",
        product_version="1",
        answers=secret,
        limits=limits,
        starts_on=date(2026, 11, 26),
        ends_on=date(2027, 11, 25),
        created_at=NOW,
        expires_at=NOW + timedelta(hours=24),
    )


def line(of: Quote, insurer: str, status: LineStatus = LineStatus.QUEUED, limit: float = 60) -> Line:
    """An insurer's line of a quote."""
    return Line(
        id=new_id(), quote_id=of.id, insurer=insurer, status=status, deadline=of.created_at + timedelta(seconds=limit)
    )
