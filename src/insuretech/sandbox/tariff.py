"""How the sandbox's insurers price: OSAGO inside the legal corridor, the others by a reference tariff of our own."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import partial
from hashlib import sha256
from importlib.resources import files
from typing import Any

import msgspec

from insuretech.contracts.answers import at_pointer
from insuretech.contracts.dates import full_years, plus_months
from insuretech.contracts.money import Money
from insuretech.contracts.tariffs import Corridor, CorridorSource
from insuretech.kit.clock import legal_date
from insuretech.kit.problems import Problem
from insuretech.sandbox.domain import CannotPrice, Priced

_REMEMBERED_FOR = 5.0  # seconds, in which all insurers of a quote have asked; a tariff that changes is known soon
_MISSING = "Этих сведений нам недостаточно для расчёта."


class _Rate(msgspec.Struct, frozen=True):
    days: int
    per_day: dict[str, Decimal]


class _FromAge(msgspec.Struct, frozen=True):
    from_age: int
    factor: Decimal = Decimal(1)
    rate: Decimal = Decimal(0)


class _FromPeople(msgspec.Struct, frozen=True):
    from_people: int
    factor: Decimal


class _Travel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    rates: list[_Rate]
    level: Decimal
    roubles: dict[str, Decimal]
    territories: dict[str, Decimal]
    ages: list[_FromAge]
    groups: list[_FromPeople]
    activities: dict[str, Decimal]
    options: dict[str, Decimal]


class _OldHouse(msgspec.Struct, frozen=True):
    before: int
    factor: Decimal


class _Mortgage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    over_debt: Decimal
    life: list[_FromAge]
    oldest: int
    sex: dict[str, Decimal]
    occupations: dict[str, Decimal]
    smoker: Decimal
    serious_illness: Decimal
    property: dict[str, Decimal]
    wooden: Decimal
    gas: Decimal
    old_house: _OldHouse
    title: Decimal
    least: Decimal


class ReferenceTariffs(msgspec.Struct, frozen=True):
    """The data file ``reference_tariffs.yaml``."""

    travel: _Travel
    mortgage: _Mortgage


def load_reference_tariffs() -> ReferenceTariffs:
    """Read the data file that comes with the package."""
    document = (files("insuretech.sandbox") / "data" / "reference_tariffs.yaml").read_bytes()
    return msgspec.yaml.decode(document, type=ReferenceTariffs, strict=False)


class Tariff:
    """Prices any product of the marketplace from its answers."""

    def __init__(self, corridor: CorridorSource, reference: ReferenceTariffs) -> None:
        self._corridor = _Remembered(corridor)
        self._reference = reference

    async def price(
        self, product: str, answers: Mapping[str, Any], now: datetime, *, level: float, share: float
    ) -> Priced:
        """What an insurer asks that stands at ``level`` of the reference and ``share`` of the way up the corridor.

        Raises ``CannotPrice``.
        """
        today = legal_date(now)
        try:
            if product == "osago":
                return await self._osago(dict(answers), today, share)
            if product == "travel":
                return travel_price(self._reference.travel, answers, Decimal(str(level)))
            if product == "mortgage":
                return mortgage_price(self._reference.mortgage, answers, Decimal(str(level)))
        except Problem as problem:
            raise CannotPrice(problem.detail or _MISSING) from problem
        except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
            raise CannotPrice(_MISSING) from error
        raise CannotPrice("Такого продукта у нас нет.")

    async def _osago(self, answers: dict[str, Any], today: date, share: float) -> Priced:
        corridor = await self._corridor.of(today, answers)
        width = corridor.max.amount - corridor.min.amount
        starts_on = _day(answers, "/use/starts_on")
        return Priced(
            premium=Money.rounded(corridor.min.amount + width * Decimal(str(share))),
            floor=corridor.min,
            ceiling=corridor.max,
            starts_on=starts_on,
            ends_on=plus_months(starts_on, int(at_pointer(answers, "/use/months"))) - timedelta(days=1),
        )


class _Remembered:
    """The corridor of answers of just now: all insurers of a quote ask for the same one at about the same moment, and
    where we run apart each asking goes over the network. Answers are personal, so only their digest is kept.
    """

    def __init__(self, source: CorridorSource) -> None:
        self._source = source
        self._asked: dict[bytes, asyncio.Future[Corridor]] = {}

    async def of(self, today: date, answers: dict[str, Any]) -> Corridor:
        """As the source says it; a failure is told to those who wait for it and then forgotten."""
        key = sha256(today.isoformat().encode() + msgspec.json.encode(answers, order="sorted")).digest()
        asked = self._asked.get(key)
        if asked is None:
            asked = self._asked[key] = asyncio.ensure_future(self._source(today, answers, "ru"))
            asked.add_done_callback(partial(self._forget, key))
        return await asyncio.shield(asked)

    def _forget(self, key: bytes, asked: asyncio.Future[Corridor]) -> None:
        failed = asked.cancelled() or asked.exception() is not None
        asyncio.get_running_loop().call_later(0 if failed else _REMEMBERED_FOR, self._asked.pop, key, None)


def travel_price(tariff: _Travel, answers: Mapping[str, Any], level: Decimal) -> Priced:
    """Rate per day by length and sum × territory × activity, for each traveller by age, less the group's discount."""
    trip, cover = answers["trip"], answers["cover"]
    starts_on, ends_on = _day(answers, "/trip/starts_on"), _day(answers, "/trip/ends_on")
    days = int(trip["insured_days"]) if trip.get("multi_trip") else (ends_on - starts_on).days + 1
    rate = next((rate for rate in tariff.rates if 0 < days <= rate.days), None)
    per_day = None if rate is None else rate.per_day.get(cover["sum_insured"])
    if per_day is None:
        raise CannotPrice("Поездку такой длительности на такую сумму мы не страхуем.")
    people = sum(
        _from_age(tariff.ages, full_years(date.fromisoformat(person["birth_date"]), starts_on)).factor
        for person in answers["travellers"]
    )
    group = [step for step in tariff.groups if step.from_people <= len(answers["travellers"])][-1]
    options = 1 + sum(share for option, share in tariff.options.items() if cover.get(option))
    factors = tariff.territories.get(trip["territory"], Decimal(1)) * tariff.activities[cover["activity"]]
    units = per_day * days * people * group.factor * options * factors
    premium = units * tariff.roubles[cover["currency"]] * tariff.level * level
    return Priced(premium=Money.rounded(premium), floor=None, ceiling=None, starts_on=starts_on, ends_on=ends_on)


def mortgage_price(tariff: _Mortgage, answers: Mapping[str, Any], level: Decimal) -> Priced:
    """Percent of the debt and a tenth more, for the life, the home and the title, each with its factors."""
    starts_on = _day(answers, "/starts_on")
    cover, risks = answers["cover"], answers["cover"]["risks"]
    rate = Decimal(0)
    if "life" in risks.split("_"):
        rate += _life_rate(tariff, answers["borrower"], starts_on)
    if "property" in risks.split("_"):
        rate += _property_rate(tariff, answers["property"])
    if cover.get("title"):
        rate += tariff.title
    debt = Decimal(answers["loan"]["debt"].replace(",", "."))
    premium = max(debt * tariff.over_debt * rate / 100, tariff.least) * level
    ends_on = plus_months(starts_on, 12) - timedelta(days=1)
    return Priced(premium=Money.rounded(premium), floor=None, ceiling=None, starts_on=starts_on, ends_on=ends_on)


def _life_rate(tariff: _Mortgage, borrower: Mapping[str, Any], on: date) -> Decimal:
    age = full_years(date.fromisoformat(borrower["birth_date"]), on)
    if age > tariff.oldest:
        raise CannotPrice(f"Жизнь мы страхуем до {tariff.oldest} лет.")
    rate = _from_age(tariff.life, age).rate * tariff.sex[borrower["sex"]] * tariff.occupations[borrower["occupation"]]
    rate *= tariff.smoker if borrower["smoker"] else 1
    return rate * (tariff.serious_illness if borrower["serious_illness"] else 1)


def _property_rate(tariff: _Mortgage, home: Mapping[str, Any]) -> Decimal:
    rate = tariff.property[home["kind"]]
    rate *= tariff.wooden if home["wooden"] else 1
    rate *= tariff.gas if home["gas"] else 1
    return rate * (tariff.old_house.factor if home["year_built"] < tariff.old_house.before else 1)


def _from_age(steps: Sequence[_FromAge], age: int) -> _FromAge:
    reached = [step for step in steps if step.from_age <= age]
    if not reached:
        raise CannotPrice("Людей такого возраста мы не страхуем.")
    return reached[-1]


def _day(answers: Mapping[str, Any], pointer: str) -> date:
    return date.fromisoformat(at_pointer(answers, pointer))
