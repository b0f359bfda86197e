"""From the bytes of a file to lines and faults."""

import io
import random
import zipfile
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insuretech.settlement.reconciliation.domain.columns import columns_of, other_parties
from insuretech.settlement.reconciliation.domain.reading import FileRefused, Outcome, StatementLine, read_lines
from insuretech.settlement.reconciliation.files import rows_of
from tests.unit.settlement.reconciliation.files import HEADING, ROWS, csv_file, workbook

EXPECTED = [
    ("BYS-0000000001", "BYS0000000001", "premium", Decimal("1000.50"), date(2026, 10, 1)),
    ("ХХХ 0000000002", "XXX0000000002", "premium", Decimal("200.00"), date(2026, 10, 2)),
]


def read(content: bytes, party: str = "bystra") -> tuple[list[StatementLine], Outcome]:
    """Everything a file gives."""
    columns, outcome = columns_of(party), Outcome()
    return list(read_lines(rows_of(content, columns), columns, outcome)), outcome


def facts(lines: list[StatementLine]) -> list[Any]:
    """Lines without their places."""
    return [(line.number, line.key, line.entry, line.amount, line.day) for line in lines]


def refusal(content: bytes, party: str = "bystra") -> FileRefused:
    """Why nothing of a file is taken."""
    with pytest.raises(FileRefused) as refused:
        read(content, party)
    return refused.value


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1251", "utf-16"])
@pytest.mark.parametrize("delimiter", [";", ",", "\t", "|"])
def test_csv_in_the_encodings_and_with_the_delimiters_of_the_country(encoding: str, delimiter: str) -> None:
    """Each insurer exports from another program; staff cannot convert files first."""
    lines, outcome = read(csv_file(encoding=encoding, delimiter=delimiter))
    assert facts(lines) == EXPECTED
    assert (outcome.lines, outcome.total, outcome.fault_count) == (2, Decimal("1200.50"), 0)


def test_workbooks_with_numbers_and_dates_as_excel_keeps_them() -> None:
    """In Excel an amount is a binary fraction and a date a count of days."""
    rows = [("BYS-0000000001", datetime(2026, 10, 1), 1000.5), ("ХХХ 0000000002", 46297, 200)]  # noqa: DTZ001
    lines, _ = read(workbook(rows, empty_first=True))
    assert facts(lines) == EXPECTED
    assert [line.line for line in lines] == [2, 3]


def test_letterhead_totals_and_columns_in_another_order() -> None:
    """A register made for print has a letterhead, extra columns, and a sum at its end."""
    rows = [("1", "1 000,50", "Иванов", "01.10.2026", "BYS-0000000001"), ("2", "200", "Пэ", "02.10.2026", "ХХХ 2")]
    heading = ("п/п", "Сумма премии (руб.)", "Страхователь", "Дата\nзаключения", "Полис №")
    content = csv_file(rows, heading, before=["Реестр заключенных договоров", ""], after=['"Итого";"1 200,50"', ""])
    lines, outcome = read(content)
    assert [(line.line, line.key) for line in lines] == [(5, "BYS0000000001"), (6, "XXX2")]
    assert outcome.left_out == 1


def test_money_that_goes_back() -> None:
    """A cancelled policy is told by a minus or by a word, and is no second premium."""
    heading = (*HEADING, "Вид операции")
    rows = [("A1", "01.10.2026", "100", "Заключение"), ("A1", "02.10.2026", "40", "Расторжение договора")]
    lines, _ = read(csv_file(rows, heading))
    assert [(line.entry, line.amount) for line in lines] == [("premium", Decimal(100)), ("return", Decimal(-40))]
    lines, _ = read(csv_file([("A1", "01.10.2026", "(40,00)")]))
    assert [(line.entry, line.amount) for line in lines] == [("return", Decimal(-40))]


def test_every_fault_is_told_at_once_with_its_line() -> None:
    """One error at a time would mean as many mails to the insurer as there are errors."""
    rows = [
        ("", "01.10.2026", "1"),
        ("A1", "31.11.2026", "много"),
        ("A2", "01.10.2026", "1,234"),
        ("A3", "01.10.2026", "1,00"),
        ("A4", "01.10.2026", "=B1*2"),
    ]
    lines, outcome = read(csv_file(rows))
    assert [line.key for line in lines] == ["A3"]
    told = [(fault.line, fault.column, fault.code) for fault in outcome.faults]
    number, day, amount = HEADING
    assert told == [(2, number, "empty"), (3, day, "date"), (3, amount, "amount"), (4, amount, "ambiguous"),
                    (6, amount, "formula")]  # fmt: skip
    assert outcome.fault_count == 5


def test_of_endless_faults_a_thousand_are_kept_and_all_are_counted() -> None:
    """A column of the wrong kind in a million lines must not fill the database."""
    _, outcome = read(csv_file([("A", "when?", "1")] * 3000))
    assert (len(outcome.faults), outcome.fault_count, outcome.lines) == (1000, 3000, 0)


def test_a_policy_that_begins_like_a_total_is_not_left_out() -> None:
    """A line passed over in silence is a policy that nobody misses."""
    lines, outcome = read(csv_file([("ИТОГО-77", "01.10.2026", "5")]))
    assert (len(lines), outcome.left_out) == (1, 0)


def test_the_providers_registers() -> None:
    """They come with two lines before and sums after the table; refunds name the payment they belong to."""
    payments = csv_file(
        [("2d5a-1", "100.00", "RUB", "96.50", "31.10.2026 23:59:59", "Заказ 1")],
        (
            "Идентификатор платежа",
            "Сумма платежа",
            "Валюта платежа",
            "Сумма за вычетом комиссии",
            "Время платежа",
            "Описание",
        ),
        before=["РЕЕСТР ПЛАТЕЖЕЙ ДЛЯ МАГАЗИНА. №7", "Дата платежей: 31.10.2026"],
        after=["", "Сумма принятых платежей: 100.00 RUB", "Число платежей: 1"],
    )
    lines, outcome = read(payments, "yookassa.payments")
    assert [(line.number, line.entry, line.amount) for line in lines] == [("2d5a-1", "premium", Decimal(100))]
    assert outcome.fault_count == 0
    refunds = csv_file(
        [("r-1", "2d5a-1", "40.00", "RUB", "31.10.2026 23:59:59")],
        ("Идентификатор возврата", "Идентификатор платежа", "Сумма возврата", "Валюта возврата", "Время возврата"),
    )
    lines, _ = read(refunds, "yookassa.refunds")
    assert [(line.number, line.entry, line.amount) for line in lines] == [("2d5a-1", "return", Decimal(-40))]
    assert refusal(refunds, "yookassa.payments").fault.code == "no_heading"


def test_an_insurer_with_its_own_headings_and_lost_zeros() -> None:
    """What one insurer calls its columns is data, and does not change how others are read."""
    content = workbook([(12, "01.10.2026", 5)], ("Бланк", "Дата", "Премия"))
    lines, _ = read(content, "tihohod")
    assert lines[0].key == "0000000012"
    assert refusal(content).fault.code == "no_heading"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "empty"),
        (b" \r\n ", "empty"),
        (b"%PDF-1.7", "format"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 512, "format"),
        (b"PK\x03\x04 not really", "format"),
        (csv_file(heading=("a", "b", "c")), "no_heading"),
        (csv_file(heading=("Номер полиса", "Номер полиса", "Дата")), "column_twice"),
        (csv_file().replace(b"BYS", b"B\0S"), "character"),
        (csv_file() + b'"A1";"never closed', "quoting"),
        (csv_file() + b'"A1"x;"01.10.2026";"1"', "quoting"),
        (csv_file() + "Я".encode() * 5000, "quoting"),
        (csv_file() + b";" * 300, "too_wide"),
        (csv_file(encoding="cp1251") + b"\x98", "encoding"),
        (b"\xef\xbb\xbf" + csv_file(encoding="cp1251"), "encoding"),
        (workbook(sheets=2), "sheets"),
    ],
)
def test_what_is_no_table_is_refused_in_a_sentence(content: bytes, code: str) -> None:
    """Staff must learn what to ask the insurer for, whatever the file is."""
    refused = refusal(content)
    assert refused.fault.code == code
    assert refused.fault.detail


def test_the_line_of_a_broken_quotation_is_told() -> None:
    """In a file of a thousand lines nobody finds a quotation mark without its place."""
    content = csv_file(ROWS * 10).replace(b'"200.00"', b'"200.00" "', 1)
    assert refusal(content).fault.line == 3


def packed(parts: dict[str, bytes]) -> bytes:
    """A ZIP file of these parts."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return content.getvalue()


def test_a_bomb_is_not_unpacked() -> None:
    """A file of a megabyte that unpacks to gigabytes would take the service down."""
    with zipfile.ZipFile(io.BytesIO(workbook())) as book:
        parts = {name: book.read(name) for name in book.namelist()}
    bomb = packed({**parts, "xl/sharedStrings.xml": b"<a>" * 60_000_000})
    assert len(bomb) < 1_000_000
    assert refusal(bomb).fault.code == "too_large"


def test_entities_that_grow_are_not_followed() -> None:
    """A workbook whose XML explodes in memory would do the same."""
    with zipfile.ZipFile(io.BytesIO(workbook())) as book:
        parts = {name: book.read(name) for name in book.namelist()}
    laughs = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))
    sheet = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a0 "ha">{laughs}]><worksheet>&a11;</worksheet>'
    assert refusal(packed({**parts, "xl/worksheets/sheet1.xml": sheet.encode()})).fault.code == "format"


def test_other_packed_files_are_told_apart() -> None:
    """A Word document and a packed folder begin with the same bytes as a workbook."""
    assert "unpack" in refusal(packed({"register.csv": csv_file()})).fault.detail


def test_formulas_and_their_errors_are_faults_of_their_cells() -> None:
    """A formula shows what it was when the file was saved, which nobody has checked."""
    _, outcome = read(workbook([("A1", "01.10.2026", "=1+1"), ("A2", "=TODAY()", 3)]))
    assert [(fault.line, fault.code) for fault in outcome.faults] == [(2, "formula"), (3, "formula")]


@given(st.binary(max_size=300), st.sampled_from(["start", "middle", "end"]), st.booleans())
def test_no_bytes_break_the_reader(noise: bytes, place: str, excel: bool) -> None:
    """Whatever is uploaded, the answer is lines, faults or a refusal."""
    content = workbook() if excel else csv_file()
    middle = random.Random(len(noise)).randrange(len(content))
    cut = {"start": 0, "middle": middle, "end": len(content)}[place]
    try:
        _, outcome = read(content[:cut] + noise + content[cut + len(noise) :])
    except FileRefused as refused:
        assert refused.fault.detail  # noqa: PT017 - any other exception is the failure
    else:
        assert outcome.lines + outcome.fault_count + outcome.left_out >= 0


def test_every_party_can_be_read() -> None:
    """A slip in the data would show only when the first file of that party comes."""
    for party in ("bystra", "tihohod", *other_parties()):
        columns = columns_of(party)
        assert columns.version
        assert all(columns.headings[field] for field in ("number", "day", "amount"))
