"""What the process manager does for an order next, and when.

Every step may be repeated after a crash: the insurer and the provider know our references.
"""

from datetime import datetime, timedelta
from enum import StrEnum

from insuretech.orders.domain.lifecycle import BACKED, OPEN_PAYMENT, CancellationStatus, OrderStatus, PaymentStatus
from insuretech.orders.domain.purchase import Cancellation, Change, Order, Payment, Purchase, changed

OPENING_TAKES = timedelta(seconds=15)
"""How long a buyer's own request may be at opening a payment before the process manager finds out what became of it."""
CONFIRM_FOR = timedelta(minutes=15)
"""How long an insurer that cannot be reached may keep a buyer waiting for the price."""
SECURE_BEFORE = timedelta(minutes=30)
"""How long before a hold lapses it is captured although the outcome of the issue is still unknown."""


class Step(StrEnum):
    """One thing to do for an order; all but ``CONCLUDE`` ask somebody outside."""

    CONFIRM_PRICE = "confirm_price"
    OPEN_PAYMENT = "open_payment"
    LOOK_UP_PAYMENT = "look_up_payment"
    ISSUE = "issue"
    CAPTURE = "capture"
    CLOSE_PAYMENT = "close_payment"
    RELEASE = "release"
    REFUND = "refund"
    END_POLICY = "end_policy"
    REFUND_PART = "refund_part"
    CONCLUDE = "conclude"


ASKS_INSURER = frozenset(
    {
        OrderStatus.CREATED,
        OrderStatus.CONFIRMING_PRICE,
        OrderStatus.PAID_OR_HELD,
        OrderStatus.ISSUING,
        OrderStatus.ISSUE_UNKNOWN,
    }
)
"""Where the next step, as a rule, asks the order's insurer: a slow one may fill its own share of the workers only."""


def next_step(purchase: Purchase, now: datetime) -> Step | None:
    """What is to be done for this order, or None while it waits for a person, for time or for nothing."""
    order, payment = purchase.order, purchase.payment
    match order.status:
        case OrderStatus.CREATED | OrderStatus.CONFIRMING_PRICE:
            return Step.CONCLUDE if now >= confirm_until(order) else Step.CONFIRM_PRICE
        case OrderStatus.PRICE_CHANGED | OrderStatus.AWAITING_PAYMENT:
            return _while_awaiting(order, payment, now)
        case OrderStatus.PAID_OR_HELD | OrderStatus.ISSUING | OrderStatus.ISSUE_UNKNOWN:
            return _while_issuing(purchase, now)
        case OrderStatus.ISSUE_FAILED | OrderStatus.COMPENSATING:
            return giving_back(payment) or Step.CONCLUDE
        case OrderStatus.ISSUED:
            return _while_ending(purchase.cancellation)
        case OrderStatus.EXPIRED | OrderStatus.CANCELLED:
            return giving_back(payment)
        case OrderStatus.REFUNDED | OrderStatus.VOIDED:
            return None


def confirm_until(order: Order) -> datetime:
    """When an order whose price the insurer has not confirmed ends."""
    return min(order.offer_expires_at, order.created_at + CONFIRM_FOR)


def payment_time_over(order: Order, now: datetime) -> bool:
    """Whether the buyer's time to agree and pay has passed."""
    return order.pay_until is not None and now >= order.pay_until


def giving_back(payment: Payment | None) -> Step | None:
    """The step that brings a payment to an end without a policy; None when it has ended or never began."""
    steps = {
        PaymentStatus.OPENING: Step.OPEN_PAYMENT,
        PaymentStatus.PENDING: Step.CLOSE_PAYMENT,
        PaymentStatus.HELD: Step.RELEASE,
        PaymentStatus.CAPTURED: Step.REFUND,
    }
    return None if payment is None else steps.get(payment.status)


def _while_awaiting(order: Order, payment: Payment | None, now: datetime) -> Step | None:
    if payment is not None and payment.status in OPEN_PAYMENT:
        return Step.LOOK_UP_PAYMENT if payment.status is PaymentStatus.PENDING else Step.OPEN_PAYMENT
    backed = payment is not None and payment.status in BACKED
    return Step.CONCLUDE if backed or payment_time_over(order, now) else None


def _while_issuing(purchase: Purchase, now: datetime) -> Step:
    order, payment = purchase.order, purchase.payment
    held = payment if payment is not None and payment.status is PaymentStatus.HELD else None
    if purchase.policy is not None:
        return Step.CONCLUDE if held is None else Step.CAPTURE
    maybe_sent = order.status is OrderStatus.ISSUE_UNKNOWN or order.ask_first
    if held is not None and maybe_sent and held.held_until is not None and now >= held.held_until - SECURE_BEFORE:
        return Step.CAPTURE
    return Step.ISSUE


def _while_ending(cancellation: Cancellation | None) -> Step | None:
    if cancellation is None:
        return None
    steps = {CancellationStatus.REQUESTED: Step.END_POLICY, CancellationStatus.ENDED: Step.REFUND_PART}
    return steps.get(cancellation.status)


# ---------------------------------------------------------------- when


def backoff(attempts: int, first: float = 1.0, cap: float = 120.0) -> float:
    """Seconds to rest after so many attempts in vain: doubling from ``first`` up to ``cap``."""
    return min(first * 2.0 ** min(max(attempts - 1, 0), 20), cap)


def recheck(attempts: int, first: float) -> float:
    """Seconds until the insurer is asked again about an unknown issue: from ``first`` growing to five minutes."""
    return min(first * 1.6 ** min(max(attempts - 1, 0), 20), max(first, 300.0))


def _own_rhythm(step: Step, order: Order) -> float:
    """Seconds before a step nothing stands in the way of; notifications come sooner than looks at an open payment."""
    match step:
        case Step.LOOK_UP_PAYMENT:
            return min(2.0 * 1.5 ** min(order.attempts, 12), 30.0)
        case Step.OPEN_PAYMENT if order.attempts == 0:
            return OPENING_TAKES.total_seconds()
        case _:
            return 0.0


def scheduled(change: Change, now: datetime) -> Purchase:
    """The changed purchase with the moment of its next step, or none when there is nothing more to do."""
    purchase, order = change.purchase, change.purchase.order
    awaiting = order.status in {OrderStatus.PRICE_CHANGED, OrderStatus.AWAITING_PAYMENT}
    deadline = order.pay_until if awaiting else None
    step = next_step(purchase, now)
    if step is None:
        at = deadline
    else:
        rest = _own_rhythm(step, order) if change.wait is None else change.wait
        at = now + timedelta(seconds=rest)
        if deadline is not None and now < deadline < at:
            at = deadline
    return changed(purchase, order=changed(order, next_action_at=at))
