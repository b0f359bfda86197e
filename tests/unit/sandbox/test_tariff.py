"""Prices of the sandbox's insurers."""

import asyncio
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import product as combinations
from typing import Any

import pytest

from insuretech.catalogue.osago.corridors import load_corridors
from insuretech.catalogue.product_files import read_products
from insuretech.contracts.answers import question_at
from insuretech.contracts.money import Money
from insuretech.contracts.tariffs import Corridor, TariffUnavailable
from insuretech.contracts.text import Language
from insuretech.sandbox.domain import CannotPrice, Priced
from insuretech.sandbox.roster import load_roster
from insuretech.sandbox.tariff import Tariff, load_reference_tariffs

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


async def corridor(_: date, answers: dict[str, Any], __: Language) -> Corridor:
    """A corridor for cars only."""
    if answers["vehicle"]["category"] != "B":
        raise TariffUnavailable("Для этой категории тарифа нет.")
    return Corridor(edition="x", min=Money(Decimal(1000)), max=Money(Decimal(2000)), factors=())


TARIFF = Tariff(corridor, load_reference_tariffs())


def travel(*birth_dates: str, **changes: object) -> dict[str, Any]:
    """A journey of fifteen days for 35,000 euros."""
    trip = {"territory": "schengen", "starts_on": "2026-12-01", "ends_on": "2026-12-15"}
    cover = {"sum_insured": "35000", "currency": "EUR", "activity": "none"}
    return {
        "trip": {name: changes.get(name, value) for name, value in (trip | {"multi_trip": False}).items()}
        | ({"insured_days": changes["insured_days"]} if "insured_days" in changes else {}),
        "cover": cover | {name: value for name, value in changes.items() if name in {*cover, "luggage", "accident"}},
        "travellers": [{"birth_date": day} for day in birth_dates or ("1990-05-05",)],
    }


def mortgage(**changes: object) -> dict[str, Any]:
    """Life and flat for two million roubles."""
    borrower = {
        "birth_date": "1988-04-12",
        "sex": "male",
        "occupation": "office",
        "smoker": False,
        "serious_illness": False,
    }
    home = {"kind": "flat", "year_built": 2012, "wooden": False, "gas": False}
    return {
        "cover": {"risks": changes.get("risks", "life_property"), "title": changes.get("title", False)},
        "loan": {"bank": "Банк", "debt": changes.get("debt", "2000000")},
        "borrower": borrower | {name: value for name, value in changes.items() if name in borrower},
        "property": home | {name: value for name, value in changes.items() if name in home},
        "starts_on": "2026-12-01",
    }


async def priced(product: str, answers: dict[str, Any], level: float = 1.0, share: float = 0.5) -> Priced:
    """What an insurer asks."""
    return await TARIFF.price(product, answers, NOW, level=level, share=share)


async def amount(product: str, answers: dict[str, Any]) -> Decimal:
    """What an insurer at the level of the reference asks."""
    return (await priced(product, answers)).premium.amount


# ------------------------------------------------------------ by hand


async def test_travel_follows_the_published_structure() -> None:
    """Otherwise prices look made up, and children cost as much as people of eighty."""
    one = Decimal("0.85") * 15 * 100 * Decimal("1.6")  # rate, days, roubles a euro, level
    assert await amount("travel", travel()) == one
    assert await amount("travel", travel(territory="world")) == 2 * one
    assert await amount("travel", travel(activity="active")) == 2 * one
    assert await amount("travel", travel("2015-09-01")) == one / 2
    assert await amount("travel", travel("1950-01-01")) == 3 * one
    assert await amount("travel", travel(*["1990-05-05"] * 3)) == 3 * one * Decimal("0.95")
    assert await amount("travel", travel(luggage=True)) == one * Decimal("1.1")
    assert await amount("travel", travel(multi_trip=True, insured_days=30, ends_on="2027-11-30")) == Decimal("3744.00")


async def test_mortgage_follows_the_published_structure() -> None:
    """Otherwise an old house of wood costs as much as a new flat."""
    insured = Decimal(2_200_000)
    life, home = insured * Decimal("0.18") / 100, insured * Decimal("0.08") / 100
    assert await amount("mortgage", mortgage()) == life + home
    assert await amount("mortgage", mortgage(risks="life")) == life
    assert await amount("mortgage", mortgage(risks="property")) == home
    assert await amount("mortgage", mortgage(sex="female", risks="life")) == life * Decimal("0.7")
    assert await amount("mortgage", mortgage(wooden=True, risks="property")) == home * Decimal("1.75")
    assert await amount("mortgage", mortgage(debt="10000", risks="property")) == 300
    assert await amount("mortgage", mortgage(debt="2000000,00", title=True)) == life + home + insured * Decimal(
        "0.0012"
    )


async def test_osago_stands_in_the_corridor() -> None:
    """Otherwise the sandbox offers what the law forbids."""
    found = await priced(
        "osago", {"vehicle": {"category": "B"}, "use": {"starts_on": "2027-02-28", "months": 3}}, 9, 0.25
    )

    assert found == Priced(
        premium=Money(Decimal(1250)),
        floor=Money(Decimal(1000)),
        ceiling=Money(Decimal(2000)),
        starts_on=date(2027, 2, 28),
        ends_on=date(2027, 5, 27),
    )


async def test_dearer_insurers_are_dearer() -> None:
    """Otherwise all insurers ask the same, and there is nothing to compare."""
    base = (await priced("travel", travel())).premium.amount
    assert (await priced("travel", travel(), level=1.5)).premium.amount == base * Decimal("1.5")


@pytest.mark.parametrize(
    ("product", "answers"),
    [
        ("osago", {"vehicle": {"category": "Tm"}}),
        ("osago", {}),
        ("travel", travel(sum_insured="100000", ends_on="2027-03-01")),
        ("travel", travel(ends_on="2026-11-01")),
        ("travel", {}),
        ("travel", travel("not a date")),
        ("mortgage", mortgage(birth_date="1940-01-01")),
        ("mortgage", mortgage(birth_date="2020-01-01")),
        ("mortgage", mortgage(debt="much")),
        ("mortgage", {"cover": []}),
        ("casco", {}),
    ],
)
async def test_what_cannot_be_priced_is_refused_with_a_sentence(product: str, answers: dict[str, Any]) -> None:
    """Otherwise an insurer guesses a price, or breaks on answers it does not know."""
    with pytest.raises(CannotPrice, match=r"^[А-ЯЁ].+\.$"):
        await priced(product, answers)


# ------------------------------------------------------------ against the products on sale


def options(code: str, *pointers: str) -> list[list[Any]]:
    """What a product's question set lets one answer at these places."""
    found = []
    for pointer in pointers:
        question = question_at(QUESTIONS[code], pointer)
        assert question is not None, pointer
        found.append(list(question["enum"]))
    return found


QUESTIONS = {listed.product.code: listed.product.question_set for listed in read_products(insurers=load_roster())}


async def test_every_choice_of_the_travel_questions_has_a_price() -> None:
    """Otherwise a choice added to the product makes all insurers of the sandbox refuse."""
    places = ("/trip/territory", "/cover/sum_insured", "/cover/currency", "/cover/activity")
    for territory, insured, currency, activity in combinations(*options("travel", *places)):
        chosen = travel(territory=territory, sum_insured=insured, currency=currency, activity=activity)
        assert await amount("travel", chosen) > 0


async def test_every_choice_of_the_mortgage_questions_has_a_price() -> None:
    """Otherwise a choice added to the product makes all insurers of the sandbox refuse."""
    places = ("/cover/risks", "/borrower/sex", "/borrower/occupation", "/property/kind")
    for risks, sex, occupation, kind in combinations(*options("mortgage", *places)):
        assert await amount("mortgage", mortgage(risks=risks, sex=sex, occupation=occupation, kind=kind)) >= 300


async def test_the_real_corridor_prices_a_whole_osago_form() -> None:
    """Otherwise answers that only insurers need make the corridor refuse them all."""
    corridors = load_corridors()

    async def real(on: date, answers: dict[str, Any], language: Language) -> Corridor:
        return corridors.corridor(on, answers, language=language)

    answers = {
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
        "drivers": {"limited": True, "list": [{"birth_date": "1984-05-17", "licence_since": "2006-03-01"}]},
        "use": {"starts_on": "2026-12-01", "months": 12},
    }

    found = await Tariff(real, load_reference_tariffs()).price("osago", answers, NOW, level=1, share=0.5)

    assert found.floor is not None
    assert found.ceiling is not None
    assert found.floor < found.premium < found.ceiling


async def test_all_insurers_of_a_quote_ask_once_for_its_corridor() -> None:
    """Ten insurers would ask the catalogue ten times for the same, over the network where they run apart."""
    asked: list[dict[str, Any]] = []
    trouble = [TariffUnavailable("Тарифа пока нет.")]

    async def counted(on: date, answers: dict[str, Any], language: Language) -> Corridor:
        asked.append(answers)
        await asyncio.sleep(0.01)
        if trouble:
            raise trouble.pop()
        return await corridor(on, answers, language)

    tariff = Tariff(counted, load_reference_tariffs())
    answers = {"vehicle": {"category": "B"}, "use": {"starts_on": "2026-12-01", "months": 12}}

    async def prices() -> list[Any]:
        asking = (tariff.price("osago", answers, NOW, level=1, share=share / 10) for share in range(10))
        return await asyncio.gather(*asking, return_exceptions=True)

    assert all(isinstance(each, CannotPrice) for each in await prices())
    found = await prices()
    assert [each.premium.amount for each in found] == [Decimal(1000 + 100 * share) for share in range(10)]
    assert len(asked) == 2, "what failed is asked again, what is known is not"
