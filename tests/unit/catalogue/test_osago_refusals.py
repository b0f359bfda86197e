"""Where the tables end the corridor is refused, with the answer that leads there."""

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from insuretech.catalogue.osago.corridors import Corridors
from insuretech.contracts.tariffs import TariffUnavailable
from insuretech.kit.problems import Invalid

Answers = Callable[..., dict[str, Any]]
MARCH = date(2026, 3, 1)

NOT_IN_THE_TABLES: dict[str, tuple[date, dict[str, Any], list[str]]] = {
    "before the first edition": (date(2022, 9, 12), {}, ["/concluded_on"]),
    "long before, when the drivers were children": (date(1999, 1, 1), {}, ["/concluded_on"]),
    "an unknown region": (MARCH, {"owner": {"region": "Атлантида"}}, ["/answers/owner/region"]),
    "a town without a row": (
        MARCH,
        {"owner": {"region": "Свердловская область", "territory": "Нижний Тагил"}},
        ["/answers/owner/territory"],
    ),
    "a town is never taken for one of the others": (
        MARCH,
        {"owner": {"region": "Республика Алтай", "territory": "Майма"}},
        ["/answers/owner/territory"],
    ),
    "a town known in another edition only": (
        date(2025, 6, 1),
        {"owner": {"region": "Новосибирская область", "territory": "Бердск"}},
        ["/answers/owner/territory"],
    ),
    "a town whose new value is not known": (
        date(2026, 6, 22),
        {"owner": {"region": "Новосибирская область", "territory": "Искитим"}},
        ["/answers/owner/territory"],
    ),
    "a trailer": (MARCH, {"vehicle": {"trailer": True}}, ["/answers/vehicle/trailer"]),
    "a trailer in an unknown town": (
        MARCH,
        {"vehicle": {"trailer": True}, "owner": {"region": "Тверская область", "territory": "Ржев"}},
        ["/answers/owner/territory", "/answers/vehicle/trailer"],
    ),
    "a truck before 7204-U": (
        date(2025, 12, 8),
        {"vehicle": {"category": "C", "max_mass_kg": 5000}},
        ["/answers/vehicle/category"],
    ),
    "a tram before 7204-U": (date(2025, 12, 8), {"vehicle": {"category": "Tm"}}, ["/answers/vehicle/category"]),
    "a small bus on a regular route": (
        MARCH,
        {"vehicle": {"category": "D1", "purpose": "regular_route"}},
        ["/answers/vehicle/purpose"],
    ),
    "a tractor where KT of tractors is not known": (
        MARCH,
        {
            "vehicle": {"category": "special"},
            "owner": {"region": "Ханты-Мансийский АО — Югра", "territory": "Сургут"},
        },
        ["/answers/owner/territory"],
    ),
    "a light motorcycle": (MARCH, {"vehicle": {"category": "A1"}}, ["/answers/vehicle/category"]),
    "a short policy before they existed": (
        date(2024, 3, 1),
        {"use": {"months": None, "days": 10}},
        ["/answers/use/days"],
    ),
    "a foreign car for four days": (
        MARCH,
        {"vehicle": {"registration": "foreign"}, "use": {"months": None, "days": 4}},
        ["/answers/use/days"],
    ),
    "a foreign car before the first known day": (
        date(2025, 1, 26),
        {"vehicle": {"registration": "foreign"}},
        ["/answers/vehicle/registration"],
    ),
    "a foreign truck of a friendly state": (
        MARCH,
        {"vehicle": {"category": "C", "max_mass_kg": 5000, "registration": "foreign", "unfriendly_state": False}},
        ["/answers/vehicle/registration"],
    ),
    "a foreign truck of a state not told": (
        MARCH,
        {"vehicle": {"category": "C", "max_mass_kg": 5000, "registration": "foreign"}},
        ["/answers/vehicle/unfriendly_state"],
    ),
    "three weeks and a day in transit": (
        MARCH,
        {"vehicle": {"registration": "transit"}, "use": {"months": None, "days": 21}},
        ["/answers/use/days"],
    ),
}


@pytest.mark.parametrize(("concluded_on", "changes", "pointers"), NOT_IN_THE_TABLES.values(), ids=NOT_IN_THE_TABLES)
def test_what_the_tables_lack_is_refused(
    corridors: Corridors, ordinary: Answers, concluded_on: date, changes: dict[str, Any], pointers: list[str]
) -> None:
    """A guessed coefficient would quote a premium no insurer can lawfully sell."""
    with pytest.raises(TariffUnavailable) as refused:
        corridors.corridor(concluded_on, ordinary(**changes), prefix="/answers")
    assert sorted(error.pointer for error in refused.value.errors) == pointers
    assert all(error.detail for error in refused.value.errors)


IMPOSSIBLE: dict[str, tuple[dict[str, Any], list[str]]] = {
    "no drivers": ({"drivers": {"list": []}}, ["/drivers/list"]),
    "a driver of 15": (
        {"drivers": {"list": [{"birth_date": "2010-03-02", "licence_since": "2026-02-01"}]}},
        ["/drivers/list/0/birth_date", "/drivers/list/0/licence_since"],
    ),
    "a licence at 15": (
        {"drivers": {"list": [{"birth_date": "1990-05-02", "licence_since": "2006-05-01"}]}},
        ["/drivers/list/0/licence_since"],
    ),
    "a licence of tomorrow": (
        {"drivers": {"list": [{"birth_date": "1990-05-02", "licence_since": "2026-03-02"}]}},
        ["/drivers/list/0/licence_since"],
    ),
    "a date not in the calendar": (
        {"drivers": {"list": [{"birth_date": "1990-02-30", "licence_since": "2026-W09-1"}]}},
        ["/drivers/list/0/birth_date", "/drivers/list/0/licence_since"],
    ),
    "a class that does not exist": (
        {"drivers": {"list": [{"birth_date": "1990-05-02", "licence_since": "2010-01-01", "kbm_class": "14"}]}},
        ["/drivers/list/0/kbm_class"],
    ),
    "a car without power": ({"vehicle": {"power_hp": None}}, ["/vehicle/power_hp"]),
    "a car of no power": ({"vehicle": {"power_hp": "0"}}, ["/vehicle/power_hp"]),
    "a number without end": ({"vehicle": {"power_hp": "1e9999"}}, ["/vehicle/power_hp"]),
    "a truck without mass": ({"vehicle": {"category": "C"}}, ["/vehicle/max_mass_kg"]),
    "a motorcycle as a taxi": ({"vehicle": {"category": "A", "purpose": "taxi"}}, ["/vehicle/purpose"]),
    "an unknown category": ({"vehicle": {"category": "Z"}}, ["/vehicle/category"]),
    "no place": ({"owner": {"region": None, "territory": None}}, ["/owner/region", "/owner/territory"]),
    "no period": ({"use": {"months": None}}, ["/use/months"]),
    "days and months": ({"use": {"days": 10}}, ["/use/days"]),
    "thirteen months": ({"use": {"months": 13}}, ["/use/months"]),
    "an unknown field": ({"vehicle": {"colour": "red"}}, ["/vehicle/colour"]),
    "everything at once": (
        {"vehicle": {"category": "Z", "power_hp": "many"}, "owner": {"kind": "cat"}, "use": {"months": "twelve"}},
        ["/owner/kind", "/use/months", "/vehicle/category", "/vehicle/power_hp"],
    ),
}


@pytest.mark.parametrize(("changes", "pointers"), IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_wrong_answers_are_named_all_at_once(
    corridors: Corridors, ordinary: Answers, changes: dict[str, Any], pointers: list[str]
) -> None:
    """A buyer must see every mistake beside its field in one go."""
    with pytest.raises(Invalid) as refused:
        corridors.corridor(MARCH, ordinary(**changes))
    assert sorted(error.pointer for error in refused.value.errors) == pointers


def test_missing_groups_are_reported_field_by_field(corridors: Corridors) -> None:
    """An empty form must mark each question, not the form as a whole."""
    with pytest.raises(Invalid) as refused:
        corridors.corridor(MARCH, {})
    assert {error.pointer for error in refused.value.errors} == {
        "/drivers/limited",
        "/owner/kind",
        "/use/months",
        "/vehicle/category",
    }


def test_sentences_follow_the_language(corridors: Corridors, ordinary: Answers) -> None:
    """Who reads English must not be refused in Russian."""
    answers = ordinary(owner={"region": "Тверская область", "territory": "Ржев"})
    with pytest.raises(TariffUnavailable, match="no coefficient for “Ржев”"):
        corridors.corridor(MARCH, answers, language="en")
    with pytest.raises(TariffUnavailable, match="подставлять похожий мы не станем"):
        corridors.corridor(MARCH, answers)
