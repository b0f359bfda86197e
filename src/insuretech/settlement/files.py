"""The files of a register: a CSV for programs, a workbook and a PDF for people.

CSV: UTF-8 with a byte order mark (spreadsheets take it for something else without), comma, dot as decimal sign, dates
as 2026-10-31, one header line of names. Workbook: the sums on the first sheet, the lines on sheets of a million each.
Both are written while the database still reads lines, a piece at a time; the same register gives the same bytes.

No file holds a name: an insurer knows its policyholders by the number of the policy.
"""

import asyncio
import re
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal, Protocol

from insuretech.contracts.registers import FileKind
from insuretech.settlement.domain import LineKind, MonthTotal, Register

if TYPE_CHECKING:
    import xlsxwriter

SHEET_LINES = 1_000_000
"""Lines on one sheet; a sheet has room for 1,048,576 rows."""

_PIECE = 1 << 20  # bytes
_EPOCH = (1980, 1, 1, 0, 0, 0)  # of ZIP archives

WORDS: Mapping[LineKind, str] = {
    LineKind.POLICY_ISSUED: "Полис оформлен",
    LineKind.POLICY_CANCELLED: "Полис расторгнут",
    LineKind.PAYMENT_CAPTURED: "Премия получена",
    LineKind.PAYMENT_REFUNDED: "Премия возвращена",
    LineKind.HOLD_RELEASED: "Оплата не состоялась",
    LineKind.REVERSAL: "Сторно",
    LineKind.RESTATEMENT: "Исправление",
}


@dataclass(frozen=True)
class Column:
    """A column of a register: its name in the CSV, its title and width in the workbook, and how it is written there."""

    name: str
    title: str
    width: int
    kind: Literal["whole", "text", "date", "money", "share"]


COLUMNS = (
    Column("line", "№", 8, "whole"),
    Column("kind", "Операция", 20, "text"),
    Column("policy_number", "Номер полиса", 20, "text"),
    Column("product", "Продукт", 12, "text"),
    Column("happened_on", "Дата операции", 13, "date"),
    Column("starts_on", "Начало", 11, "date"),
    Column("ends_on", "Окончание", 11, "date"),
    Column("cancelled_on", "Расторгнут", 11, "date"),
    Column("premium", "Премия", 14, "money"),
    Column("collected", "Получено", 14, "money"),
    Column("rate", "Ставка", 9, "share"),
    Column("commission", "Вознаграждение без НДС", 16, "money"),
    Column("vat", "НДС", 12, "money"),
    Column("agreement", "Условия", 16, "text"),
    Column("reference", "Заказ", 38, "text"),
    Column("line_id", "Строка", 38, "text"),
    Column("corrects", "Исправляет строку", 38, "text"),
)


@dataclass(frozen=True)
class WrittenFile:
    """A file in the spool."""

    kind: FileKind
    path: Path
    sha256: str
    size: int


Sink = Callable[[bytes], Awaitable[None]]
"""Takes the next piece of a stream."""


class LineStreams(Protocol):
    """Lines of a register as the database writes them, in the order of their positions."""

    async def csv(self, register: Register, sink: Sink) -> None:
        """A header line, then a line each."""
        ...

    async def sheet_rows(
        self, register: Register, first: int, last: int, styles: Mapping[str, int], sink: Sink
    ) -> None:
        """Rows of a worksheet as SpreadsheetML, for lines in these positions."""
        ...


@asynccontextmanager
async def _pieces(write: Callable[[bytes], object]) -> AsyncIterator[Sink]:
    """Gathers what comes into pieces of a megabyte and has them written beside the event loop."""
    waiting = bytearray()

    async def sink(data: bytes) -> None:
        waiting.extend(data)
        if len(waiting) >= _PIECE:
            piece = bytes(waiting)
            waiting.clear()
            await asyncio.to_thread(write, piece)

    yield sink
    if waiting:
        await asyncio.to_thread(write, bytes(waiting))


def file_hash(path: Path) -> tuple[str, int]:
    """SHA-256 of a file in hex, and its size."""
    digest = sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
        return digest.hexdigest(), file.tell()


async def written(kind: FileKind, path: Path) -> WrittenFile:
    """A file that was just written, with its hash."""
    digest, size = await asyncio.to_thread(file_hash, path)
    return WrittenFile(kind=kind, path=path, sha256=digest, size=size)


async def write_csv(register: Register, streams: LineStreams, path: Path) -> WrittenFile:
    """The lines for programs."""
    with path.open("wb") as file:
        file.write(b"\xef\xbb\xbf")
        async with _pieces(file.write) as sink:
            await streams.csv(register, sink)
    return await written("csv", path)


async def write_workbook(
    register: Register, totals: Sequence[MonthTotal], streams: LineStreams, path: Path
) -> WrittenFile:
    """The lines for people.

    XlsxWriter makes the workbook with empty sheets; the rows are put in where it left room, as the database writes
    them. Cell by cell in Python a million lines would take minutes.
    """
    sheets = max(1, -(-register.lines // SHEET_LINES))
    blank = await asyncio.to_thread(_blank_workbook, register, totals, sheets)
    with zipfile.ZipFile(BytesIO(blank)) as source, path.open("wb") as file, _archive(file) as target:
        for name in source.namelist():
            number = re.fullmatch(r"xl/worksheets/sheet(\d+)\.xml", name)
            if number is None or number[1] == "1":
                _store(target, name, source.read(name))
            else:
                first = (int(number[1]) - 2) * SHEET_LINES + 1
                await _fill_sheet(target, name, source.read(name).decode(), register, first, streams)
    return await written("xlsx", path)


def _archive(file: IO[bytes]) -> zipfile.ZipFile:
    return zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1)


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry


def _store(target: zipfile.ZipFile, name: str, content: bytes) -> None:
    target.writestr(_entry(name), content, compresslevel=1)


async def _fill_sheet(
    target: zipfile.ZipFile, name: str, blank: str, register: Register, first: int, streams: LineStreams
) -> None:
    """Put lines in place of the one example row, whose cells say in which styles."""
    example = re.search(r'<row r="2".*?</row>', blank, re.DOTALL)
    if example is None:
        raise ValueError("the blank sheet has no example row")
    marks = re.findall(r'<c r="[A-Z]+2"(?: s="(\d+)")?', example[0])
    styles = {column.name: int(mark or 0) for column, mark in zip(COLUMNS, marks, strict=True)}
    last = min(first + SHEET_LINES - 1, register.lines)
    place = f"A1:{chr(ord('A') + len(COLUMNS) - 1)}{last - first + 2}"
    head = re.sub(r'<dimension ref="[^"]*"/>', f'<dimension ref="{place}"/>', blank[: example.start()])
    tail = re.sub(r'<autoFilter ref="[^"]*"/>', f'<autoFilter ref="{place}"/>', blank[example.end() :])
    with target.open(_entry(name), "w", force_zip64=True) as entry:
        entry.write(head.encode())
        async with _pieces(entry.write) as sink:
            await streams.sheet_rows(register, first, last, styles, sink)
        entry.write(tail.encode())


def _blank_workbook(register: Register, totals: Sequence[MonthTotal], sheets: int) -> bytes:
    """The sums, and sheets with titles and one example row."""
    import xlsxwriter  # noqa: PLC0415 - four megabytes that only the first of the month needs

    content = BytesIO()
    book = xlsxwriter.Workbook(content, {"in_memory": True, "default_date_format": "dd.mm.yyyy"})
    book.set_properties({"title": f"Реестр {register.number}", "created": register.closed_at.replace(tzinfo=None)})
    formats = {
        "head": book.add_format({"bold": True, "text_wrap": True, "valign": "top", "bottom": 1}),
        "whole": book.add_format({"num_format": "0"}),
        "text": book.add_format({"num_format": "@"}),
        "date": book.add_format({"num_format": "dd.mm.yyyy"}),
        "money": book.add_format({"num_format": "#,##0.00"}),
        "share": book.add_format({"num_format": "0.00##%"}),
    }
    _sums(book.add_worksheet("Итоги"), register, totals, formats)
    for number in range(1, sheets + 1):
        sheet = book.add_worksheet("Строки" if sheets == 1 else f"Строки {number}")
        sheet.freeze_panes(1, 0)
        for place, column in enumerate(COLUMNS):
            sheet.set_column(place, place, column.width)
            sheet.write_string(0, place, column.title, formats["head"])
            sheet.write_blank(1, place, None, formats[column.kind])
        sheet.autofilter(0, 0, 1, len(COLUMNS) - 1)
    book.close()
    return content.getvalue()


def _sums(
    sheet: "xlsxwriter.worksheet.Worksheet",
    register: Register,
    totals: Sequence[MonthTotal],
    formats: Mapping[str, "xlsxwriter.format.Format"],
) -> None:
    sheet.set_column(0, 0, 26)
    sheet.set_column(1, 6, 18)
    facts = (
        ("Реестр", register.number),
        ("Страховщик", register.insurer),
        ("Месяц", f"{register.month:%m.%Y}"),
        ("Закрыт (UTC)", f"{register.closed_at.astimezone(UTC):%d.%m.%Y %H:%M:%S}"),
        ("Расчёт", "за вычетом вознаграждения" if register.settlement == "net" else "без вычета вознаграждения"),
    )
    for row, (label, value) in enumerate(facts):
        sheet.write_string(row, 0, label)
        sheet.write_string(row, 1, value)
    row = len(facts) + 1
    titles = ("Продукт", "Операция", "Строк", "Премия", "Получено", "Вознаграждение без НДС", "НДС")
    for place, title in enumerate(titles):
        sheet.write_string(row, place, title, formats["head"])
    for total in totals:
        row += 1
        sheet.write_string(row, 0, total.product)
        sheet.write_string(row, 1, WORDS[total.kind])
        sheet.write_number(row, 2, total.lines, formats["whole"])
        for place, amount in enumerate((total.premium, total.collected, total.commission, total.vat), start=3):
            sheet.write_number(row, place, float(amount), formats["money"])
    row += 1
    sheet.write_string(row, 0, "Всего", formats["head"])
    sheet.write_number(row, 2, register.lines, formats["whole"])
    for place, amount in enumerate((register.premium, register.collected, register.commission, register.vat), start=3):
        sheet.write_number(row, place, float(amount), formats["money"])
    row += 2
    sheet.write_string(row, 0, "К перечислению страховщику", formats["head"])
    sheet.write_number(row, 3, float(register.payable), formats["money"])


def file_name(register: Register, kind: FileKind) -> str:
    """The name under which an insurer gets a file."""
    return f"register-{register.month:%Y-%m}-{register.insurer}.{kind}"
