"""Opens the files that people send: CSV in the encodings of Russia, and XLSX; everything is bounded.

A reader gives rows with the line they begin at and raises ``FileRefused`` for what is no table at all. What a cell
means is decided later (``domain.reading``).
"""

import csv
import io
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import chain, islice
from typing import Any

from insuretech.settlement.reconciliation.domain.cells import Cell, NotAValue
from insuretech.settlement.reconciliation.domain.columns import Columns, ColumnsAmbiguous, found_columns
from insuretech.settlement.reconciliation.domain.reading import HEADING_WITHIN, FileRefused, Row

LARGEST_FILE = 128 * 1024 * 1024  # bytes
LARGEST_UNPACKED = 1024 * 1024 * 1024  # bytes, of all parts of a workbook together
LARGEST_HELD = 128 * 1024 * 1024  # bytes of the parts that are held in memory: all but the sheets
MOST_PARTS = 2000
WIDEST = 200  # columns
LONGEST_CELL = 4000  # characters
_DELIMITERS = (";", "\t", ",", "|")
_BOMS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_OTHER_FORMATS = (
    (b"\xd0\xcf\x11\xe0", "an old Excel file (.xls) or one with a password: save it as .xlsx without a password"),
    (b"%PDF", "a PDF: ask for the table as .xlsx or .csv"),
    (b"\x1f\x8b", "packed with gzip: unpack it first"),
    (b"Rar!", "packed with RAR: unpack it first"),
    (b"7z\xbc\xaf", "packed with 7-Zip: unpack it first"),
    (b"{\\rtf", "a text document: save the table as .xlsx or .csv"),
)


def rows_of(content: bytes, columns: Columns) -> Iterator[Row]:
    """The rows of the table in a file, whatever its name says it is. Raises ``FileRefused``, at once or on the way."""
    if not content.strip():
        raise FileRefused("empty", "the file is empty")
    if len(content) > LARGEST_FILE:
        raise FileRefused("too_large", f"a file has at most {LARGEST_FILE // 1024**2} MB")
    for beginning, what in _OTHER_FORMATS:
        if content.startswith(beginning):
            raise FileRefused("format", f"this is {what}")
    return _workbook_rows(content, columns) if content.startswith(b"PK") else _text_rows(content, columns)


# ---------------------------------------------------------------- CSV


def _text_rows(content: bytes, columns: Columns) -> Iterator[Row]:
    text = _decoded(content)
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise FileRefused("character", "there is a character U+0000: this is not a text file", line)
    return _csv_rows(text, _delimiter(text, columns))


def _decoded(content: bytes) -> str:
    """UTF-8 or UTF-16 by their mark, UTF-8 if all of it is that, else the Russian code page of Windows."""
    encoding = next((name for mark, name in _BOMS if content.startswith(mark)), None)
    try:
        return content.decode(encoding or "utf-8")
    except UnicodeDecodeError as error:
        if encoding is not None:
            line = content.count(b"\n", 0, error.start) + 1
            raise FileRefused("encoding", f"the file says it is {encoding}, and here it is not", line) from error
    try:
        return content.decode("cp1251")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise FileRefused("encoding", "the text is neither UTF-8 nor Windows-1251", line) from error


def _delimiter(text: str, columns: Columns) -> str:
    """The one with which the first rows hold our headings; else the one that makes the most of them."""
    beginning = "\n".join(text[:200_000].splitlines()[: HEADING_WITHIN + 10])
    widths = {}
    for delimiter in _DELIMITERS:
        rows = list(islice(_lenient(beginning, delimiter), HEADING_WITHIN))
        try:
            if any(found_columns(row, columns) for row in rows):
                return delimiter
        except ColumnsAmbiguous:
            return delimiter
        widths[delimiter] = sum(len(row) for row in rows)
    return max(_DELIMITERS, key=widths.__getitem__)


def _lenient(text: str, delimiter: str) -> Iterator[Sequence[Cell]]:
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    while True:
        try:
            yield next(rows)
        except (StopIteration, csv.Error):
            return


def _csv_rows(text: str, delimiter: str) -> Iterator[Row]:
    csv.field_size_limit(LONGEST_CELL)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    while True:
        line = rows.line_num + 1
        try:
            cells: list[Any] = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            raise FileRefused("quoting", _said(error), line) from error
        if len(cells) > WIDEST:
            raise FileRefused("too_wide", f"a row has more than {WIDEST} columns", line)
        if cells:
            yield Row(line, cells)


def _said(error: csv.Error) -> str:
    if "field larger" in str(error):
        return f"a cell has more than {LONGEST_CELL} characters, or a quotation mark is never closed"
    return "a quotation mark is out of place, or one is never closed"


# ---------------------------------------------------------------- XLSX


@dataclass
class _Sheet:
    name: str
    rows: Iterator[Row]


def _workbook_rows(content: bytes, columns: Columns) -> Iterator[Row]:
    import openpyxl  # noqa: PLC0415 - half a second that a CSV file need not wait

    _check_parts(content)
    try:
        book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=False, keep_links=False)
        found = [sheet for sheet in map(_sheet_of(book), book.worksheets) if _has_table(sheet, columns)]
    except FileRefused:
        raise
    except Exception as error:  # the library raises whatever it stumbles over
        raise FileRefused("format", "the workbook is damaged: open it in Excel and save it again") from error
    if len(found) > 1:
        names = ", ".join(sheet.name for sheet in found)
        raise FileRefused("sheets", "several sheets hold such a table: send one file for each", 0, names)
    first = found[0] if found else _sheet_of(book)(book.worksheets[0]) if book.worksheets else None
    return _guarded(first.rows) if first is not None else iter(())


def _check_parts(content: bytes) -> None:
    """Bounds what unpacking can bring, before anything is unpacked, and refuses other packed files."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            parts = packed.infolist()
            names = {part.filename for part in parts}
    except (zipfile.BadZipFile, ValueError, OSError) as error:
        raise FileRefused("format", "the workbook is damaged: open it in Excel and save it again") from error
    if "xl/workbook.xml" not in names:
        raise FileRefused("format", "this is a packed file, not an Excel workbook (.xlsx): unpack it first")
    if "xl/vbaProject.bin" in names:
        raise FileRefused("format", "the workbook holds macros: save it as .xlsx")
    unpacked = sum(part.file_size for part in parts)
    held = sum(part.file_size for part in parts if not part.filename.startswith("xl/worksheets/"))
    if len(parts) > MOST_PARTS or unpacked > LARGEST_UNPACKED or held > LARGEST_HELD:
        raise FileRefused("too_large", "unpacked, the workbook is larger than we take")
    if any(part.flag_bits & 1 for part in parts):
        raise FileRefused("format", "the workbook has a password: save it without one")


def _sheet_of(book: Any) -> Any:
    if book.epoch.year == 1904:
        raise FileRefused("format", "the workbook counts days from 1904: switch that off in Excel and save it again")

    def open_sheet(sheet: Any) -> _Sheet:
        sheet.reset_dimensions()  # what a file says of its own size need not be true
        return _Sheet(sheet.title, _sheet_rows(sheet))

    return open_sheet


def _has_table(sheet: _Sheet, columns: Columns) -> bool:
    """Whether the heading is among the first rows; these are put back."""
    first = list(islice(sheet.rows, HEADING_WITHIN))
    sheet.rows = chain(first, sheet.rows)
    try:
        return any(found_columns(row.cells, columns) for row in first)
    except ColumnsAmbiguous:
        return True


def _sheet_rows(sheet: Any) -> Iterator[Row]:
    for line, cells in enumerate(sheet.iter_rows(max_col=WIDEST), start=1):
        values = [_value(cell) for cell in cells]
        if any(value is not None for value in values):
            yield Row(line, values)


def _value(cell: Any) -> Cell:
    value = cell.value
    if value is None:
        return None
    if cell.data_type in {"f", "e"}:
        return NotAValue(str(value)[:LONGEST_CELL])
    if isinstance(value, str):
        return value[: LONGEST_CELL + 1]
    if isinstance(value, bool | int | float | datetime | date):
        return value
    return str(value)  # a time of day or a duration: whoever needs a date or an amount will refuse it


def _guarded(rows: Iterator[Row]) -> Iterator[Row]:
    """The rows of a workbook that may turn out to be damaged on the way."""
    line = 0
    try:
        for row in rows:
            line = row.line
            yield row
    except Exception as error:
        raise FileRefused("format", "from here on the workbook is damaged", line + 1) from error
