"""What passes between orders and a payment provider that can hold money before it takes it.

The states are those of YooKassa v3 in our words: ``pending`` (pending), ``held`` (waiting_for_capture), ``captured``
(succeeded), ``cancelled`` (canceled). Every operation carries a ``key``: the payment's or refund's id and the
operation, at most 64 characters, sent as ``Idempotence-Key``, so that repeating it has no second effect.
"""

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from insuretech.contracts.money import Money

PaymentMethod = Literal["card", "sbp"]
"""``card`` holds first and takes later; ``sbp`` (the Bank of Russia's fast payments) takes at once."""


class NewPayment(msgspec.Struct, frozen=True, kw_only=True):
    """Asks for a payment of ``amount``; with ``capture`` it is taken at once, else held.

    ``payment_id`` and ``order_id`` are ours and travel as metadata. The buyer returns to ``return_url``.
    """

    payment_id: UUID
    order_id: UUID
    amount: Money
    method: PaymentMethod
    capture: bool
    return_url: str
    description: str
    key: str


class ProviderPayment(msgspec.Struct, frozen=True, kw_only=True):
    """A payment as the provider sees it; ``id`` is the provider's.

    ``captured`` is what was taken, ``refunded`` what of it went back. ``held_until`` is when the provider lets an
    uncaptured hold go by itself; ``cancellation`` its reason for a cancelled payment (``insufficient_funds``,
    ``expired_on_confirmation``, …).
    """

    id: str
    status: Literal["pending", "held", "captured", "cancelled"]
    amount: Money
    captured: Money
    refunded: Money
    confirmation_url: str | None = None
    held_until: datetime | None = None
    cancellation: str | None = None


class ProviderRefund(msgspec.Struct, frozen=True, kw_only=True):
    """A refund as the provider sees it; ``pending`` ends by itself in one of the others."""

    id: str
    status: Literal["pending", "succeeded", "cancelled"]
    amount: Money


class Notification(msgspec.Struct, frozen=True, kw_only=True):
    """Something happened to the provider's payment ``payment_id``, it says; the truth is looked up at the source."""

    payment_id: str
    event: str


class ProviderUnavailable(Exception):
    """The provider did not take the request (refused connection, breaker open, 429, 503): repeating it is safe."""


class ProviderOutcomeUnknown(Exception):
    """The request may have been carried out: repeat it with the same key, or look the payment up."""


class ProviderRefused(Exception):
    """The provider will not do this, whatever the number of attempts (a 4xx); ``code`` is its own word for why."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code = code
