"""The register of a month as an insurer or the payment provider writes it, with the slips it was told to make. Pure.

Insurers write as their programs do: some in the code page of Windows with decimal commas, some in UTF-8 with English
headings. The provider's registers are laid out as YooKassa lays out its own (https://yookassa.ru/docs/support/merchant/
payments/reports/reports-old): two lines before the table, sums after it.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from hashlib import sha256

import msgspec

from insuretech.kit.clock import MOSCOW
from insuretech.sandbox.domain import Slips

_ENGLISH = ("Policy No", "Issue date", "Gross premium", "Operation")
_RUSSIAN = ("№ п/п", "Номер полиса", "Дата заключения", "Страховая премия, руб.", "Вид операции")
_OWN_NUMBER = {"tihohod": "Бланк"}
_KOPECK = Decimal("0.01")


class Entry(msgspec.Struct, frozen=True):
    """One thing in a party's books; what goes back is negative for an insurer. ``note`` is the provider's."""

    number: str
    at: datetime
    amount: Decimal
    note: str = ""


def slipped(entries: Sequence[Entry], slips: Slips) -> Iterator[Entry]:
    """The entries as they are told; which of them slip depends on their numbers alone."""
    for entry in entries:
        if _share(entry, "omit") < slips.statement_omits:
            continue
        if _share(entry, "amount") < slips.statement_amounts:
            entry = msgspec.structs.replace(entry, amount=entry.amount + _KOPECK)  # noqa: PLW2901
        if _share(entry, "day") < slips.statement_days:
            entry = msgspec.structs.replace(entry, at=entry.at + timedelta(days=1))  # noqa: PLW2901
        yield entry
        if _share(entry, "double") < slips.statement_doubles:
            yield entry
    first = entries[0] if entries else None
    for number in range(slips.statement_invents if first else 0):
        if first is not None:
            yield Entry(f"{first.number[:4]}{9_999_000_000 + number}", first.at, Decimal(1000 + number), "")


def insurer_statement(insurer: str, entries: Iterator[Entry]) -> bytes:
    """An insurer's register as CSV."""
    out = io.StringIO(newline="")
    if len(insurer) % 2:
        rows = csv.writer(out, delimiter=",")
        rows.writerow(_ENGLISH)
        for entry in entries:
            day = f"{entry.at.astimezone(MOSCOW):%Y-%m-%d}"
            rows.writerow((entry.number, day, entry.amount, "Cancellation" if entry.amount < 0 else "Issue"))
        return out.getvalue().encode()
    rows = csv.writer(out, delimiter=";")
    rows.writerow(("Бордеро заключённых договоров", "", "", "", ""))
    rows.writerow(tuple(_OWN_NUMBER.get(insurer, name) if name == "Номер полиса" else name for name in _RUSSIAN))
    total = Decimal(0)
    for place, entry in enumerate(entries, start=1):
        total += entry.amount
        day = f"{entry.at.astimezone(MOSCOW):%d.%m.%Y}"
        what = "Расторжение" if entry.amount < 0 else "Заключение"
        rows.writerow((place, entry.number, day, _russian(entry.amount), what))
    rows.writerow(("Итого", "", "", _russian(total), ""))
    return out.getvalue().encode("cp1251")


def payments_register(shop: str, month: str, entries: Iterator[Entry]) -> bytes:
    """The provider's register of payments it took."""
    heading = ("Идентификатор платежа", "Сумма платежа", "Валюта платежа", "Время платежа", "Описание")
    rows = [(each.number, f"{each.amount:.2f}", "RUB", _moment(each), each.note) for each in entries]
    return _register(f"РЕЕСТР ПЛАТЕЖЕЙ ДЛЯ {shop}", month, heading, rows, "платежей")


def refunds_register(shop: str, month: str, entries: Iterator[Entry]) -> bytes:
    """The provider's register of refunds."""
    heading = ("Идентификатор возврата", "Идентификатор платежа", "Сумма возврата", "Валюта возврата", "Время возврата")
    rows = [(each.note, each.number, f"{each.amount:.2f}", "RUB", _moment(each)) for each in entries]
    return _register(f"РЕЕСТР ВОЗВРАТОВ ДЛЯ {shop}", month, heading, rows, "возвратов")


def _register(title: str, month: str, heading: Sequence[str], rows: Sequence[Sequence[str]], what: str) -> bytes:
    out = io.StringIO(newline="")
    out.write(f"{title}. № 1\r\nПериод: {month}\r\n")
    table = csv.writer(out, delimiter=";")
    table.writerow(heading)
    table.writerows(rows)
    out.write(f"\r\nЧисло {what}: {len(rows)}\r\n")
    return ("\ufeff" + out.getvalue()).encode()


def _share(entry: Entry, slip: str) -> float:
    """A number from 0 up to 1 that this entry has for this slip, every time the same."""
    return int.from_bytes(sha256(f"{slip}:{entry.number}:{entry.note}".encode()).digest()[:4]) / 2**32


def _russian(amount: Decimal) -> str:
    return f"{amount:,.2f}".replace(",", "\u00a0").replace(".", ",")


def _moment(entry: Entry) -> str:
    return f"{entry.at.astimezone(MOSCOW):%d.%m.%Y %H:%M:%S}"
