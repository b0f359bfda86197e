"""How a behaviour bends what an insurer does; pure rules."""

from collections import Counter
from datetime import UTC, date, datetime
from decimal import Decimal
from importlib.resources import files

import pytest

from insuretech.connectors.directory import read_profiles
from insuretech.contracts.money import Money
from insuretech.kit.ids import new_id
from insuretech.sandbox.calls import masked
from insuretech.sandbox.domain import (
    Behaviour,
    OfferRecord,
    Priced,
    changed_price,
    chosen_outcome,
    rolled_failure,
    set_price,
)
from insuretech.sandbox.roster import load_roster

DAY = date(2026, 12, 1)
LEGAL = Priced(
    premium=Money(Decimal(5000)), floor=Money(Decimal(4000)), ceiling=Money(Decimal(8000)), starts_on=DAY, ends_on=DAY
)


def offer(premium: str, *, legal: bool = True) -> OfferRecord:
    """An offer at this premium."""
    now = datetime(2026, 11, 22, tzinfo=UTC)
    return OfferRecord(
        insurer="peremena",
        reference=new_id(),
        number="PER-1",
        product="osago",
        outcome="offer",
        reason="",
        premium=Decimal(premium),
        floor=Decimal(4000) if legal else None,
        ceiling=Decimal(8000) if legal else None,
        starts_on=DAY,
        ends_on=DAY,
        ready_at=now,
        expires_at=now,
    )


@pytest.mark.parametrize(
    ("behaviour", "premium"),
    [
        (Behaviour(), "5000.00"),
        (Behaviour(price_factor=1.1), "5500.00"),
        (Behaviour(price_factor=9), "8000.00"),
        (Behaviour(price_factor=0.1), "4000.00"),
        (Behaviour(outside_corridor=True), "8800.00"),
        (Behaviour(premium=Money(Decimal("12.34")), outside_corridor=True, price_factor=3), "12.34"),
    ],
)
def test_prices_stay_legal_unless_told_otherwise(behaviour: Behaviour, premium: str) -> None:
    """Otherwise a factor set for another product makes all OSAGO offers vanish."""
    assert set_price(behaviour, LEGAL) == Money(Decimal(premium))


@pytest.mark.parametrize(
    ("behaviour", "legal", "premium"),
    [
        (Behaviour(), True, "7777.77"),
        (Behaviour(confirm_change_percent=8.5), False, "8438.88"),
        (Behaviour(confirm_change_percent=8.5), True, "8000.00"),
        (Behaviour(confirm_change_percent=-60), True, "4000.00"),
        (Behaviour(confirm_change_percent=8.5, outside_corridor=True), True, "8438.88"),
    ],
)
def test_a_changed_price_is_a_legal_one(behaviour: Behaviour, legal: bool, premium: str) -> None:
    """Otherwise the sandbox asks for consent to a premium that the law forbids."""
    assert changed_price(behaviour, offer("7777.77", legal=legal)) == Money(Decimal(premium))


def test_a_mix_is_spread_as_weighted() -> None:
    """Otherwise a rehearsal with a tenth of refusals has none, or half."""
    behaviour = Behaviour(outcome={"offer": 9, "decline": 1})

    found = Counter(chosen_outcome(behaviour, new_id()) for _ in range(2000))

    assert set(found) == {"offer", "decline"}
    assert 120 < found["decline"] < 290


def test_failures_come_as_often_as_set() -> None:
    """Otherwise a flaky insurer is a dead one, or a good one."""
    assert rolled_failure(0, ("down",), lambda: 0.0) is None
    assert rolled_failure(1, ("down", "hang"), lambda: 0.99) == "hang"
    assert rolled_failure(0.3, ("down",), lambda: 0.3) is None
    assert rolled_failure(0.3, ("down",), lambda: 0.29) == "down"


def test_only_what_is_known_to_be_harmless_is_shown() -> None:
    """Otherwise a new question's answers show up on a page for everyone."""
    shown = masked({"region": "Москва", "months": 12, "who": ["Анна", {"category": "B", "plate": "А1"}], "left": None})

    assert shown == {"region": "Москва", "months": 12, "who": ["•••", {"category": "B", "plate": "•••"}], "left": None}


def test_the_roster_and_the_directory_are_of_one_mind() -> None:
    """Otherwise an insurer on the page has no name there, or is asked and does not exist."""
    directory = files("insuretech.connectors") / "data" / "insurers.yaml"

    profiles = read_profiles(directory.read_text("utf-8"), "insurers.yaml", 60)

    assert {code: profile.name.ru for code, profile in profiles.items()} == {
        code: character.name for code, character in load_roster().items()
    }
    assert len({character.prefix for character in load_roster().values()}) == len(profiles)
