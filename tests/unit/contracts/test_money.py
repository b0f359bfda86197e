"""Money never loses or makes a kopeck."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from insuretech.contracts.money import Money

kopecks = st.integers(-(10**11), 10**11)
monies = kopecks.map(lambda count: Money(Decimal(count) / 100))


@given(monies, monies)
def test_what_is_added_can_be_taken_away(one: Money, other: Money) -> None:
    """Otherwise a refund would differ from what was paid."""
    assert one + other - other == one
    assert one + (-one) == Money.zero()


@given(st.lists(monies, max_size=20), st.randoms())
def test_a_total_does_not_depend_on_order(parts: list[Money], chance: object) -> None:
    """Otherwise two registers of the same payments would differ."""
    shuffled = sorted(parts, key=lambda _: chance.random())  # type: ignore[attr-defined]  # hypothesis hands a Random
    assert Money.total(parts) == Money.total(shuffled)
    assert Money.total(parts).amount == sum((part.amount for part in parts), Decimal(0))


@given(monies)
def test_the_wire_keeps_every_kopeck(money: Money) -> None:
    """Otherwise the amount changes between two services."""
    wire = msgspec.json.encode(money)
    assert msgspec.json.decode(wire, type=Money) == money
    written = msgspec.json.decode(wire)["amount"]
    assert isinstance(written, str)
    assert len(written.partition(".")[2]) == 2


@given(st.decimals(-(10**9), 10**9, places=6))
def test_rounding_is_to_the_nearest_kopeck(amount: Decimal) -> None:
    """Otherwise refunds drift away from the law's formula by more than half a kopeck."""
    assert abs(Money.rounded(amount).amount - amount) <= Decimal("0.005")


@pytest.mark.parametrize(
    ("amount", "rounded"), [("0.005", "0.01"), ("2.675", "2.68"), ("-0.005", "-0.01"), ("0.0049", "0")]
)
def test_half_a_kopeck_is_rounded_away_from_zero(amount: str, rounded: str) -> None:
    """Otherwise our sums differ from those of insurers and accountants, who round so."""
    assert Money.rounded(Decimal(amount)) == Money(Decimal(rounded))


@pytest.mark.parametrize("amount", ["0.001", "NaN", "Infinity", "-Infinity", "1000000000000", "-1e12", "1e99", "sNaN"])
def test_what_is_no_amount_is_refused(amount: str) -> None:
    """Otherwise a broken answer of an insurer becomes a price."""
    with pytest.raises(ValueError, match="an amount of money"):
        Money(Decimal(amount))


@pytest.mark.parametrize("currency", ["", "rub", "RUBLE", "R1", "ЯЯ"])
def test_what_is_no_currency_is_refused(currency: str) -> None:
    """Otherwise sums in unknown units are added up."""
    with pytest.raises(ValueError, match="ISO 4217"):
        Money(Decimal(1), currency)


def test_currencies_do_not_mix() -> None:
    """Otherwise a travel policy's sum in euros would be charged in roubles."""
    for operation in (Money.__add__, Money.__sub__):
        with pytest.raises(ValueError, match="cannot be added"):
            operation(Money(Decimal(1)), Money(Decimal(1), "EUR"))
    with pytest.raises(ValueError, match="cannot be added"):
        Money.total([Money(Decimal(1), "EUR")])


@pytest.mark.parametrize(
    "wire",
    [b'{"amount":"1.234"}', b'{"amount":"NaN"}', b'{"amount":"1","currency":"r"}', b"{}", b'{"amount":true}', b'"1"'],
)
def test_a_bad_amount_on_the_wire_is_a_validation_error(wire: bytes) -> None:
    """Otherwise it would come up as a fault of ours instead of the sender's."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(wire, type=Money)


@pytest.mark.parametrize(("amount", "truth"), [("0", False), ("0.00", False), ("0.01", True), ("-0.01", True)])
def test_only_nothing_is_false(amount: str, truth: bool) -> None:
    """Otherwise a refund of a kopeck would be skipped."""
    assert bool(Money(Decimal(amount))) is truth


def test_equal_amounts_are_equal_however_written() -> None:
    """Otherwise 5 and 5.00 roubles would be told apart in books."""
    assert Money(Decimal(5)) == Money(Decimal("5.00"))
    assert hash(Money(Decimal(5))) == hash(Money(Decimal("5.0")))
