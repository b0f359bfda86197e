"""What holds for every case, whatever the answers."""

from collections.abc import Callable
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from math import prod
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from insuretech.catalogue.osago.corridors import Corridors
from insuretech.contracts.dates import plus_months
from insuretech.contracts.tariffs import Corridor, TariffUnavailable
from insuretech.kit.problems import Invalid

Answers = Callable[..., dict[str, Any]]
CLASSES = ["M", *(str(number) for number in range(14))]
FIRST, LAST = date(2022, 9, 13), date(2027, 12, 31)

days = st.dates(FIRST, LAST)


@st.composite
def people(draw: st.DrawFn) -> dict[str, str]:
    """A driver of any age whose licence may be as old as can be, or a little older than the contract allows."""
    born = draw(st.dates(date(1930, 1, 1), date(2005, 12, 31)))
    licensed = draw(st.dates(plus_months(born, 16 * 12), date(2023, 1, 1)))
    driver = {"birth_date": born.isoformat(), "licence_since": licensed.isoformat()}
    if draw(st.booleans()):
        driver["kbm_class"] = draw(st.sampled_from(CLASSES))
    return driver


cases = st.fixed_dictionaries(
    {
        "vehicle": st.fixed_dictionaries(
            {
                "category": st.sampled_from(["A", "M", "B", "BE", "C", "CE", "D", "D1", "Tb", "Tm", "special"]),
                "power_hp": st.integers(1, 1000).map(str),
                "max_mass_kg": st.integers(1000, 40000),
                "purpose": st.sampled_from(["personal", "taxi", "regular_route", "other"]),
                "registration": st.sampled_from(["russia", "russia", "foreign", "transit"]),
            }
        ),
        "owner": st.fixed_dictionaries(
            {
                "kind": st.sampled_from(["individual", "sole_proprietor", "legal_entity"]),
                "region": st.sampled_from(
                    ["Москва", "Московская область", "Новосибирская область", "Иркутская область"]
                ),
                "territory": st.sampled_from(["Москва", "Новосибирск", "Бердск", "Иркутск", "прочие"]),
            }
        ),
        "drivers": st.fixed_dictionaries(
            {"limited": st.booleans(), "list": st.lists(people(), min_size=1, max_size=3)}
        ),
        "use": st.one_of(
            st.fixed_dictionaries({"months": st.integers(1, 12)}), st.fixed_dictionaries({"days": st.integers(1, 88)})
        ),
    }
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(on=days, answers=cases)
def test_limits_are_the_product_of_the_factors_shown(corridors: Corridors, on: date, answers: dict[str, Any]) -> None:
    """A buyer who multiplies what the page shows must arrive at the limits it shows, and min never exceeds max."""
    try:
        corridor = corridors.corridor(on, answers)
    except (Invalid, TariffUnavailable):
        assume(False)
        raise
    for limit, shown in (("min", corridor.min), ("max", corridor.max)):
        product = prod(
            (Decimal(factor.value or getattr(factor, limit)) for factor in corridor.factors), start=Decimal(1)
        )
        assert shown.amount == product.quantize(Decimal("0.01"), ROUND_HALF_UP)
    assert corridor.min.amount <= corridor.max.amount


@settings(max_examples=60)
@given(on=days, better=st.integers(0, 13))
def test_a_worse_class_never_costs_less(corridors: Corridors, ordinary: Answers, on: date, better: int) -> None:
    """A driver who caused a claim must not end up with a lower corridor."""
    here = classed(corridors, ordinary, on, CLASSES[better + 1])
    worse = classed(corridors, ordinary, on, CLASSES[better])
    assert worse.min.amount > here.min.amount
    assert worse.max.amount > here.max.amount


@settings(max_examples=60)
@given(on=days, power=st.integers(1, 400), more=st.integers(0, 400))
def test_more_power_never_costs_less(corridors: Corridors, ordinary: Answers, on: date, power: int, more: int) -> None:
    """An error in the steps of KM would make a stronger car cheaper."""
    weak = corridors.corridor(on, ordinary(vehicle={"power_hp": str(power)}))
    strong = corridors.corridor(on, ordinary(vehicle={"power_hp": str(power + more)}))
    assert strong.max.amount >= weak.max.amount


@settings(max_examples=60)
@given(on=days, months=st.integers(3, 11))
def test_longer_use_never_costs_less(corridors: Corridors, ordinary: Answers, on: date, months: int) -> None:
    """A longer season must not be cheaper than a shorter one."""
    shorter = corridors.corridor(on, ordinary(use={"months": months}))
    longer = corridors.corridor(on, ordinary(use={"months": months + 1}))
    assert longer.min.amount >= shorter.min.amount


@pytest.mark.parametrize("switch", [date(2025, 1, 27), date(2025, 12, 9)])
def test_an_edition_begins_at_midnight_and_not_a_day_off(corridors: Corridors, ordinary: Answers, switch: date) -> None:
    """On the day of a change all contracts go by the new edition, the day before all by the old one."""
    before = {corridors.corridor(switch - timedelta(days=back), ordinary()).edition for back in range(1, 20)}
    after = {corridors.corridor(switch + timedelta(days=on), ordinary()).edition for on in range(20)}
    assert len(before) == len(after) == 1
    assert before != after


def classed(corridors: Corridors, ordinary: Answers, on: date, kbm_class: str) -> Corridor:
    """The corridor of the ordinary car with a driver of one class."""
    driver = {"birth_date": "1970-01-01", "licence_since": "1990-01-01", "kbm_class": kbm_class}
    return corridors.corridor(on, ordinary(drivers={"list": [driver]}))


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.sampled_from(["", "0", "М"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
LEAVES = [
    ("vehicle",),
    ("vehicle", "category"),
    ("vehicle", "power_hp"),
    ("vehicle", "max_mass_kg"),
    ("vehicle", "unfriendly_state"),
    ("owner", "region"),
    ("owner", "territory"),
    ("drivers", "limited"),
    ("drivers", "list"),
    ("drivers", "list", 0),
    ("drivers", "list", 0, "birth_date"),
    ("drivers", "list", 0, "kbm_class"),
    ("use",),
    ("use", "months"),
    ("use", "days"),
    ("surprise",),
]


@settings(max_examples=300)
@given(on=st.dates(), leaf=st.sampled_from(LEAVES), hostile=anything)
def test_nothing_a_client_sends_breaks_the_calculation(
    corridors: Corridors, ordinary: Answers, on: date, leaf: tuple[str | int, ...], hostile: object
) -> None:
    """Whatever stands in an answer, the caller gets a corridor or is told what is wrong, never an internal error."""
    answers: Any = ordinary()
    place = answers
    for step in leaf[:-1]:
        place = place[step]
    place[leaf[-1]] = hostile
    try:
        corridors.corridor(on, answers)
    except (Invalid, TariffUnavailable) as refused:
        pointers = [error.pointer for error in refused.errors]
    else:
        pointers = ["/none"]
    assert pointers
    assert all(pointer == "" or pointer.startswith("/") for pointer in pointers)
