"""What orders need of others: offers, insurers, a payment provider, a store that is one transaction."""

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

import msgspec

from insuretech.contracts.events import OfferReceived
from insuretech.contracts.money import Money
from insuretech.contracts.payments import NewPayment, Notification, ProviderPayment, ProviderRefund
from insuretech.contracts.policies import LabelledValue
from insuretech.contracts.products import CancellationRule, Consent
from insuretech.contracts.text import Text
from insuretech.kit.events import Event
from insuretech.kit.idempotency import Scope, StoredAnswer
from insuretech.orders.domain.lifecycle import OrderStatus
from insuretech.orders.domain.purchase import Cancellation, Purchase
from insuretech.orders.policyholders import SealedPolicyholder


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


class ProductTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What orders need to know of a version of a product."""

    code: str
    version: str
    title: Text
    consents: tuple[Consent, ...]
    cancellation: CancellationRule


class Orderable(msgspec.Struct, frozen=True, kw_only=True):
    """An offer and the product's terms in force; None while the product has not been heard of."""

    offer: OfferReceived
    terms: ProductTerms | None


class Placing(msgspec.Struct, frozen=True, kw_only=True):
    """A new order with everything that is stored together with it."""

    purchase: Purchase
    person: SealedPolicyholder
    event: Event
    scope: Scope
    body: bytes
    answer: StoredAnswer


class Stale(Exception):
    """The purchase was changed by somebody else since it was read; what was to be stored is dropped."""


class Store(Protocol):
    """Storage of orders inside one transaction; what is published leaves with the same commit."""

    # requests that may be repeated

    async def begin_request(
        self, scope: Scope, body: bytes, now: datetime, *, locked_for: timedelta
    ) -> StoredAnswer | None: ...

    async def finish_request(self, scope: Scope, answer: StoredAnswer) -> None: ...

    async def release_request(self, scope: Scope) -> None: ...

    async def answer(self, scope: Scope, body: bytes) -> StoredAnswer | None:
        """The answer under a key; raises what ``begin_request`` does."""
        ...

    # what can be ordered

    async def orderable(self, offer_id: UUID) -> Orderable | None: ...

    async def keep_offers(self, told: Sequence[OfferReceived]) -> None:
        """Keep our copies of offers, each once."""
        ...

    async def put_terms(self, terms: ProductTerms, published_at: datetime) -> None: ...

    async def terms(self, code: str, version: str) -> ProductTerms | None: ...

    # purchases

    async def place(self, placing: Placing, now: datetime) -> bool:
        """Keep a new order in a single statement: with its policyholder, its event and its answer, or nothing at all.

        False when the offer has a live order already, or when the key was used before.
        """
        ...

    async def live_order_of(self, offer_id: UUID) -> UUID | None: ...

    async def purchase(self, order_id: UUID, owner: str) -> Purchase | None:
        """The owner's order, locked until the end of the transaction."""
        ...

    async def status(self, order_id: UUID, owner: str) -> OrderStatus | None:
        """Where the owner's order is just now; locks nothing."""
        ...

    async def save(self, before: Purchase, after: Purchase) -> None:
        """Store a changed purchase and end any lease on it; raises ``Stale``."""
        ...

    async def sealed(self, order_id: UUID) -> bytes:
        """The encrypted policyholder."""
        ...

    # cancellations

    async def add_cancellation(self, preview: Cancellation) -> None: ...

    async def cancellation(self, cancellation_id: UUID, order_id: UUID) -> Cancellation | None: ...

    # the process manager

    async def claim(
        self, worker: int, now: datetime, *, lease: timedelta, limit: int, busy_insurers: Collection[str]
    ) -> list[Purchase]:
        """Take up orders that are due and nobody has in hand, oldest first, none waiting for a busy insurer."""
        ...

    async def free_dead_leases(self, worker: int, now: datetime) -> int:
        """Make leases of workers that are gone due at once; how many."""
        ...

    async def notified(self, notification: Notification, now: datetime) -> bool:
        """Note a notification about a payment of ours and make its order due; False when it changes nothing."""
        ...

    # documents

    async def attach_document(self, policy_id: UUID, document_id: UUID) -> bool:
        """Note that the policy can be downloaded; False when there is no such policy."""
        ...

    async def publish(self, events: Sequence[Event], now: datetime) -> None: ...


Transaction = Callable[[], AbstractAsyncContextManager[Store]]
"""Opens a transaction that commits on leaving and rolls back on any exception.

As ``Desk.statements`` it opens a store each of whose calls stands for itself: for reading, and for ``place``.
"""
