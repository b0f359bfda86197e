"""Money: an exact decimal amount to the kopeck, together with its currency."""

from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal
from typing import Self

import msgspec

KOPECK = Decimal("0.01")


class Money(msgspec.Struct, frozen=True, order=True):
    """An amount of one currency, on the wire ``{"amount": "8697.22", "currency": "RUB"}``.

    Raises ``ValueError`` for an amount finer than a kopeck, not finite, or beyond 10¹²; use ``Money.rounded`` to round.
    """

    amount: Decimal
    currency: str = "RUB"

    def __post_init__(self) -> None:
        if not self.amount.is_finite() or self.amount.adjusted() >= 12:
            raise ValueError("an amount of money is finite and below a trillion")
        if self.amount != self.amount.quantize(KOPECK):
            raise ValueError("an amount of money has at most two decimal places")
        if len(self.currency) != 3 or not self.currency.isupper():
            raise ValueError("a currency is three capital letters (ISO 4217)")
        msgspec.structs.force_setattr(self, "amount", self.amount.quantize(KOPECK))

    @classmethod
    def rounded(cls, amount: Decimal, currency: str = "RUB") -> Self:
        """Round half up to the kopeck."""
        return cls(amount.quantize(KOPECK, ROUND_HALF_UP), currency)

    @classmethod
    def zero(cls, currency: str = "RUB") -> Self:
        return cls(Decimal("0.00"), currency)

    @classmethod
    def total(cls, parts: Iterable["Money"], currency: str = "RUB") -> "Money":
        result: Money = cls.zero(currency)
        for part in parts:
            result = result + part
        return result

    def __add__(self, other: "Money") -> "Money":
        self._same_currency(other)
        return Money(self.amount + other.amount, self.currency)

    def __sub__(self, other: "Money") -> "Money":
        self._same_currency(other)
        return Money(self.amount - other.amount, self.currency)

    def __neg__(self) -> "Money":
        return Money(-self.amount, self.currency)

    def __bool__(self) -> bool:
        return self.amount != 0

    def _same_currency(self, other: "Money") -> None:
        if self.currency != other.currency:
            raise ValueError(f"{self.currency} and {other.currency} cannot be added")
