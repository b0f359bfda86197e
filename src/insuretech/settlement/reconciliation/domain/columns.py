"""Which column of a statement is which: synonyms of headings by party, versioned data (``data/columns.yaml``)."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from importlib.resources import files
from typing import Annotated, Any, Literal

import msgspec
import yaml

from insuretech.contracts.text import Text
from insuretech.settlement.reconciliation.domain.cells import Cell, NotAValue

Field = Literal["number", "day", "amount", "operation"]
Entry = Literal["premium", "return"]
"""Which way the money goes: to the insurer, or back to the buyer."""

REQUIRED: tuple[Field, ...] = ("number", "day", "amount")
_WORD = re.compile(r"[^\W_]+")
_UNITS = {"руб", "рублей", "рубли", "р", "rub", "rur"}


class Columns(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one party's statement is read.

    ``headings``: synonyms by field, the preferred first. ``returns``: words in ``operation`` that say that money goes
    back. ``totals``: how rows begin that sum up. ``entry``: fixed for a party whose statement holds one sort only.
    ``digits``: length to which numbers of digits alone are filled with zeros. ``compare_days``: False where the
    statement's day means something else than ours. ``name``: of a party that is no insurer.
    """

    headings: dict[Field, list[str]]
    returns: list[str] = []
    totals: list[str] = []
    entry: Entry | None = None
    digits: Annotated[int, msgspec.Meta(ge=0, le=40)] = 0
    compare_days: bool = True
    name: Text | None = None
    version: str = ""


class _Book(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    insurers: dict[str, Any]
    others: dict[str, dict[str, Any]]
    special: dict[str, dict[str, Any]] = {}


class ColumnMap(msgspec.Struct, frozen=True):
    """Where the fields of a statement stand: indices into a row, and the headings as the file has them."""

    places: dict[Field, int]
    headings: dict[Field, str]


class ColumnsAmbiguous(Exception):
    """Two columns of the file carry the same heading that we need."""

    def __init__(self, heading: str) -> None:
        super().__init__(heading)
        self.heading = heading


@cache
def _book() -> _Book:
    text = (files("insuretech.settlement.reconciliation") / "data" / "columns.yaml").read_text("utf-8")
    return msgspec.convert(yaml.safe_load(text), _Book)


@cache
def columns_of(party: str) -> Columns:
    """How a party's statements are read: its own entry, or what holds for every insurer with its exceptions."""
    book = _book()
    entry = book.others.get(party) or _merged(book.insurers, book.special.get(party, {}))
    kind = party if party in book.others else "insurer" if party not in book.special else f"insurer:{party}"
    return msgspec.structs.replace(msgspec.convert(entry, Columns), version=f"{kind}/{book.version}")


def other_parties() -> Mapping[str, Text]:
    """Parties that are no insurers, with their names."""
    return {code: columns_of(code).name or Text(code, code) for code in _book().others}


def found_columns(row: Sequence[Cell], columns: Columns) -> ColumnMap | None:
    """The map if this row is the heading of the table; None when a column that we need is not in it.

    Raises ``ColumnsAmbiguous``.
    """
    names = [heading_key(cell) for cell in row]
    places: dict[Field, int] = {}
    for field, synonyms in columns.headings.items():
        for synonym in synonyms:
            key = heading_key(synonym)
            if names.count(key) > 1:
                raise ColumnsAmbiguous(str(row[names.index(key)]).strip())
            if key in names:
                places[field] = names.index(key)
                break
    if any(field not in places for field in REQUIRED):
        return None
    return ColumnMap(places, {field: str(row[place]).strip() for field, place in places.items()})


def missing_columns(rows: Sequence[Sequence[Cell]], columns: Columns) -> list[Field]:
    """The fields without a column in the row that comes nearest to a heading."""
    best = list(REQUIRED)
    for row in rows:
        names = {heading_key(cell) for cell in row}
        missing = [
            field for field in REQUIRED if not any(heading_key(synonym) in names for synonym in columns.headings[field])
        ]
        best = min(best, missing, key=len)
    return best


@lru_cache(maxsize=2048)
def heading_key(cell: Cell) -> str:
    """A heading without what makes no difference: case, ``ё``, signs, line breaks, the unit at its end."""
    if not isinstance(cell, str) or isinstance(cell, NotAValue):
        return ""
    text = unicodedata.normalize("NFKC", cell.replace("№", " номер ")).lower().replace("ё", "е")
    words = _WORD.findall(text[:200])
    while len(words) > 1 and words[-1] in _UNITS:
        words.pop()
    return " ".join(words)


def _merged(common: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """An insurer's own synonyms come before those of all."""
    headings = {
        field: [*own.get("headings", {}).get(field, []), *synonyms] for field, synonyms in common["headings"].items()
    }
    return {**common, **own, "headings": headings}
