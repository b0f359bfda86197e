"""The OSAGO tariff tables as typed rows, each with the days it is in force and where it comes from."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TypeVar

from insuretech.contracts.text import Language, Text

BASE_ACT = "6007-U"
CONFIRMED = "confirmed"
WHOLE_REGION = "(whole region)"
OTHER_PLACES = "прочие"


@dataclass(frozen=True, slots=True)
class Basis:
    """Where a number comes from and when it is in force (both days inclusive; ``until`` None is without end).

    ``status`` is ``confirmed``, ``single source``, ``inferred`` (equal in the editions before and after),
    ``disputed`` (sources disagree) or ``unverified``.
    """

    directive: str
    annex: str
    row: str
    evidence: Text
    status: str
    since: date
    until: date | None

    def in_force(self, on: date) -> bool:
        return self.since <= on and (self.until is None or on <= self.until)

    def source(self, language: Language) -> str:
        """The act, the edition, the place in it, and what the number was read from or checked against."""
        amended = self.directive != BASE_ACT
        if language == "ru":
            edition = f" в ред. № {self.directive.replace('-U', '-У')}" if amended else ""
            place = (f", прил. {self.annex}" if self.annex else "") + (f", п. {self.row}" if self.row else "")
            return (
                f"Указание Банка России № {BASE_ACT.replace('-U', '-У')}{edition}{place}. Сверено: {self.evidence.ru}"
            )
        edition = f" as amended by {self.directive}" if amended else ""
        place = (f", annex {self.annex}" if self.annex else "") + (f", row {self.row}" if self.row else "")
        return f"Bank of Russia Directive {BASE_ACT}{edition}{place}. Checked against: {self.evidence.en}"


@dataclass(frozen=True, slots=True)
class Row:
    """What every row has."""

    basis: Basis


@dataclass(frozen=True, slots=True)
class BaseRate(Row):
    """TB: roubles a year. ``minimum`` None: the sources give the edition's maximum alone."""

    code: str
    title: Text
    categories: frozenset[str]
    applies_to: frozenset[str]
    minimum: Decimal | None
    maximum: Decimal


@dataclass(frozen=True, slots=True)
class TerritoryRate(Row):
    """KT of a territory; ``tractors`` None: not known for tractors and self-propelled machines."""

    region: str
    territory: str
    value: Decimal
    tractors: Decimal | None


@dataclass(frozen=True, slots=True)
class Rate(Row):
    """A coefficient looked up by words alone."""

    key: tuple[str, ...]
    value: Decimal


@dataclass(frozen=True, slots=True)
class AgeAndExperience(Row):
    """One row of KVS: ages in full years, and (least, greatest or None) full years of experience with its value."""

    family: str
    age_from: int
    age_to: int | None
    values: tuple[tuple[int, int | None, Decimal], ...]


@dataclass(frozen=True, slots=True)
class PowerRate(Row):
    """KM for power above ``above`` and up to and including ``up_to`` hp (None: without limit)."""

    categories: frozenset[str]
    above: Decimal
    up_to: Decimal | None
    value: Decimal


@dataclass(frozen=True, slots=True)
class PeriodRate(Row):
    """KS or KP for a period of ``least`` to ``greatest`` days or months; ``registration`` is empty for KS."""

    registration: str
    unit: str
    least: int
    greatest: int
    value: Decimal


@dataclass(frozen=True, slots=True)
class ShortPolicy(Row):
    """Policies of less than ``below_months``: the insurer's own coefficient, between ``least`` and ``greatest``."""

    below_months: int
    least: Decimal
    greatest: Decimal


@dataclass(frozen=True, slots=True)
class Edition:
    """An edition of the directive, named by the amending act."""

    name: str
    since: date
    until: date | None

    def in_force(self, on: date) -> bool:
        return self.since <= on and (self.until is None or on <= self.until)


Dated = TypeVar("Dated", bound=Row)


def in_force(rows: Iterable[Dated], on: date) -> list[Dated]:
    """The rows that apply to a contract concluded that day."""
    return [row for row in rows if row.basis.in_force(on)]


@dataclass(frozen=True, slots=True)
class Tariff:
    """All tables of all editions."""

    editions: tuple[Edition, ...]
    base_rates: tuple[BaseRate, ...]
    territories: tuple[TerritoryRate, ...]
    foreign: tuple[Rate, ...]
    kbm: tuple[Rate, ...]
    kvs: tuple[AgeAndExperience, ...]
    kvs_owner: tuple[Rate, ...]
    ko: tuple[Rate, ...]
    km: tuple[PowerRate, ...]
    periods: tuple[PeriodRate, ...]
    short_policies: tuple[ShortPolicy, ...]
    special_cases: tuple[Rate, ...]
    aliases: dict[str, str]

    def edition(self, on: date) -> Edition | None:
        return next((edition for edition in self.editions if edition.in_force(on)), None)

    def rate(self, rows: Iterable[Rate], on: date, *key: str) -> Rate | None:
        return next((row for row in in_force(rows, on) if row.key == key), None)

    def region(self, name: str) -> str | None:
        """The region as the tables spell it; case, ё, dashes and spaces do not matter."""
        wanted = spelling(name)
        wanted = self.aliases.get(wanted, wanted)
        return next((row.region for row in self.territories if spelling(row.region) == wanted), None)

    def territory(self, region: str, name: str, on: date) -> TerritoryRate | None:
        """KT of a place: its own row, or that of its whole region. Never the one of "other places" by itself."""
        wanted = spelling(name).removeprefix(f"{spelling(region)}, ")
        rows = [row for row in in_force(self.territories, on) if row.region == region]
        named = (row for row in rows if spelling(row.territory) == wanted)
        return next(named, None) or next((row for row in rows if row.territory == WHOLE_REGION), None)

    def places(self, on: date) -> dict[str, list[str]]:
        """Regions and the territories of each whose KT is known that day."""
        found: dict[str, list[str]] = {}
        for row in in_force(self.territories, on):
            found.setdefault(row.region, []).append(row.territory)
        return found


def spelling(name: str) -> str:
    """A name as it is compared."""
    plain = name.casefold().replace("ё", "е")
    for dash in "‐‑–—":
        plain = plain.replace(dash, "-")
    return " ".join(plain.split())
