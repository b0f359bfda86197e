"""Days and amounts as people and programs write them."""

from datetime import date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insuretech.settlement.reconciliation.domain.cells import (
    Cell,
    CellUnreadable,
    NotAValue,
    amount_of,
    day_of,
    text_of,
)

LAST = date(2026, 12, 31)


@pytest.mark.parametrize(
    "cell",
    [
        "31.12.2026",
        "31.12.26",
        "31/12/2026",
        "31-12-2026",
        "2026-12-31",
        "2026.12.31",
        "2026/12/31",
        " 31.12.2026 ",
        "31.12.2026\u00a014:05",
        "31.12.2026 14:05:59",
        "2026-12-31T14:05:59",
        "2026-12-31T20:59:59Z",
        "2026-12-31T23:59:59+03:00",
        "2026-12-31 23:59:59.123456+0300",
        "31 декабря 2026 г.",
        "31 декабря 2026",
        "31 дек. 2026",
        "31 December 2026",
        "46387",
        "46387,75",
        46387,
        46387.9,
        LAST,
        datetime(2026, 12, 31, 23, 59),  # noqa: DTZ001 - Excel knows no zones
    ],
)
def test_the_last_day_of_the_year_in_any_writing(cell: Cell) -> None:
    """An insurer's way of writing a date would otherwise be a discrepancy in every line."""
    assert day_of(cell) == LAST


def test_a_moment_is_dated_in_moscow() -> None:
    """A policy of 01:00 on New Year in Moscow would otherwise be found in the old year."""
    assert day_of("2026-12-31T22:00:00Z") == date(2027, 1, 1)


@pytest.mark.parametrize(
    "cell",
    ["", "  ", None, "32.12.2026", "31.02.2026", "2026-13-01", "12", 12, 1e9, "31.12.1026", True, "вчера", "=A1",
     NotAValue("=TODAY()"), NotAValue("#REF!"), "31.12.2026 25:00"],
)  # fmt: skip
def test_what_is_no_date_is_said_to_be_none(cell: Cell) -> None:
    """A wrong date taken for some date would hide a mistake."""
    with pytest.raises(CellUnreadable):
        day_of(cell)


@pytest.mark.parametrize(
    ("cell", "amount"),
    [
        ("12 345,67", "12345.67"),
        ("12\u00a0345,67", "12345.67"),
        ("12\u202f345,67", "12345.67"),
        ("12345.67", "12345.67"),
        ("12,345.67", "12345.67"),
        ("12.345,67", "12345.67"),
        ("1'234'567,8", "1234567.80"),
        ("1.234.567", "1234567.00"),
        ("1,234,567.00", "1234567.00"),
        ("8697,22 руб.", "8697.22"),
        ("8697,22 ₽", "8697.22"),
        ("RUB", None),
        ("100", "100.00"),
        ("-100,5", "-100.50"),
        ("\u2212100,50", "-100.50"),
        ("100,50-", "-100.50"),
        ("(100,50)", "-100.50"),
        ("0", "0.00"),
        ("-0,00", "0.00"),
        ("12 345,670", None),
        (12345, "12345.00"),
        (12345.67, "12345.67"),
        (0.1 + 0.2, "0.30"),
        (12345.670000000002, "12345.67"),
        ("1,234", None),
        ("1.234", None),
        ("1,23,456", None),
        ("12,34.56", None),
        ("1234,567.00", None),
        ("12,345", None),
        ("12.3456", None),
        (0.125, None),
        (float("nan"), None),
        (float("inf"), None),
        ("1e5", None),
        ("", None),
        (None, None),
        (True, None),
        ("10 000 000 000 000", None),
        (LAST, None),
        ("=1+1", None),
        (NotAValue("=SUM(A:A)"), None),
    ],
)
def test_amounts_are_read_in_one_way_or_not_at_all(cell: Cell, amount: str | None) -> None:
    """A thousand taken for one rouble, or the other way round, would be money lost."""
    if amount is None:
        with pytest.raises(CellUnreadable):
            amount_of(cell)
    else:
        assert amount_of(cell) == Decimal(amount)


@given(st.decimals(min_value=-(10**9), max_value=10**9, places=2))
def test_every_amount_survives_the_ways_it_is_written(amount: Decimal) -> None:
    """Kopecks lost in a spelling would make discrepancies where there are none."""
    english = f"{amount:,.2f}"
    russian = english.replace(",", "\u00a0").replace(".", ",")
    german = english.replace(",", "_").replace(".", ",").replace("_", ".")
    for written in (str(amount), english, russian, f"{russian} руб.", german, float(amount)):
        assert amount_of(written) == amount


@given(st.dates(date(2000, 1, 1), date(2099, 12, 31)))
def test_every_day_survives_the_ways_it_is_written(day: date) -> None:
    """A day read wrong in one spelling only would be looked for for hours."""
    serial = (day - date(1899, 12, 30)).days
    written: list[Cell] = [f"{day:%d.%m.%Y}", day.isoformat(), f"{day:%d/%m/%y}", f"{day:%d.%m.%Y 00:00:00}"]
    if serial < 80_000:
        written += [serial, str(serial)]
    for cell in written:
        assert day_of(cell) == day


@given(st.one_of(st.text(), st.floats(), st.integers(), st.booleans(), st.none(), st.dates(), st.datetimes()))
def test_no_cell_breaks_the_reader(cell: Cell) -> None:
    """One strange cell must be one fault with its place, not the end of reading."""
    for read in (text_of, day_of, amount_of):
        try:
            read(cell)
        except CellUnreadable as error:
            assert error.code  # noqa: PT017 - any other exception is the failure


@pytest.mark.parametrize(
    ("cell", "text"), [(12345.0, "12345"), (7, "7"), ('="00123"', "00123"), (" ХХХ 1 ", "ХХХ 1"), (None, "")]
)
def test_numbers_of_policies_as_excel_keeps_them(cell: Cell, text: str) -> None:
    """Zeros kept by a trick and numbers kept as numbers are the same policies."""
    assert text_of(cell) == text


def test_a_number_that_excel_has_cut_is_refused() -> None:
    """Excel turns the 16th digit into a zero: the policy would be another one's."""
    with pytest.raises(CellUnreadable, match="15 digits"):
        text_of(1234567890123456.0)
