"""The corridor against values multiplied by hand from the published tables."""

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from insuretech.catalogue.osago.corridors import Corridors
from insuretech.contracts.money import Money
from insuretech.contracts.tariffs import Corridor

Answers = Callable[..., dict[str, Any]]
MARCH = date(2026, 3, 1)
UNLIMITED = {"limited": False, "list": None}
NOVICE = {"list": [{"birth_date": "2008-01-01", "licence_since": "2026-01-10"}]}
CAREFUL = {"list": [{"birth_date": "1980-01-01", "licence_since": "2003-01-01", "kbm_class": "13"}]}

BY_HAND: dict[str, tuple[date, dict[str, Any], str, str]] = {
    # 1399 | 8665 · 1.8 · 1 · 0.93 · 1 · 1.1 · 1
    "a car in Moscow": (MARCH, {}, "2576.12", "15955.73"),
    # 1646 | 7535 · 1.8 · 1 · 0.93 · 1 · 1.1
    "the last day of the corridor of 2022": (date(2025, 12, 8), {}, "3030.94", "13874.95"),
    "the first day of 7204-U": (date(2025, 12, 9), {}, "2576.12", "15955.73"),
    # 1399 | 8665 · 1.8 · 1.17 · 3.16 · 1.1
    "any driver": (MARCH, {"drivers": UNLIMITED}, "10241.32", "63431.75"),
    # 1646 | 7535 · 1.8 · 1.17 · 2.32 · 1.1
    "any driver before 6949-U": (date(2025, 1, 26), {"drivers": UNLIMITED}, "8846.45", "40496.95"),
    # 1646 | 7535 · 1.8 · 1.17 · 3.16 · 1.1
    "any driver from 6949-U": (date(2025, 1, 27), {"drivers": UNLIMITED}, "12049.47", "55159.64"),
    # 1399 | 8665 · 3.12 · 1.17 · 2.27 · 0.6
    "a new driver in Novosibirsk, last day of the multiplier of 2": (
        date(2026, 6, 21),
        {
            "vehicle": {"power_hp": "50"},
            "owner": {"region": "Новосибирская область", "territory": "Новосибирск"},
            "drivers": NOVICE,
        },
        "6955.61",
        "43081.04",
    ),
    # 1399 | 8665 · 2.34 · 1.17 · 2.27 · 0.6
    "a new driver in Novosibirsk, first day of 7349-U": (
        date(2026, 6, 22),
        {
            "vehicle": {"power_hp": "50"},
            "owner": {"region": "Новосибирская область", "territory": "Новосибирск"},
            "drivers": NOVICE,
        },
        "5216.71",
        "32310.78",
    ),
    # 724 | 6580 · 1.8 · 0.46 · (0.91 · 1.8) · 1.4 · 0.7
    "a company's car with named drivers for six months": (
        MARCH,
        {"vehicle": {"power_hp": "150"}, "owner": {"kind": "legal_entity"}, "drivers": CAREFUL, "use": {"months": 6}},
        "962.30",
        "8745.73",
    ),
    # 724 | 6580 · 1.8 · 1.17 · 1.97 · 1.4
    "a company's car with any driver": (
        MARCH,
        {"vehicle": {"power_hp": "150"}, "owner": {"kind": "legal_entity"}, "drivers": UNLIMITED},
        "4205.24",
        "38218.93",
    ),
    # 1267 | 18119 · 1.7 · 1.17 · 3.16 · 1.2
    "a sole proprietor's taxi in Kazan": (
        MARCH,
        {
            "vehicle": {"purpose": "taxi", "power_hp": "101"},
            "owner": {"kind": "sole_proprietor", "region": "Республика Татарстан", "territory": "Казань"},
            "drivers": UNLIMITED,
        },
        "9556.08",
        "136658.72",
    ),
    # 791 | 13709 · 1.56 · 0.93
    "a truck of exactly 16 t in the Moscow region": (
        MARCH,
        {
            "vehicle": {"category": "C", "max_mass_kg": 16000, "power_hp": None},
            "owner": {"region": "Московская область", "territory": "Химки"},
        },
        "1147.58",
        "19889.02",
    ),
    # 1489 | 17201 · 1.56 · 0.93
    "a truck of 16 t and a kilogram": (
        MARCH,
        {
            "vehicle": {"category": "CE", "max_mass_kg": 16001, "power_hp": None},
            "owner": {"region": "Московская область", "territory": "Химки"},
        },
        "2160.24",
        "24955.21",
    ),
    # 1399 | 8665 · 1.7 · 1 · 0.93 · 1.1 · 0.2
    "a foreign car for ten days": (
        MARCH,
        {
            "vehicle": {"registration": "foreign"},
            "owner": {"region": None, "territory": None},
            "use": {"months": None, "days": 10},
        },
        "486.60",
        "3013.86",
    ),
    # 791 | 13709 · 30 · 0.93 · 0.5
    "a truck of an unfriendly state for three months": (
        MARCH,
        {
            "vehicle": {
                "category": "C",
                "max_mass_kg": 9000,
                "power_hp": None,
                "registration": "foreign",
                "unfriendly_state": True,
            },
            "use": {"months": 3},
        },
        "11034.45",
        "191240.55",
    ),
    # 1399 | 8665 · 0.93 · 1.1 · 0.2
    "a car on its way to registration": (
        MARCH,
        {"vehicle": {"registration": "transit"}, "use": {"months": None, "days": 20}},
        "286.24",
        "1772.86",
    ),
    # 383 | 3678 · 1.16 · 0.93
    "a tractor in Moscow": (MARCH, {"vehicle": {"category": "special", "power_hp": None}}, "413.18", "3967.83"),
    # 259 | 3043 · 1.8 · 0.93: power did not count yet and the table was the general one
    "a motorcycle before its own tables": (
        date(2025, 4, 16),
        {"vehicle": {"category": "A", "power_hp": "60"}},
        "433.57",
        "5093.98",
    ),
    # 259 | 3043 · 1.8 · 0.89 · 1.11
    "a motorcycle from the first day of its own tables": (
        date(2025, 4, 17),
        {"vehicle": {"category": "A", "power_hp": "60"}},
        "460.56",
        "5411.12",
    ),
    # 155 | 4260 · 1.8 · 0.89 · 1.11
    "a motorcycle under 7204-U": (MARCH, {"vehicle": {"category": "A", "power_hp": "60"}}, "275.62", "7575.22"),
    # 2295 | 11732 · 1.8 · 0.93
    "a bus on a regular route": (
        MARCH,
        {"vehicle": {"category": "D", "purpose": "regular_route", "power_hp": None}},
        "3841.83",
        "19639.37",
    ),
    # 940 | 7846 · 1.8 · 0.93
    "a small bus": (MARCH, {"vehicle": {"category": "D1", "power_hp": None}}, "1573.56", "13134.20"),
    # 0 | 8665 · 1.8 · 0.93 · 1.1: the insurer's own coefficient may be anything up to one
    "thirty days in Moscow": (MARCH, {"use": {"months": None, "days": 30}}, "0.00", "15955.73"),
    "two months in Moscow": (MARCH, {"use": {"months": 2}}, "0.00", "15955.73"),
}


@pytest.mark.parametrize(("concluded_on", "changes", "least", "greatest"), BY_HAND.values(), ids=BY_HAND)
def test_corridor_equals_the_product_worked_out_by_hand(
    corridors: Corridors, ordinary: Answers, concluded_on: date, changes: dict[str, Any], least: str, greatest: str
) -> None:
    """A wrong bound would hide a lawful offer from a buyer or show one the insurer may not make."""
    corridor = corridors.corridor(concluded_on, ordinary(**changes))
    assert (corridor.min, corridor.max) == (Money(Decimal(least)), Money(Decimal(greatest)))


@pytest.mark.parametrize(
    ("hp", "km"),
    [
        ("0.5", "0.6"),
        ("50", "0.6"),
        ("50.01", "1"),
        ("70", "1"),
        ("70,01", "1.1"),
        ("100", "1.1"),
        ("100.1", "1.2"),
        ("120", "1.2"),
        ("121", "1.4"),
        ("150", "1.4"),
        ("150.01", "1.6"),
    ],
)
def test_the_upper_bound_of_power_is_inclusive(corridors: Corridors, ordinary: Answers, hp: str, km: str) -> None:
    """An owner of a car of exactly 100 hp must not pay for the step above."""
    corridor = corridors.corridor(MARCH, ordinary(vehicle={"power_hp": hp}))
    assert value(corridor, "KM") == km


@pytest.mark.parametrize(
    ("born", "licensed", "kvs"),
    [
        ("2010-03-01", "2026-03-01", "2.27"),  # 16 that very day
        ("2004-03-02", "2021-03-01", "1.62"),  # 21 until tomorrow, five full years today
        ("2004-03-01", "2021-03-02", "1.13"),  # 22 today, the fifth year is full tomorrow
        ("1996-03-02", "2016-03-02", "1.07"),  # 29, nine years
        ("1996-03-01", "2016-03-01", "0.97"),  # 30, ten years
        ("1966-03-01", "1990-01-01", "0.83"),  # 60 today
        ("1966-03-02", "1990-01-01", "0.86"),  # 59 until tomorrow
    ],
)
def test_age_and_experience_count_full_years(
    corridors: Corridors, ordinary: Answers, born: str, licensed: str, kvs: str
) -> None:
    """A day's error around a birthday would move a driver into the wrong, dearer or cheaper, cell."""
    drivers = {"list": [{"birth_date": born, "licence_since": licensed, "kbm_class": "4"}]}
    assert value(corridors.corridor(MARCH, ordinary(drivers=drivers)), "KVS") == kvs


def test_the_dearest_driver_decides_each_factor(corridors: Corridors, ordinary: Answers) -> None:
    """With several drivers the premium must cover the riskiest: one may set KVS and another KBM."""
    drivers = {
        "list": [
            {"birth_date": "1970-01-01", "licence_since": "1990-01-01", "kbm_class": "M"},
            {"birth_date": "2006-01-01", "licence_since": "2024-02-01", "kbm_class": "4"},
        ]
    }
    corridor = corridors.corridor(MARCH, ordinary(drivers=drivers))
    assert (value(corridor, "KBM"), value(corridor, "KVS")) == ("3.92", "1.84")


def test_a_driver_without_a_class_is_rated_as_new(corridors: Corridors, ordinary: Answers) -> None:
    """A buyer who does not know the class gets class 3 and is told so, not a flattering guess."""
    drivers = {"list": [{"birth_date": "1988-01-01", "licence_since": "2008-01-01"}]}
    corridor = corridors.corridor(MARCH, ordinary(drivers=drivers))
    factor = next(factor for factor in corridor.factors if factor.code == "KBM")
    assert factor.value == "1.17"
    assert "не указан" in factor.why


def test_every_factor_says_why_and_whence(corridors: Corridors, ordinary: Answers) -> None:
    """A buyer who asks for a coefficient's ground must get the act, its edition and the reason, in either language."""
    corridor = corridors.corridor(MARCH, ordinary(), language="en")
    assert [factor.code for factor in corridor.factors] == ["TB", "KT", "KBM", "KVS", "KO", "KM", "KS"]
    rate = corridor.factors[0]
    assert (rate.min, rate.max, rate.value) == ("1399", "8665", None)
    assert "7204-U, annex 1, row 2.2" in rate.source
    assert corridor.factors[1].why == "Where the owner is registered: Москва"
    assert all(factor.why and factor.source for factor in corridor.factors)


def test_doubtful_numbers_are_marked(corridors: Corridors, ordinary: Answers) -> None:
    """A number from one source must not look as certain as a confirmed one."""
    surgut = ordinary(owner={"region": "Ханты-Мансийский АО — Югра", "territory": "Сургут"})
    factors = {factor.code: factor for factor in corridors.corridor(MARCH, surgut).factors}
    assert factors["KT"].status == "single source"
    assert factors["TB"].status is None


@pytest.mark.parametrize(
    ("region", "territory", "kt"),
    [
        ("москва", " Москва ", "1.8"),
        ("Орловская область", "Орел", "1.16"),
        ("Ханты-Мансийский АО - Югра", "Ханты-Мансийск", "1.3"),
        ("ДНР", "Донецк", "0.68"),
        ("Ненецкий автономный округ", "Нарьян-Мар", "0.84"),
        ("Республика Алтай", "прочие", "0.84"),
        ("Республика Алтай", "Республика Алтай, прочие", "0.84"),
        ("Чукотский АО", "(whole region)", "0.76"),
    ],
)
def test_places_are_found_however_they_are_spelled(
    corridors: Corridors, ordinary: Answers, region: str, territory: str, kt: str
) -> None:
    """A buyer who types e for ё or a hyphen for a dash must not be told that the town is unknown."""
    answers = ordinary(owner={"region": region, "territory": territory})
    assert value(corridors.corridor(MARCH, answers), "KT") == kt


def test_cyrillic_class_and_latin_plate_are_understood(corridors: Corridors, ordinary: Answers) -> None:
    """Letters that look the same on the keyboard of a phone must not cost a buyer an error."""
    drivers = {"list": [{"birth_date": "1988-01-01", "licence_since": "2008-01-01", "kbm_class": "М"}]}
    answers = ordinary(vehicle={"plate": "a 123 bc 77", "vin": "xta210990y2765439"}, drivers=drivers)
    assert value(corridors.corridor(MARCH, answers), "KBM") == "3.92"


@pytest.mark.parametrize(
    ("concluded_on", "edition"),
    [
        (date(2022, 9, 13), "6209-U"),
        (date(2025, 1, 26), "6209-U"),
        (date(2025, 1, 27), "6949-U"),
        (date(2025, 12, 8), "6949-U"),
        (date(2025, 12, 9), "7204-U"),
        (date(2026, 6, 21), "7204-U"),
        (date(2026, 6, 22), "7204-U"),  # 7349-U changed KT of one region alone, and is named there
    ],
)
def test_the_date_of_the_contract_chooses_the_edition(
    corridors: Corridors, ordinary: Answers, concluded_on: date, edition: str
) -> None:
    """A contract concluded on the eve of a change must be held to the old limits."""
    assert corridors.corridor(concluded_on, ordinary()).edition == edition


def test_an_act_that_changed_one_region_is_named_there_alone(corridors: Corridors, ordinary: Answers) -> None:
    """Who checks our figure against the law must be led to the act that it comes from."""
    answers = ordinary(owner={"kind": "individual", "region": "Новосибирская область", "territory": "Новосибирск"})
    assert corridors.corridor(date(2026, 6, 22), answers).edition == "7204-U, 7349-U"


def value(corridor: Corridor, code: str) -> str | None:
    """The value of one factor."""
    return next(factor.value for factor in corridor.factors if factor.code == code)
