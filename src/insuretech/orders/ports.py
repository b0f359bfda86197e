"""What orders need of others: offers, insurers, a payment provider."""

from typing import Protocol
from uuid import UUID

from insuretech.contracts.events import OfferReceived
from insuretech.contracts.money import Money
from insuretech.contracts.payments import NewPayment, Notification, ProviderPayment, ProviderRefund
from insuretech.contracts.policies import LabelledValue


class OfferSource(Protocol):
    """The quotes service, asked only where a person waits and our projection does not have it yet."""

    async def offer(self, offer_id: UUID) -> OfferReceived | None:
        """The offer as its event tells of it, or None when there is none of this id."""
        ...

    async def insured(self, quote_id: UUID) -> tuple[LabelledValue, ...]:
        """What is insured, line by line, as the policy document prints it; empty for an unknown quote."""
        ...


class PaymentProvider(Protocol):
    """A payment provider that holds and captures.

    Every call raises ``ProviderUnavailable``, ``ProviderOutcomeUnknown`` or ``ProviderRefused`` of
    ``contracts.payments`` and nothing else. ``provider_id`` is the provider's id of a payment; ``key`` makes a
    repetition harmless.
    """

    async def create(self, payment: NewPayment) -> ProviderPayment:
        """Open a payment the buyer confirms at ``confirmation_url``; the same key gives the same payment."""
        ...

    async def get(self, provider_id: str) -> ProviderPayment:
        """The payment's state now."""
        ...

    async def capture(self, provider_id: str, amount: Money, *, key: str) -> ProviderPayment:
        """Take what is held; ``ProviderRefused`` when the hold is gone."""
        ...

    async def cancel(self, provider_id: str, *, key: str) -> ProviderPayment:
        """Let the hold go; ``ProviderRefused`` when the payment is in no state to be cancelled."""
        ...

    async def refund(self, provider_id: str, amount: Money, *, key: str) -> ProviderRefund:
        """Give back ``amount`` of what was captured."""
        ...

    def notification(self, body: bytes) -> Notification | None:
        """Which payment a notification speaks of (also for ``refund.*``), or None when it is not one of theirs."""
        ...
