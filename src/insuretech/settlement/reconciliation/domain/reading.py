"""From rows of cells to lines of a statement: every fault of the file is told with its line, none is passed over."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import TypeVar

import msgspec

from insuretech.settlement.reconciliation.domain.cells import Cell, CellUnreadable, amount_of, day_of, text_of
from insuretech.settlement.reconciliation.domain.columns import (
    ColumnMap,
    Columns,
    ColumnsAmbiguous,
    Entry,
    Field,
    found_columns,
    heading_key,
    missing_columns,
)
from insuretech.settlement.reconciliation.domain.numbers import number_key, padded

T = TypeVar("T")

HEADING_WITHIN = 30
"""Rows among which the heading must be: letterheads are short."""
MOST_LINES = 1_200_000
LONGEST_NUMBER = 64
KEPT_FAULTS = 1000
"""Faults that are kept with their places; the number of all is told in any case."""


class Row(msgspec.Struct, frozen=True):
    """One row of a table and the line of the file it begins at."""

    line: int
    cells: list[Cell]


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """Something in the file that cannot be used; ``line`` 0 is the file as a whole.

    ``code`` is stable, ``detail`` says it in English, ``column`` and ``value`` are as the file has them.
    """

    line: int
    code: str
    detail: str
    column: str = ""
    value: str = ""


class StatementLine(msgspec.Struct, frozen=True):
    """One line of a statement; a ``return`` has a negative amount."""

    line: int
    number: str
    key: str
    entry: Entry
    amount: Decimal
    day: date


class FileRefused(Exception):
    """Nothing of a file can be used; carries the fault to be told."""

    def __init__(self, code: str, detail: str, line: int = 0, value: str = "") -> None:
        super().__init__(detail)
        self.fault = Fault(line=line, code=code, detail=detail, value=value)


@dataclass
class Outcome:
    """What was met while lines were read: complete once the last line was taken."""

    lines: int = 0
    total: Decimal = Decimal("0.00")
    left_out: int = 0
    """Rows that sum up or hold nothing in our columns."""
    faults: list[Fault] = field(default_factory=list)
    fault_count: int = 0

    def refuse(self, fault: Fault) -> None:
        self.fault_count += 1
        if len(self.faults) < KEPT_FAULTS:
            self.faults.append(fault)


def read_lines(rows: Iterable[Row], columns: Columns, outcome: Outcome) -> Iterator[StatementLine]:
    """Lines of the table below its heading; faults and sums go to ``outcome``. Raises ``FileRefused``."""
    remaining = iter(rows)
    reader = _LineReader(columns, _heading(remaining, columns), outcome)
    for row in remaining:
        line = reader.read(row)
        if line is not None:
            outcome.lines += 1
            outcome.total += line.amount
            if outcome.lines > MOST_LINES:
                raise FileRefused("too_many_lines", f"at most {MOST_LINES} lines in one file", row.line)
            yield line


def _heading(rows: Iterator[Row], columns: Columns) -> ColumnMap:
    seen: list[list[Cell]] = []
    for row in rows:
        try:
            found = found_columns(row.cells, columns)
        except ColumnsAmbiguous as error:
            raise FileRefused("column_twice", "two columns have this heading", row.line, error.heading) from error
        if found is not None:
            return found
        seen.append(row.cells)
        if len(seen) >= HEADING_WITHIN:
            break
    if not seen:
        raise FileRefused("empty", "the file holds no table")
    missing = ", ".join(f"{name} ({columns.headings[name][0]})" for name in missing_columns(seen, columns))
    raise FileRefused("no_heading", f"no row of headings has all columns; missing: {missing}", 0, missing)


class _LineReader:
    def __init__(self, columns: Columns, found: ColumnMap, outcome: Outcome) -> None:
        self._columns = columns
        self._found = found
        self._outcome = outcome
        self._totals = tuple(heading_key(word) for word in columns.totals)
        self._returns = tuple(heading_key(word) for word in columns.returns)
        self._number, self._day, self._amount = (found.places[name] for name in ("number", "day", "amount"))
        self._operation = found.places.get("operation")

    def read(self, row: Row) -> StatementLine | None:
        cells = row.cells
        try:
            number, day, amount = cells[self._number], cells[self._day], cells[self._amount]
        except IndexError:
            cells = cells + [None] * (max(self._found.places.values()) + 1 - len(cells))
            number, day, amount = cells[self._number], cells[self._day], cells[self._amount]
        if _is_blank(day) and ((_is_blank(number) and _is_blank(amount)) or self._sums_up(cells, number)):
            self._outcome.left_out += 1
            return None
        name = self._read(row.line, "number", number, _number)
        paid_on = self._read(row.line, "day", day, _day)
        money = self._read(row.line, "amount", amount, amount_of)
        if name is None or paid_on is None or money is None:
            return None
        text, key = name
        entry, signed = self._way(cells, money)
        return StatementLine(row.line, text, padded(key, self._columns.digits), entry, signed, paid_on)

    def _way(self, cells: list[Cell], amount: Decimal) -> tuple[Entry, Decimal]:
        entry = self._columns.entry
        if entry is None and self._operation is not None:
            word = heading_key(cells[self._operation] if self._operation < len(cells) else None)
            entry = "return" if any(word.startswith(sign) for sign in self._returns) and word else None
        if entry is None:
            entry = "return" if amount < 0 else "premium"
        return entry, -abs(amount) if entry == "return" else amount

    def _read(self, line: int, name: Field, cell: Cell, read: Callable[[Cell], T]) -> T | None:
        try:
            return read(cell)
        except CellUnreadable as error:
            self._outcome.refuse(
                Fault(
                    line=line,
                    code=error.code,
                    detail=str(error),
                    column=self._found.headings[name],
                    value=_shown(cell),
                )
            )
            return None

    def _sums_up(self, cells: list[Cell], number: Cell) -> bool:
        """Rows such as ``Итого: 12 полисов``: they begin so, and hold neither a day nor a number of a policy."""
        first = next((cell for cell in cells if not _is_blank(cell)), None)
        if not isinstance(first, str) or not heading_key(first).startswith(self._totals):
            return False
        return _is_blank(number) or number is first


def _is_blank(cell: Cell) -> bool:
    return cell is None or (isinstance(cell, str) and not cell.strip())


def _number(cell: Cell) -> tuple[str, str]:
    """A number as it is written, and its key."""
    text = text_of(cell)
    key = number_key(text)
    if not key:
        raise CellUnreadable("empty", "there is no number")
    if len(text) > LONGEST_NUMBER:
        raise CellUnreadable("too_long", f"a number has at most {LONGEST_NUMBER} characters")
    if not text.isprintable():
        raise CellUnreadable("character", "there is a control character in this number")
    return text, key


_text_day = lru_cache(maxsize=4096)(day_of)
"""A statement of a month has a million lines and thirty days."""


def _day(cell: Cell) -> date:
    return _text_day(cell) if isinstance(cell, str) and len(cell) < 40 else day_of(cell)


def _shown(cell: Cell) -> str:
    """A cell for a message: short, and nothing that could upset a terminal."""
    text = "" if cell is None else str(cell)
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text[:60])
