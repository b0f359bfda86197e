"""Reads the OSAGO tables. Anything out of order stops the start with the file and the line."""

import csv
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import TypeVar

from insuretech.catalogue.osago.tariff import (
    AgeAndExperience,
    BaseRate,
    Basis,
    Edition,
    PeriodRate,
    PowerRate,
    Rate,
    Row,
    ShortPolicy,
    Tariff,
    TerritoryRate,
    spelling,
)
from insuretech.contracts.text import Text

STATUSES = ("confirmed", "single source", "inferred", "disputed", "unverified")
Cells = Mapping[str, str]
Made = TypeVar("Made")


class TariffDataInvalid(Exception):
    """A tariff table cannot be used; the message names file, line and fault."""


def packaged_tables() -> Traversable:
    """The tables that come with the package."""
    return files("insuretech.catalogue") / "data" / "osago"


def load_tariff(folder: Traversable | None = None) -> Tariff:
    """Read and check all tables of ``folder`` (the packaged ones by default)."""
    where = folder or packaged_tables()
    return Tariff(
        editions=_editions(where),
        base_rates=_table(where, "base_rates.csv", _base_rate, lambda row: (row.code,)),
        territories=_table(where, "kt.csv", _territory, lambda row: (row.region, row.territory)),
        foreign=_rates(where, "kt_foreign.csv", "group", value="kt"),
        kbm=_rates(where, "kbm.csv", "class", value="kbm"),
        kvs=_table(where, "kvs.csv", _kvs, lambda row: (row.family, row.age_from)),
        kvs_owner=_rates(where, "kvs_owner.csv", "owner", value="multiplier"),
        ko=_rates(where, "ko.csv", "drivers", "owner", value="ko"),
        km=_table(where, "km.csv", _km, lambda row: (row.categories, row.above)),
        periods=(
            *_table(where, "ks.csv", _ks, lambda row: (row.least,)),
            *_table(where, "kp.csv", _kp, lambda row: (row.registration, row.unit, row.least)),
        ),
        short_policies=_table(where, "short_policy.csv", _short, lambda row: (row.below_months,)),
        special_cases=_rates(where, "special_cases.csv", "case", "factor", value="value"),
        aliases={
            spelling(cells["also_spelled"]): spelling(cells["region"]) for _, cells in _lines(where, "aliases.csv")
        },
    )


def _lines(folder: Traversable, name: str) -> Iterator[tuple[int, Cells]]:
    """Rows with their line numbers; the first line is the header."""
    try:
        text = (folder / name).read_text(encoding="utf-8")
    except OSError as error:
        raise TariffDataInvalid(f"{name}: cannot be read") from error
    reader = csv.DictReader(text.splitlines(), strict=True)
    for cells in reader:
        if None in cells or None in cells.values():
            raise TariffDataInvalid(f"{name}:{reader.line_num}: the row has more or fewer cells than the header")
        yield reader.line_num, cells


DatedRow = TypeVar("DatedRow", bound=Row)


def _sources(folder: Traversable) -> dict[str, Text]:
    """What the short names in the ``evidence`` columns stand for; any other word stands for itself."""
    return {cells["code"]: Text(cells["ru"], cells["en"]) for _, cells in _lines(folder, "sources.csv")}


def _table(
    folder: Traversable,
    name: str,
    make: Callable[[Cells, Basis], DatedRow],
    key: Callable[[DatedRow], tuple[object, ...]],
) -> tuple[DatedRow, ...]:
    """Rows of one table; two rows of one key must not be in force on the same day."""
    seen: dict[tuple[object, ...], list[tuple[int, Basis]]] = {}
    sources = _sources(folder)
    rows = []
    for line, cells in _lines(folder, name):
        try:
            row = make(cells, _basis(cells, sources))
        except (KeyError, ValueError, InvalidOperation) as error:
            raise TariffDataInvalid(f"{name}:{line}: {_said(error)}") from error
        for other_line, other in seen.setdefault(key(row), []):
            if _overlap(row.basis, other):
                raise TariffDataInvalid(f"{name}:{line}: in force on the same days as line {other_line}")
        seen[key(row)].append((line, row.basis))
        rows.append(row)
    if not rows:
        raise TariffDataInvalid(f"{name}: the table is empty")
    return tuple(rows)


def _rates(folder: Traversable, name: str, *keys: str, value: str) -> tuple[Rate, ...]:
    def make(cells: Cells, basis: Basis) -> Rate:
        return Rate(basis, tuple(cells[key] for key in keys), _number(cells[value]))

    return _table(folder, name, make, lambda row: row.key)


def _editions(folder: Traversable) -> tuple[Edition, ...]:
    """Editions follow each other without a gap."""
    found: list[Edition] = []
    for line, cells in _lines(folder, "editions.csv"):
        try:
            edition = Edition(cells["edition"], date.fromisoformat(cells["from"]), _day(cells["until"]))
        except (KeyError, ValueError) as error:
            raise TariffDataInvalid(f"editions.csv:{line}: {_said(error)}") from error
        if found and (found[-1].until is None or (edition.since - found[-1].until).days != 1):
            raise TariffDataInvalid(f"editions.csv:{line}: does not begin the day after the edition before ends")
        found.append(edition)
    if not found:
        raise TariffDataInvalid("editions.csv: the table is empty")
    return tuple(found)


def _basis(cells: Cells, sources: Mapping[str, Text]) -> Basis:
    if cells["status"] not in STATUSES:
        raise ValueError(f"status {cells['status']!r} is none of {', '.join(STATUSES)}")
    if not cells["evidence"] or not cells["directive"]:
        raise ValueError("a number without a directive and evidence")
    since, until = date.fromisoformat(cells["from"]), _day(cells["until"])
    if until is not None and until < since:
        raise ValueError("ends before it begins")
    named = [sources.get(name, Text(name, name)) for name in cells["evidence"].split(", ")]
    evidence = Text(", ".join(name.ru for name in named), ", ".join(name.en for name in named))
    return Basis(cells["directive"], cells["annex"], cells["row"], evidence, cells["status"], since, until)


def _base_rate(cells: Cells, basis: Basis) -> BaseRate:
    minimum = _number(cells["min"]) if cells["min"] else None
    maximum = _number(cells["max"])
    if minimum is not None and minimum > maximum:
        raise ValueError("the minimum is above the maximum")
    title = Text(cells["title_ru"], cells["title_en"])
    return BaseRate(
        basis, cells["code"], title, _words(cells["categories"]), _words(cells["applies_to"]), minimum, maximum
    )


def _territory(cells: Cells, basis: Basis) -> TerritoryRate:
    tractors = _number(cells["kt_tractors"]) if cells["kt_tractors"] else None
    return TerritoryRate(basis, cells["region"], cells["territory"], _number(cells["kt"]), tractors)


def _kvs(cells: Cells, basis: Basis) -> AgeAndExperience:
    """Columns named ``0``, ``3-4``, ``15+`` are full years of experience; an empty cell cannot happen in life."""
    values = []
    for name, cell in cells.items():
        if name[0].isdigit() and cell:
            least, _, greatest = name.rstrip("+").partition("-")
            last = None if name.endswith("+") else int(greatest or least)
            values.append((int(least), last, _number(cell)))
    age_to = int(cells["age_to"]) if cells["age_to"] else None
    return AgeAndExperience(basis, cells["family"], int(cells["age_from"]), age_to, tuple(values))


def _km(cells: Cells, basis: Basis) -> PowerRate:
    up_to = _number(cells["up_to_hp"]) if cells["up_to_hp"] else None
    return PowerRate(basis, _words(cells["categories"]), Decimal(cells["above_hp"]), up_to, _number(cells["km"]))


def _ks(cells: Cells, basis: Basis) -> PeriodRate:
    return PeriodRate(basis, "", "months", int(cells["months_from"]), int(cells["months_to"]), _number(cells["ks"]))


def _kp(cells: Cells, basis: Basis) -> PeriodRate:
    least, greatest = int(cells["from_units"]), int(cells["to_units"])
    if cells["unit"] not in {"days", "months"}:
        raise ValueError(f"unit {cells['unit']!r} is neither days nor months")
    return PeriodRate(basis, cells["registration"], cells["unit"], least, greatest, _number(cells["kp"]))


def _short(cells: Cells, basis: Basis) -> ShortPolicy:
    return ShortPolicy(basis, int(cells["below_months"]), Decimal(cells["least"]), _number(cells["greatest"]))


def _number(cell: str) -> Decimal:
    number = Decimal(cell)
    if not number.is_finite() or number <= 0:
        raise ValueError(f"{cell!r} is not a positive number")
    return number


def _day(cell: str) -> date | None:
    return date.fromisoformat(cell) if cell else None


def _words(cell: str) -> frozenset[str]:
    return frozenset(cell.split())


def _overlap(one: Basis, other: Basis) -> bool:
    return (other.until is None or one.since <= other.until) and (one.until is None or other.since <= one.until)


def _said(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"there is no column {error.args[0]!r}"
    return "not a number" if isinstance(error, InvalidOperation) else str(error)
