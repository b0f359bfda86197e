"""What a policy document says."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insuretech.contracts.money import Money
from insuretech.contracts.text import Text
from insuretech.documents.domain import (
    PrintedPolicy,
    content_disposition,
    printable,
    printed_policy,
    written_date,
    written_money,
)
from tests.unit.documents.policies import holder, policy_paper


def words(**changes: object) -> PrintedPolicy:
    """A policy in words."""
    return printed_policy(policy_paper(**changes), cancelled_on=None, notice=None, base_url="https://example.org")


def values(policy: PrintedPolicy) -> dict[str, str]:
    """Russian labels of the document with their Russian values."""
    rows = [*policy.facts, *(row for part in policy.parts for row in part.rows)]
    return {row.label.ru: row.value.ru.replace("\N{NO-BREAK SPACE}", " ") for row in rows}


def test_the_policy_names_parties_term_and_premium() -> None:
    """Otherwise the paper proves nothing: these are what an insurance contract must state (art. 942 Civil Code)."""
    assert values(words()) == {
        "Срок страхования": "с 1 декабря 2026 по 30 ноября 2027",
        "Страховая премия": "8 697,22 ₽",
        "Выдан": "23 ноября 2026",
        "Страховщик": "Северный Маяк",
        "Страхователь": "Константинопольская Александра Владиславовна",
        "Дата рождения": "29 февраля 1988",
        "Паспорт гражданина РФ": "45 09 123456",
        "Телефон": "+7 916 123-45-67",
        "Электронная почта": "a.konst@example.com",
        "Марка и модель": "Lada Vesta",
        "VIN": "XTA210990Y2765439",
    }


def test_the_day_of_issue_is_the_day_in_moscow() -> None:
    """Otherwise a policy bought after nine in the evening would carry yesterday's date."""
    late = datetime(2026, 12, 31, 21, 0, tzinfo=UTC)
    assert values(words(issued_at=late))["Выдан"] == "1 января 2027"


def test_a_policy_ended_early_says_so_in_both_languages() -> None:
    """Otherwise an ended policy could be shown to the police as one in force."""
    stamped = printed_policy(policy_paper(), cancelled_on=date(2027, 1, 5), notice=None, base_url="https://example.org")
    assert stamped.stamp is not None
    assert stamped.stamp.ru.replace("\N{NO-BREAK SPACE}", " ") == "Договор расторгнут 5 января 2027"
    assert stamped.stamp.en.replace("\N{NO-BREAK SPACE}", " ") == "The contract was ended early on 5 January 2027"


def test_other_documents_and_numbers_are_shown_as_given() -> None:
    """Otherwise a foreigner's passport or phone would be cut into a Russian one's groups."""
    foreigner = holder(
        document_kind="foreign_passport", document_number="C01X00T47", phone="49301234567", middle_name=None
    )
    shown = values(words(policyholder=foreigner))
    assert shown["Документ"] == "C01X00T47"
    assert shown["Телефон"] == "49301234567"
    assert shown["Страхователь"] == "Константинопольская Александра"


def test_an_empty_answer_is_a_dash() -> None:
    """Otherwise an empty cell looks like a fault of the print."""
    paper = policy_paper()
    empty = paper.insured[0].__class__(label=Text("Пробег", "Mileage"), value=Text(" ", ""))
    assert values(words(insured=(empty,)))["Пробег"] == "—"


@pytest.mark.parametrize(
    ("money", "ru", "en"),
    [
        (Money(Decimal("0.50")), "0,50 ₽", "RUB 0.50"),
        (Money(Decimal("1234567.80")), "1 234 567,80 ₽", "RUB 1,234,567.80"),
        (Money(Decimal(-12), "EUR"), "−12,00 €", "EUR −12.00"),
        (Money(Decimal(5), "KZT"), "5,00 KZT", "KZT 5.00"),
    ],
)
def test_money_is_written_as_each_language_does(money: Money, ru: str, en: str) -> None:
    """Otherwise an English reader takes a Russian decimal comma for thousands."""
    written = written_money(money)
    assert written.ru.replace("\N{NO-BREAK SPACE}", " ") == ru
    assert written.en.replace("\N{NO-BREAK SPACE}", " ") == en


def test_dates_stay_on_one_line() -> None:
    """Otherwise a year could stand alone on the next line."""
    assert " " not in written_date(date(2026, 5, 9)).ru + written_date(date(2026, 5, 9)).en


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Ива\N{SOFT HYPHEN}нов", "Иванов"),
        ("И\u0306ван", "Йван"),
        ("Пётр\n\tI", "Пётр I"),
        ("a\N{RIGHT-TO-LEFT OVERRIDE}b", "ab"),
        ("  много   пробелов ", "много пробелов"),
        ("\x00", ""),
    ],
)
def test_invisible_characters_do_not_reach_the_paper(text: str, shown: str) -> None:
    """Otherwise a name could be printed backwards, or look like another one."""
    assert printable(text) == shown


@given(st.text())
def test_the_file_name_is_a_header_whatever_the_number(number: str) -> None:
    """Otherwise an insurer's odd number breaks the answer, or smuggles a header into it."""
    header = content_disposition(number)
    assert header.isascii()
    assert header.isprintable()
    plain = header.split('"')[1]
    assert plain.startswith("policy")
    assert plain.endswith(".pdf")
    assert "/" not in header.split("''")[1]


def test_the_file_name_keeps_cyrillic_for_those_who_can() -> None:
    """Otherwise the file in the downloads cannot be told from others."""
    assert content_disposition("ХХХ 0166171796") == (
        'inline; filename="policy-0166171796.pdf"; '
        "filename*=UTF-8''%D0%9F%D0%BE%D0%BB%D0%B8%D1%81%20%D0%A5%D0%A5%D0%A5%200166171796.pdf"
    )
