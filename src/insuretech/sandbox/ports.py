"""What the sandbox's insurers and its payment provider need: their books, and the legal corridor."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol
from uuid import UUID

from insuretech.sandbox.domain import Delivery, EndingRecord, OfferRecord, PolicyRecord, ReservationRecord
from insuretech.sandbox.payments import Payment, Refund


class Deliveries(Protocol):
    """Messages to be sent, kept in the transaction of what they tell of."""

    async def deliver(self, delivery: Delivery) -> None: ...


class InsurerBooks(Deliveries, Protocol):
    """What the insurers remember. ``keep_…`` writes once per reference and gives what stands."""

    async def offer(self, insurer: str, reference: UUID) -> OfferRecord | None: ...

    async def offer_numbered(self, insurer: str, number: str) -> OfferRecord | None: ...

    async def reservation(self, insurer: str, reference: UUID) -> ReservationRecord | None: ...

    async def keep_reservation(self, reservation: ReservationRecord) -> ReservationRecord: ...

    async def policy(self, insurer: str, reference: UUID) -> PolicyRecord | None: ...

    async def locked_policy(self, insurer: str, number: str) -> PolicyRecord | None:
        """The policy of this number, to be ended by nobody else in the meantime."""
        ...

    async def next_policy_number(self) -> int: ...

    async def keep_policy(self, policy: PolicyRecord) -> PolicyRecord | None:
        """None when the offer has become another reference's policy already."""
        ...

    async def ending(self, insurer: str, reference: UUID) -> EndingRecord | None: ...

    async def end_policy(self, ending: EndingRecord, at: datetime) -> None:
        """Remember the answer, and the end of the policy if that is what it is."""
        ...


class OfferJournal(Protocol):
    """Keeps offers of all insurers with one commit for those that come together."""

    async def keep(self, offer: OfferRecord, told_by: Sequence[Delivery] = ()) -> OfferRecord:
        """What stands under the offer's reference; a new one is told of by these messages."""
        ...


class PaymentBooks(Deliveries, Protocol):
    """What the payment provider remembers."""

    async def payment(self, payment_id: UUID, *, lock: bool) -> Payment | None: ...

    async def open_payment(self, payment: Payment) -> None: ...

    async def change_payment(self, payment: Payment) -> None: ...

    async def expired_payments(self, now: datetime, limit: int) -> list[Payment]:
        """Payments whose time is over, locked; those that another process works on are left out."""
        ...

    async def refund(self, refund_id: UUID) -> Refund | None: ...

    async def refunds_of(self, payment_id: UUID) -> list[Refund]: ...

    async def open_refund(self, refund: Refund) -> None: ...

    async def change_refund(self, refund: Refund) -> None: ...

    async def anything_ripe(self, now: datetime) -> bool:
        """Whether there are expired payments or ripe refunds."""
        ...

    async def ripe_refunds(self, now: datetime, limit: int) -> list[Refund]: ...

    async def first_answer(self, key: str, fingerprint: bytes, now: datetime) -> tuple[bytes, bytes] | None:
        """Claim an idempotence key; else the fingerprint and the answer of its first use."""
        ...

    async def keep_answer(self, key: str, body: bytes) -> None: ...


class BehaviourStore(Protocol):
    """Keeps behaviours over restarts, as JSON documents by name."""

    async def all(self) -> dict[str, bytes]: ...

    async def put(self, name: str, document: bytes) -> None: ...

    async def clear(self) -> None: ...


InsurerTransaction = Callable[[], AbstractAsyncContextManager[InsurerBooks]]
PaymentTransaction = Callable[[], AbstractAsyncContextManager[PaymentBooks]]
