"""An ordinary OSAGO case that tests vary, and the packaged tariff."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from insuretech.catalogue.osago.corridors import Corridors, load_corridors

ORDINARY: dict[str, Any] = {
    "vehicle": {"category": "B", "power_hp": "87", "purpose": "personal", "trailer": False},
    "owner": {"kind": "individual", "region": "Москва", "territory": "Москва"},
    "drivers": {
        "limited": True,
        "list": [{"birth_date": "1988-01-01", "licence_since": "2008-01-01", "kbm_class": "4"}],
    },
    "use": {"starts_on": "2026-03-10", "months": 12},
}

Answers = Callable[..., dict[str, Any]]


def varied(**changes: dict[str, Any] | None) -> dict[str, Any]:
    """The ordinary case with some answers changed; a value of None takes the answer away."""
    answers = deepcopy(ORDINARY)
    for group, values in changes.items():
        for name, value in (values or {}).items():
            if value is None:
                answers[group].pop(name, None)
            else:
                answers[group][name] = value
    return answers


@pytest.fixture(scope="session")
def ordinary() -> Answers:
    """Makes the ordinary case with changes."""
    return varied


@pytest.fixture(scope="session")
def corridors() -> Corridors:
    """The packaged tariff, read once."""
    return load_corridors()
