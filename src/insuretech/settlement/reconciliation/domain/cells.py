"""What stands in one cell of a table that people made: days and amounts, as they are written in Russia and by Excel."""

import re
from datetime import date, datetime, timedelta
from decimal import Decimal

from insuretech.kit.clock import MOSCOW


class NotAValue(str):
    """A cell that holds no value: a formula, or what Excel shows for one that failed (``#REF!``)."""

    __slots__ = ()


Cell = str | int | float | bool | date | datetime | Decimal | None
"""What a reader of files gives: texts from CSV; numbers, days and truth from Excel."""

FIRST_YEAR, LAST_YEAR = 2000, 2099
EXCEL_EPOCH = date(1899, 12, 30)
"""Day 0 of Excel's count, such that 1 March 1900 is day 61; before that Excel counts a day that never was."""
LARGEST = Decimal(10) ** 12

_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            ("января", "янв", "jan", "january"),
            ("февраля", "фев", "feb", "february"),
            ("марта", "мар", "mar", "march"),
            ("апреля", "апр", "apr", "april"),
            ("мая", "май", "may"),
            ("июня", "июн", "jun", "june"),
            ("июля", "июл", "jul", "july"),
            ("августа", "авг", "aug", "august"),
            ("сентября", "сен", "sep", "september"),
            ("октября", "окт", "oct", "october"),
            ("ноября", "ноя", "nov", "november"),
            ("декабря", "дек", "dec", "december"),
        ),
        start=1,
    )
    for name in names
}
_TIME = r"(?:[T ]+(?P<time>\d{1,2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?)\s*(?P<zone>Z|[+-]\d{2}:?\d{2})?)?"
_DAY_FIRST = re.compile(rf"(?P<day>\d{{1,2}})[./-](?P<month>\d{{1,2}})[./-](?P<year>\d{{4}}|\d{{2}}){_TIME}\Z")
_YEAR_FIRST = re.compile(rf"(?P<year>\d{{4}})[-./](?P<month>\d{{1,2}})[-./](?P<day>\d{{1,2}}){_TIME}\Z")
_IN_WORDS = re.compile(r"(?P<day>\d{1,2})\s+(?P<month>[a-zа-я]+)\.?\s+(?P<year>\d{4})\s*(?:г\.?|года)?\Z")
_SERIAL = re.compile(r"\d{5}(?:[.,]\d+)?\Z")

_KEPT_AS_TEXT = re.compile(r'="([^"]*)"\Z')
"""How programs make Excel keep the zeros of a number in a CSV file."""

_SPACES = re.compile(r"[\s\u00a0\u2007\u2009\u202f'’]+")
_CURRENCY = re.compile(r"(?:руб(?:лей|ля|ль)?\.?|р\.|₽|rub|rur)\Z", re.IGNORECASE)
_PLAIN = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]{1,2})?\Z")
_SHAPE = re.compile(r"[+-]?\d[\d.,]*\Z")


class CellUnreadable(ValueError):
    """A cell does not hold what its column is for; ``code`` is stable, the message says it in English."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def text_of(cell: Cell) -> str:
    """A cell as text, trimmed; a whole number without a decimal point.

    Raises ``CellUnreadable`` for a number so long that Excel has not kept all its digits (it keeps 15).
    """
    if cell is None:
        return ""
    _refuse_formula(cell)
    if isinstance(cell, bool):
        raise CellUnreadable("type", "this is TRUE or FALSE, not a text")
    if isinstance(cell, datetime | date):
        raise CellUnreadable("type", "this is a date, not a text")
    if isinstance(cell, int | float):
        if not abs(cell) < 10**15:
            raise CellUnreadable("digits_lost", "Excel keeps 15 digits of a number: format the column as text")
        return str(int(cell)) if cell == int(cell) else repr(cell)
    text = str(cell).strip()
    quoted = _KEPT_AS_TEXT.match(text)
    return quoted[1] if quoted else text


def day_of(cell: Cell, epoch: date = EXCEL_EPOCH) -> date:
    """The calendar day in a cell: ``31.12.2026``, ``2026-12-31``, ``31 декабря 2026 г.``, or Excel's count of days.

    A time is left out; one with an offset is first turned into Moscow time, by which contracts are dated.
    Raises ``CellUnreadable``.
    """
    _refuse_formula(cell)
    if isinstance(cell, bool):
        raise CellUnreadable("type", "this is TRUE or FALSE, not a date")
    if isinstance(cell, datetime):
        return _within(cell.date())
    if isinstance(cell, date):
        return _within(cell)
    if isinstance(cell, int | float | Decimal):
        return _counted(float(cell), epoch)
    text = _SPACES.sub(" ", cell or "").strip().lower()
    if not text:
        raise CellUnreadable("empty", "there is no date")
    if _SERIAL.match(text):
        return _counted(float(text.replace(",", ".")), epoch)
    found = _DAY_FIRST.match(text.upper()) or _YEAR_FIRST.match(text.upper())
    if found is not None:
        return _written(found)
    found = _IN_WORDS.match(text)
    if found is None or found["month"] not in _MONTHS:
        raise CellUnreadable("date", "this is not a date such as 31.12.2026 or 2026-12-31")
    return _calendar(int(found["year"]), _MONTHS[found["month"]], int(found["day"]))


def amount_of(cell: Cell) -> Decimal:
    """The amount in a cell, to the kopeck: ``12 345,67``, ``12345.67``, ``12,345.67``, ``(100,00)``, ``100 ₽``.

    A number with one separator and three digits after it is refused: it may be a thousand or a fraction.
    Raises ``CellUnreadable``.
    """
    _refuse_formula(cell)
    if isinstance(cell, bool | datetime | date):
        raise CellUnreadable("type", "this is not an amount")
    if isinstance(cell, int | Decimal):
        return _to_the_kopeck(Decimal(cell))
    if isinstance(cell, float):
        return _from_binary(cell)
    text = cell or ""
    text = text.replace(",", ".") if _PLAIN.match(text) else _plain_number(text)
    return _to_the_kopeck(Decimal(text))


def _refuse_formula(cell: Cell) -> None:
    """Only values are taken: a formula may say something else tomorrow, and in CSV it is nothing at all."""
    if isinstance(cell, NotAValue):
        raise CellUnreadable("formula", "this is a formula or its error: paste the column as values")
    if isinstance(cell, str) and cell.lstrip().startswith("=") and not _KEPT_AS_TEXT.match(cell.strip()):
        raise CellUnreadable("formula", "this is a formula: paste the column as values")


def _counted(days: float, epoch: date) -> date:
    if not 30_000 <= days < 80_000:
        raise CellUnreadable("date", "this number is not a date: Excel counts days, 46387 is 31.12.2026")
    return _within(epoch + timedelta(days=int(days)))


def _written(found: re.Match[str]) -> date:
    year = int(found["year"])
    day = _calendar(year + 2000 if year < 100 else year, int(found["month"]), int(found["day"]))
    if not found["time"]:
        return day
    zone = (found["zone"] or "").replace("Z", "+00:00")
    hours, rest = found["time"].split(":", 1)
    try:
        moment = datetime.fromisoformat(f"{day.isoformat()}T{int(hours):02}:{rest}{zone}")
    except ValueError as error:
        raise CellUnreadable("date", "there is no such time") from error
    return moment.astimezone(MOSCOW).date() if moment.tzinfo else day


def _calendar(year: int, month: int, day: int) -> date:
    try:
        return _within(date(year, month, day))
    except ValueError as error:
        if isinstance(error, CellUnreadable):
            raise
        raise CellUnreadable("date", "there is no such day") from error


def _within(day: date) -> date:
    if not FIRST_YEAR <= day.year <= LAST_YEAR:
        raise CellUnreadable("date", f"the year is not between {FIRST_YEAR} and {LAST_YEAR}")
    return day


def _plain_number(text: str) -> str:
    """A written amount as digits with a point, if there is one way to read it."""
    written = _SPACES.sub("", text).replace("\u2212", "-").replace("–", "-")
    if not written:
        raise CellUnreadable("empty", "there is no amount")
    written = _CURRENCY.sub("", written)
    if written.startswith("(") and written.endswith(")"):
        written = f"-{written[1:-1]}"
    if written.endswith("-"):
        written = f"-{written[:-1]}"
    if not _SHAPE.match(written):
        raise CellUnreadable("amount", "this is not an amount such as 12345,67")
    mark = max(",", ".", key=written.rfind)
    other = "." if mark == "," else ","
    whole, _, fraction = written.rpartition(mark)
    if not whole:
        return written
    if written.count(mark) > 1:
        whole, fraction = written, ""
    elif len(fraction) == 3 and other not in whole:
        raise CellUnreadable("ambiguous", "this may be a thousand or a fraction: write 1234,00 or 1,23")
    groups = re.split(r"[.,]", whole.lstrip("+-"))
    mixed = "," in whole and "." in whole
    if mixed or any(len(group) != 3 for group in groups[1:]) or (len(groups[0]) > 3 and len(groups) > 1):
        raise CellUnreadable("amount", "the digits are not grouped by three")
    sign = "-" if whole.startswith("-") else ""
    return f"{sign}{''.join(groups)}.{fraction or '0'}"


def _from_binary(number: float) -> Decimal:
    """Excel keeps 0.1 as 0.1000000000000000055: what differs by less than a millionth is meant to be the same."""
    if not abs(number) < float(LARGEST):
        raise CellUnreadable("amount", "an amount is a number below a trillion")
    nearest = Decimal(repr(number)).quantize(Decimal("0.01"))
    if abs(Decimal(repr(number)) - nearest) > Decimal("0.000001"):
        raise CellUnreadable("fraction", "an amount has at most two decimal places")
    return _to_the_kopeck(nearest)


def _to_the_kopeck(amount: Decimal) -> Decimal:
    if abs(amount) >= LARGEST:
        raise CellUnreadable("amount", "an amount is below a trillion")
    nearest = amount.quantize(Decimal("0.01"))
    if nearest != amount:
        raise CellUnreadable("fraction", "an amount has at most two decimal places")
    return nearest + 0  # never minus zero
