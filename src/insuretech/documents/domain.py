"""What a policy document says and under which names it is kept; pure."""

import re
import unicodedata
from datetime import UTC, date, datetime, timedelta
from typing import Literal
from urllib.parse import quote
from uuid import UUID

import msgspec
from babel.dates import format_date

from insuretech.contracts.insurers import Policyholder
from insuretech.contracts.money import Money
from insuretech.contracts.policies import LabelledValue, PolicyPaper
from insuretech.contracts.text import Text
from insuretech.kit.clock import MOSCOW

PolicyState = Literal["in_force", "cancelled"]


# ---------------------------------------------------------------- kept


class StoredDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A document that lies in storage; ``sha256`` and ``size`` are those of the PDF before encryption."""

    id: UUID
    policy_id: UUID
    order_id: UUID
    owner: str
    number: str
    state: PolicyState
    cancelled_on: date | None
    storage_key: str
    sha256: str
    size: int
    created_at: datetime


class WantedPrint(msgspec.Struct, frozen=True, kw_only=True):
    """A policy that is to be printed in one state; ``last_error`` says why it has not been so far."""

    policy_id: UUID
    number: str
    state: PolicyState
    cancelled_on: date | None
    wanted_at: datetime
    attempts: int = 0
    last_error: str | None = None


class Backlog(msgspec.Struct, frozen=True, kw_only=True):
    """How many prints wait, and since when the oldest does."""

    waiting: int
    oldest: datetime | None


def pause_after(attempts: int) -> timedelta:
    """How long a print that failed ``attempts`` times waits: doubling from half a second to five minutes."""
    return timedelta(seconds=min(0.5 * 2 ** min(attempts, 12), 300.0))


def content_disposition(number: str) -> str:
    """The header under which a browser keeps a policy (RFC 6266): a plain ASCII name, and the real one beside it."""
    name = re.sub(r"[^\w.-]+", " ", printable(number)).strip(" .-_")
    plain = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")
    plain = f"policy-{plain}.pdf" if plain else "policy.pdf"
    return f"inline; filename=\"{plain}\"; filename*=UTF-8''{quote(f'Полис {name}'.strip() + '.pdf', safe='')}"


# ---------------------------------------------------------------- printed


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A titled table of lines."""

    title: Text
    rows: tuple[LabelledValue, ...]


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """How anyone who holds the paper can check it."""

    url: str
    title: Text
    text: Text


class PrintedPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """The words of a policy document in their order; ``issued`` is when the document says it was made."""

    heading: Text
    number: str
    product: Text
    insurer: Text
    issued: datetime
    facts: tuple[LabelledValue, ...]
    parts: tuple[Part, ...]
    verification: Verification
    stamp: Text | None
    notice: Text | None


SANDBOX_NOTICE = Text(
    "Учебный полис. Страховщик вымышлен, договор не заключён и страховой защиты не даёт.",
    "A practice policy. The insurer is invented, no contract exists and no cover is given.",
)

_HEADING = Text("Страховой полис", "Insurance policy")
_VERIFY = Text("Проверка полиса", "Check this policy")
_VERIFY_HOW = Text(
    "Код вверху ведёт на страницу, где видно, действует ли полис. Личных данных на ней нет.",
    "The code at the top leads to a page that says whether the policy is in force. It shows no personal data.",
)
_SIGNS = {"RUB": "₽", "EUR": "€", "USD": "$"}
_DOCUMENTS = {"passport": Text("Паспорт гражданина РФ", "Russian passport")}
_NBSP = "\N{NO-BREAK SPACE}"


def printed_policy(
    paper: PolicyPaper, *, cancelled_on: date | None, notice: Text | None, base_url: str
) -> PrintedPolicy:
    """Put a policy into words; a policy that was ended early gets a stamp saying so."""
    return PrintedPolicy(
        heading=_HEADING,
        number=printable(paper.number),
        product=_text(paper.product_title),
        insurer=_text(paper.insurer_name),
        issued=paper.issued_at.astimezone(UTC),
        facts=(
            _line("Срок страхования", "Period of insurance", _term(paper.starts_on, paper.ends_on)),
            _line("Страховая премия", "Premium", written_money(paper.premium)),
            _line("Выдан", "Issued", written_date(paper.issued_at.astimezone(MOSCOW).date())),
        ),
        parts=(
            Part(title=Text("Стороны договора", "Parties"), rows=_parties(paper)),
            Part(
                title=Text("Что застраховано", "What is insured"),
                rows=tuple(
                    LabelledValue(label=_text(line.label), value=_text(line.value, empty="—")) for line in paper.insured
                ),
            ),
        ),
        verification=Verification(url=f"{base_url}/verify/{paper.verification_code}", title=_VERIFY, text=_VERIFY_HOW),
        stamp=_stamp(cancelled_on),
        notice=notice,
    )


def _parties(paper: PolicyPaper) -> tuple[LabelledValue, ...]:
    holder = paper.policyholder
    name = " ".join(part for part in (holder.last_name, holder.first_name, holder.middle_name) if part)
    return (
        _line("Страховщик", "Insurer", _text(paper.insurer_name)),
        _line("Страхователь", "Policyholder", _same(name)),
        _line("Дата рождения", "Date of birth", written_date(holder.birth_date)),
        _identity(holder),
        _line("Телефон", "Phone", _same(_phone(holder.phone))),
        _line("Электронная почта", "E-mail", _same(holder.email)),
    )


def _identity(holder: Policyholder) -> LabelledValue:
    label = _DOCUMENTS.get(holder.document_kind, Text("Документ", "Document"))
    number = holder.document_number
    if holder.document_kind == "passport" and number.isascii() and number.isdigit() and len(number) == 10:
        number = f"{number[:2]}{_NBSP}{number[2:4]}{_NBSP}{number[4:]}"
        return LabelledValue(label=label, value=Text(number, number))
    return LabelledValue(label=label, value=_same(number))


def _stamp(cancelled_on: date | None) -> Text | None:
    if cancelled_on is None:
        return None
    day = written_date(cancelled_on)
    return Text(f"Договор расторгнут {day.ru}", f"The contract was ended early on {day.en}")


def _term(starts_on: date, ends_on: date) -> Text:
    first, last = written_date(starts_on), written_date(ends_on)
    return Text(f"с{_NBSP}{first.ru} по{_NBSP}{last.ru}", f"{first.en} to {last.en} inclusive")


def written_date(day: date) -> Text:
    """A date in words, whose parts stay on one line."""
    form = f"d{_NBSP}MMMM{_NBSP}y"
    return Text(format_date(day, form, locale="ru"), format_date(day, form, locale="en"))


def written_money(money: Money) -> Text:
    """An amount as each language writes it: ``8 697,22 ₽`` and ``RUB 8,697.22``."""
    english = f"{money.amount:,.2f}".replace("-", "\N{MINUS SIGN}")
    russian = english.replace(",", _NBSP).replace(".", ",")
    sign = _SIGNS.get(money.currency, money.currency)
    return Text(f"{russian}{_NBSP}{sign}", f"{money.currency}{_NBSP}{english}")


def printable(text: str) -> str:
    """A text fit for print: composed letters, single spaces, no control or invisible characters."""
    composed = unicodedata.normalize("NFC", text)
    kept = (" " if unicodedata.category(letter) in {"Cc", "Zl", "Zp"} else letter for letter in composed)
    return " ".join("".join(letter for letter in kept if unicodedata.category(letter) != "Cf").split())


def _phone(phone: str) -> str:
    if len(phone) == 11 and phone.isascii() and phone.isdigit() and phone[0] == "7":
        return f"+7 {phone[1:4]} {phone[4:7]}-{phone[7:9]}-{phone[9:]}"
    return phone


def _line(ru: str, en: str, value: Text) -> LabelledValue:
    return LabelledValue(label=Text(ru, en), value=value)


def _same(value: str) -> Text:
    shown = printable(value) or "—"
    return Text(shown, shown)


def _text(value: Text, empty: str = "") -> Text:
    return Text(printable(value.ru) or empty, printable(value.en) or empty)
