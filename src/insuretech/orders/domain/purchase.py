"""An order together with its payment, its policy and its cancellation, and how these follow their life cycles."""

from datetime import date, datetime
from typing import TypeVar
from uuid import UUID

import msgspec

from insuretech.contracts.events import OrderClosed, PaymentAuthorised, PaymentCaptured, PaymentRefunded
from insuretech.contracts.money import Money
from insuretech.contracts.payments import PaymentMethod, ProviderPayment
from insuretech.contracts.text import Text
from insuretech.kit.events import Event
from insuretech.orders.domain.lifecycle import (
    BACKED,
    BEGINS,
    OPEN_PAYMENT,
    ORDER_MOVES,
    PAYMENT_MOVES,
    POLICY_MOVES,
    CancellationStatus,
    ClosedStatus,
    MoveNotAllowed,
    OrderStatus,
    PaymentStatus,
    PolicyStatus,
    Reason,
)


class AcceptedConsent(msgspec.Struct, frozen=True):
    """A consent the buyer gave with the order; the moment is the order's."""

    code: str
    version: str


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A buyer's order for one offer.

    ``starts_on`` to ``ends_on`` inclusive is the cover asked for. ``offer_expires_at`` is how long the insurer stands
    by the premium, ``pay_until`` the buyer's deadline. ``ask_first`` says that the insurer may already have our request
    to issue. ``next_action_at`` is when the process manager looks at the order next, ``attempts`` how often it has
    taken up the present step. ``detail`` is the insurer's own sentence.
    """

    id: UUID
    owner: str
    offer_id: UUID
    quote_id: UUID
    product: str
    product_version: str
    insurer: str
    offer_number: str
    status: OrderStatus
    premium: Money
    starts_on: date
    ends_on: date
    offer_expires_at: datetime
    consents: tuple[AcceptedConsent, ...]
    created_at: datetime
    stage_at: datetime
    previous_premium: Money | None = None
    pay_until: datetime | None = None
    reason: Reason | None = None
    detail: str | None = None
    payment_id: UUID | None = None
    cancellation_id: UUID | None = None
    ask_first: bool = False
    attempts: int = 0
    next_action_at: datetime | None = None
    version: int = 1

    def moved(
        self, to: OrderStatus, now: datetime, *, reason: Reason | None = None, detail: str | None = None
    ) -> "Order":
        """The order one step on; raises ``MoveNotAllowed``."""
        if to not in ORDER_MOVES[self.status]:
            raise MoveNotAllowed(f"order {self.status} -> {to}")
        return msgspec.structs.replace(
            self, status=to, stage_at=now, attempts=0, ask_first=False, reason=reason, detail=detail
        )


class Payment(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt to pay. ``captured`` is what was taken, ``refunded`` what of it went back.

    ``reason`` is the provider's word for a cancelled payment; ``refund_try`` counts refunds the provider failed.
    """

    id: UUID
    order_id: UUID
    status: PaymentStatus
    method: PaymentMethod
    amount: Money
    return_url: str
    created_at: datetime
    captured: Money = Money.zero()
    refunded: Money = Money.zero()
    provider_id: str | None = None
    confirmation_url: str | None = None
    held_until: datetime | None = None
    reason: str | None = None
    refund_try: int = 0

    @property
    def held(self) -> Money:
        return self.amount if self.status is PaymentStatus.HELD else Money.zero(self.amount.currency)

    @property
    def kept(self) -> Money:
        """What we have of the buyer's money."""
        return self.captured - self.refunded

    def moved(self, to: PaymentStatus) -> "Payment":
        if to not in PAYMENT_MOVES[self.status]:
            raise MoveNotAllowed(f"payment {self.status} -> {to}")
        return msgspec.structs.replace(self, status=to)


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """A contract the insurer concluded; cover from ``starts_on`` to ``ends_on`` inclusive.

    ``ended_on`` is the last day of cover of a policy the insurer has ended early.
    """

    id: UUID
    order_id: UUID
    owner: str
    number: str
    product: str
    insurer: str
    status: PolicyStatus
    premium: Money
    starts_on: date
    ends_on: date
    issued_at: datetime
    verification_code: str
    ended_on: date | None = None
    document_id: UUID | None = None

    def moved(self, to: PolicyStatus) -> "Policy":
        if to not in POLICY_MOVES[self.status]:
            raise MoveNotAllowed(f"policy {self.status} -> {to}")
        return msgspec.structs.replace(self, status=to)

    def on_risk(self, today: date) -> bool:
        """Whether the insurer bears the risk today."""
        return self.starts_on <= today <= min(self.ends_on, self.ended_on or self.ends_on)


class Cancellation(msgspec.Struct, frozen=True, kw_only=True):
    """What ending an order or a policy would give back, and how far a confirmed one has got.

    ``policy_id`` is None for an order that has no policy yet. ``cancelled_on`` is the last day of cover.
    """

    id: UUID
    order_id: UUID
    policy_id: UUID | None
    status: CancellationStatus
    refund: Money
    retained: Money
    cancelled_on: date
    legal_ground: Text
    source: str
    created_at: datetime
    expires_at: datetime
    unverified: str | None = None
    reason: str | None = None


class Purchase(msgspec.Struct, frozen=True, kw_only=True):
    """An order with its current payment, its policy and the cancellation that was confirmed, if any."""

    order: Order
    payment: Payment | None = None
    policy: Policy | None = None
    cancellation: Cancellation | None = None

    @property
    def revision(self) -> int:
        """Grows with all that its buyer can see: a document comes without a new version of its order, and never goes.

        Of two pictures of a purchase the one with the greater revision is the later.
        """
        printed = self.policy is not None and self.policy.document_id is not None
        return 2 * self.order.version + printed

    @property
    def backed(self) -> bool:
        return self.payment is not None and self.payment.status in BACKED

    @property
    def payable(self) -> Payment | None:
        """The payment a buyer may still make."""
        return self.payment if self.payment is not None and self.payment.status in OPEN_PAYMENT else None


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A changed purchase and the events to publish with it.

    ``wait`` is the seconds to rest before the next step; None leaves that to the step's own rhythm.
    """

    purchase: Purchase
    events: tuple[Event, ...] = ()
    wait: float | None = None


Some = TypeVar("Some", bound=msgspec.Struct)


def changed(thing: Some, **fields: object) -> Some:
    """The same thing with some fields replaced."""
    return msgspec.structs.replace(thing, **fields)


def taken_up(order: Order, now: datetime, *, interrupted: bool) -> Order:
    """The order in a worker's hands; ``interrupted`` when the worker before it never noted what came of its step."""
    begun = BEGINS.get(order.status)
    if begun is not None:
        return changed(order, status=begun, stage_at=now, attempts=1, ask_first=interrupted, version=order.version + 1)
    ask_first = order.ask_first or interrupted
    return changed(order, attempts=order.attempts + 1, ask_first=ask_first, version=order.version + 1)


def closed(
    purchase: Purchase, status: ClosedStatus, reason: Reason | None, now: datetime, detail: str | None = None
) -> Change:
    """End the order without a policy and set its offer free; money that is or may come in is given back afterwards."""
    order = purchase.order.moved(OrderStatus(status), now, reason=reason or purchase.order.reason, detail=detail)
    told = OrderClosed(order_id=order.id, offer_id=order.offer_id, quote_id=order.quote_id, status=status)
    return Change(purchase=changed(purchase, order=order), events=(told,))


def observed(payment: Payment, seen: ProviderPayment) -> tuple[Payment, tuple[Event, ...]]:
    """The payment brought up to what the provider says, with an event for every movement of money."""
    if seen.amount != payment.amount:
        raise MoveNotAllowed("the provider speaks of another amount")
    events: list[Event] = []
    order_id, payment_id, amount = payment.order_id, payment.id, payment.amount
    payment = changed(
        payment,
        provider_id=seen.id,
        confirmation_url=seen.confirmation_url or payment.confirmation_url,
        held_until=seen.held_until or payment.held_until,
    )
    if seen.status == "pending" and payment.status is PaymentStatus.OPENING:
        payment = payment.moved(PaymentStatus.PENDING)
    if seen.status in {"held", "captured"} and payment.status in OPEN_PAYMENT:
        charged = seen.status == "captured"
        events.append(PaymentAuthorised(order_id=order_id, payment_id=payment_id, amount=amount, charged=charged))
        if not charged:
            payment = payment.moved(PaymentStatus.HELD)
    if seen.status == "captured" and payment.status in OPEN_PAYMENT | {PaymentStatus.HELD}:
        payment = changed(payment.moved(PaymentStatus.CAPTURED), captured=seen.captured)
        taken = PaymentCaptured(order_id=order_id, payment_id=payment_id, amount=seen.captured, provider_id=seen.id)
        events.append(taken)
    if seen.status == "cancelled" and payment.status in OPEN_PAYMENT:
        payment = changed(payment.moved(PaymentStatus.CANCELLED), reason=seen.cancellation)
    if seen.status == "cancelled" and payment.status is PaymentStatus.HELD:
        payment = changed(payment.moved(PaymentStatus.VOIDED), reason=seen.cancellation)
        events.append(PaymentRefunded(order_id=order_id, payment_id=payment_id, amount=amount, voided=True))
    if payment.status is PaymentStatus.CAPTURED and seen.refunded.amount > payment.refunded.amount:
        back = seen.refunded - payment.refunded
        payment = changed(payment, refunded=seen.refunded)
        if payment.refunded == payment.captured:
            payment = payment.moved(PaymentStatus.REFUNDED)
        returned = PaymentRefunded(order_id=order_id, payment_id=payment_id, amount=back, provider_id=seen.id)
        events.append(returned)
    return payment, tuple(events)
