"""When two writings are one policy number, and when not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insuretech.settlement.reconciliation.domain.numbers import number_key, padded


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ХХХ 0123456789", "XXX-0123456789"),  # Cyrillic and Latin
        ("ххх0123456789", "XXX 0123456789"),
        ("ХXХ № 0123456789", "XXX0123456789"),  # a mixture of both
        ("№ ТТТ 7000000001", "TTT\u00a07000000001"),
        ("ААВ–300", "AAB-300"),
        ("BYS-0000000012", "bys 0000000012"),
        ("ВYS-12", "BYS-12"),  # a Cyrillic В beside Latin letters
        ("ПPО-12", "ПРО-12"),  # a Latin P among Cyrillic letters
        ("ＡＢ１２", "AB12"),  # full width
        ("ABC\u200b12", "ABC12"),
    ],
)
def test_one_number_in_two_writings(one: str, other: str) -> None:
    """The two sides would otherwise miss each other's policy, twice in one register."""
    assert number_key(one) == number_key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("XXX0123456789", "XXX0123456780"),
        ("AB0", "ABO"),
        ("АБ3", "АБЗ"),
        ("001", "1"),
        ("1/2026", "12026"),
        ("БЫС-1", "BYS-1"),
        ("12.3", "123"),
    ],
)
def test_two_numbers_stay_two(one: str, other: str) -> None:
    """Two policies taken for one would hide that one of them is missing."""
    assert number_key(one) != number_key(other)


@given(st.text(max_size=40))
def test_a_key_is_its_own_key(number: str) -> None:
    """Else a line would find its partner in one run and lose it in the next."""
    assert number_key(number_key(number)) == number_key(number)


def test_zeros_that_a_spreadsheet_took_come_back() -> None:
    """Excel makes 12 of 0000000012; only numbers of digits alone can have lost any."""
    assert padded("12", 10) == "0000000012"
    assert padded("BYS12", 10) == "BYS12"
