"""What the outcome of a step means for an order."""

from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from insuretech.contracts.events import IssueFailed, PolicyCancelled, PolicyIssued, PriceChanged
from insuretech.contracts.insurers import (
    EndRefused,
    Issued,
    IssueRefused,
    NotKnown,
    Pending,
    PolicyEnded,
    PriceConfirmed,
    PriceRefused,
)
from insuretech.contracts.money import Money
from insuretech.contracts.payments import ProviderPayment
from insuretech.orders.domain.lifecycle import (
    CancellationStatus,
    MoveNotAllowed,
    OrderStatus,
    PaymentStatus,
    PolicyStatus,
    Reason,
)
from insuretech.orders.domain.purchase import Change, Policy, Purchase, changed, closed, observed
from insuretech.orders.domain.steps import Step, backoff, confirm_until, giving_back, payment_time_over, recheck

UNSENT_FOR = timedelta(minutes=30)
"""How long an issue that surely never reached the insurer is tried before the money goes back."""


class Unreachable(msgspec.Struct, frozen=True, tag="unreachable"):
    """The other side surely did not get the request."""


class Unanswered(msgspec.Struct, frozen=True, tag="unanswered"):
    """The other side may have carried the request out."""


class PaymentNotOpened(msgspec.Struct, frozen=True, tag="payment_not_opened"):
    """The provider will not open this payment; there is none."""

    reason: str


class RefundFailed(msgspec.Struct, frozen=True, tag="refund_failed"):
    """The provider gave up a refund; another one has to be asked for."""


Outcome = (
    PriceConfirmed
    | PriceRefused
    | Issued
    | IssueRefused
    | Pending
    | NotKnown
    | PolicyEnded
    | EndRefused
    | ProviderPayment
    | PaymentNotOpened
    | RefundFailed
    | Unreachable
    | Unanswered
    | None
)
"""What a step brought; None for ``Step.CONCLUDE``, which asks nobody."""


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds: ``payment_deadline`` for a buyer to pay, ``issue_recheck`` before the first look at an unknown issue."""

    payment_deadline: float
    issue_recheck: float


class Minted(msgspec.Struct, frozen=True):
    """Names for a policy, should the step bring one."""

    policy_id: UUID
    verification_code: str


def after(purchase: Purchase, step: Step, outcome: Outcome, now: datetime, *, timing: Timing, minted: Minted) -> Change:
    """The purchase after ``step`` ended with ``outcome``; not yet scheduled."""
    match outcome:
        case None:
            return conclude(purchase, now)
        case PriceConfirmed() | PriceRefused():
            return _price_answered(purchase, outcome, now, timing)
        case ProviderPayment() | PaymentNotOpened() | RefundFailed():
            return _provider_answered(purchase, outcome, now)
        case Issued() | IssueRefused() | Pending() | NotKnown():
            return _issue_answered(purchase, outcome, now, minted)
        case PolicyEnded() | EndRefused():
            return _end_answered(purchase, outcome)
        case Unreachable() | Unanswered():
            if step is Step.ISSUE:
                return _issue_unclear(purchase, outcome, now, timing)
            return Change(purchase=purchase, wait=backoff(purchase.order.attempts))


def conclude(purchase: Purchase, now: datetime, *, provider_asked: bool = False) -> Change:
    """What follows without asking anybody: deadlines that passed, money that has come in or gone back."""
    order, payment = purchase.order, purchase.payment
    match order.status:
        case OrderStatus.CREATED | OrderStatus.CONFIRMING_PRICE if now >= confirm_until(order):
            return _expired(purchase, Reason.INSURER_UNREACHABLE, now)
        case OrderStatus.AWAITING_PAYMENT if purchase.backed:
            return Change(purchase=changed(purchase, order=order.moved(OrderStatus.PAID_OR_HELD, now)))
        case OrderStatus.PRICE_CHANGED | OrderStatus.AWAITING_PAYMENT if payment_time_over(order, now):
            if purchase.payable is not None and not provider_asked:
                return Change(purchase=purchase)  # it may have been paid in time
            return _expired(purchase, Reason.PAYMENT_DEADLINE, now)
        case OrderStatus.ISSUING | OrderStatus.ISSUE_UNKNOWN if purchase.policy is not None:
            return _issue_settled(purchase, now)
        case OrderStatus.COMPENSATING if giving_back(payment) is None:
            taken = payment is not None and bool(payment.captured)
            return closed(purchase, "refunded" if taken else "voided", order.reason, now, order.detail)
        case _:
            return Change(purchase=purchase)


def one_line(text: str) -> str:
    """An outsider's words, fit to be stored and shown: no control characters, at most 500 characters."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())[:500]


# ---------------------------------------------------------------- price


def _expired(purchase: Purchase, reason: Reason, now: datetime) -> Change:
    """End the order for ``reason``, or for the offer's own expiry where that has come as well."""
    late = now >= purchase.order.offer_expires_at
    return closed(purchase, "expired", Reason.OFFER_EXPIRED if late else reason, now)


def _price_answered(purchase: Purchase, answer: PriceConfirmed | PriceRefused, now: datetime, timing: Timing) -> Change:
    if isinstance(answer, PriceRefused):
        return closed(purchase, "expired", Reason.OFFER_WITHDRAWN, now, one_line(answer.reason))
    if answer.premium.amount <= 0:
        raise MoveNotAllowed("an insurer's price is above zero")
    order = changed(purchase.order, offer_expires_at=answer.expires_at)
    if answer.expires_at <= now:
        return _expired(changed(purchase, order=order), Reason.OFFER_EXPIRED, now)
    order = changed(order, pay_until=min(answer.expires_at, now + timedelta(seconds=timing.payment_deadline)))
    if answer.premium == order.premium:
        return Change(purchase=changed(purchase, order=order.moved(OrderStatus.AWAITING_PAYMENT, now)))
    told = PriceChanged(order_id=order.id, previous=order.premium, premium=answer.premium)
    order = changed(order, previous_premium=order.premium, premium=answer.premium)
    return Change(purchase=changed(purchase, order=order.moved(OrderStatus.PRICE_CHANGED, now)), events=(told,))


# ---------------------------------------------------------------- money


def _provider_answered(
    purchase: Purchase, answer: ProviderPayment | PaymentNotOpened | RefundFailed, now: datetime
) -> Change:
    match answer:
        case ProviderPayment():
            return payment_seen(purchase, answer, now)
        case PaymentNotOpened():
            return payment_not_opened(purchase, answer.reason)
        case RefundFailed():
            return _refund_failed(purchase)


def payment_seen(purchase: Purchase, seen: ProviderPayment, now: datetime) -> Change:
    """The purchase brought up to what the provider says of its payment."""
    if purchase.payment is None:
        raise MoveNotAllowed("a payment was seen that the order does not have")
    before = purchase.order.status
    payment, events = observed(purchase.payment, seen)
    news = bool(events) or payment.status is not purchase.payment.status
    if news:
        purchase = changed(purchase, order=changed(purchase.order, attempts=0))
    attempts = purchase.order.attempts
    ended = _cancellation_settled(changed(purchase, payment=payment))
    then = conclude(ended.purchase, now, provider_asked=True)
    news = news or then.purchase.order.status is not before
    keeps_rhythm = news or before is OrderStatus.AWAITING_PAYMENT
    wait = None if keeps_rhythm else backoff(attempts, first=2.0, cap=60.0)
    return Change(purchase=then.purchase, events=events + ended.events + then.events, wait=wait)


def payment_not_opened(purchase: Purchase, reason: str) -> Change:
    """The payment ends before it began; the buyer may try another one."""
    payment = purchase.payment
    if payment is None or payment.status is not PaymentStatus.OPENING:
        return Change(purchase=purchase)
    ended = changed(payment.moved(PaymentStatus.CANCELLED), reason=one_line(reason))
    return Change(purchase=changed(purchase, payment=ended, order=changed(purchase.order, attempts=0)))


def _refund_failed(purchase: Purchase) -> Change:
    payment = purchase.payment
    if payment is None:
        raise MoveNotAllowed("a refund failed that was never asked for")
    again = changed(payment, refund_try=payment.refund_try + 1)
    return Change(purchase=changed(purchase, payment=again), wait=backoff(purchase.order.attempts))


# ---------------------------------------------------------------- policy


def _issue_answered(
    purchase: Purchase, answer: Issued | IssueRefused | Pending | NotKnown, now: datetime, minted: Minted
) -> Change:
    order = purchase.order
    match answer:
        case Issued():
            return _issued(purchase, answer, now, minted)
        case IssueRefused():
            return _issue_failed(purchase, Reason.ISSUE_REFUSED, now, one_line(answer.reason))
        case Pending():
            wait = min(max(answer.retry_after, 0.2) * 1.2 ** min(max(order.attempts - 1, 0), 40), 60.0)
            return Change(purchase=changed(purchase, order=changed(order, ask_first=True)), wait=wait)
        case NotKnown() if purchase.backed:
            return Change(purchase=changed(purchase, order=changed(order, ask_first=False)), wait=1.0)
        case NotKnown():
            return _issue_failed(purchase, Reason.HOLD_LOST, now)


def _issued(purchase: Purchase, issued: Issued, now: datetime, minted: Minted) -> Change:
    order = purchase.order
    if purchase.policy is not None:
        raise MoveNotAllowed("an order has at most one policy")
    policy = Policy(
        id=minted.policy_id,
        order_id=order.id,
        owner=order.owner,
        number=one_line(issued.policy_number),
        product=order.product,
        insurer=order.insurer,
        status=PolicyStatus.ISSUED,
        premium=issued.premium,
        starts_on=issued.starts_on,
        ends_on=issued.ends_on,
        issued_at=now,
        verification_code=minted.verification_code,
    )
    told = PolicyIssued(
        order_id=order.id,
        policy_id=policy.id,
        offer_id=order.offer_id,
        quote_id=order.quote_id,
        number=policy.number,
        owner=order.owner,
        product=order.product,
        insurer=order.insurer,
        premium=policy.premium,
        starts_on=policy.starts_on,
        ends_on=policy.ends_on,
        verification_code=policy.verification_code,
    )
    order = changed(order, ask_first=False, attempts=0)
    then = conclude(changed(purchase, order=order, policy=policy), now)
    return Change(purchase=then.purchase, events=(told, *then.events))


def _issue_settled(purchase: Purchase, now: datetime) -> Change:
    """A policy is there: the order is issued once its money is taken, or once there is nothing left to take."""
    payment = purchase.payment
    if payment is not None and payment.status is PaymentStatus.HELD:
        return Change(purchase=purchase)
    collected = payment is not None and payment.status is PaymentStatus.CAPTURED
    order = purchase.order.moved(OrderStatus.ISSUED, now, reason=None if collected else Reason.UNCOLLECTED)
    return Change(purchase=changed(purchase, order=order))


def _issue_failed(purchase: Purchase, reason: Reason, now: datetime, detail: str | None = None) -> Change:
    order = purchase.order.moved(OrderStatus.ISSUE_FAILED, now, reason=reason, detail=detail)
    told = IssueFailed(order_id=order.id, reason=reason.value)
    return Change(purchase=changed(purchase, order=order), events=(told,))


def _issue_unclear(purchase: Purchase, outcome: Unreachable | Unanswered, now: datetime, timing: Timing) -> Change:
    order = purchase.order
    surely_unsent = (
        isinstance(outcome, Unreachable) and order.status is not OrderStatus.ISSUE_UNKNOWN and not order.ask_first
    )
    if surely_unsent and now - order.stage_at >= UNSENT_FOR:
        return _issue_failed(purchase, Reason.INSURER_UNREACHABLE, now)
    if surely_unsent:
        return Change(purchase=purchase, wait=backoff(order.attempts, cap=60.0))
    wait = recheck(order.attempts, timing.issue_recheck)
    if order.status is not OrderStatus.ISSUE_UNKNOWN:
        order = order.moved(OrderStatus.ISSUE_UNKNOWN, now)
        wait = timing.issue_recheck
    return Change(purchase=changed(purchase, order=changed(order, ask_first=True)), wait=wait)


# ---------------------------------------------------------------- ending a policy


def _end_answered(purchase: Purchase, answer: PolicyEnded | EndRefused) -> Change:
    """Whatever refund the insurer computed, the buyer gets what the preview promised; settlement sees a difference."""
    cancellation, policy, order = purchase.cancellation, purchase.policy, purchase.order
    if cancellation is None or policy is None:
        raise MoveNotAllowed("an answer came to a cancellation that nobody asked for")
    if isinstance(answer, PolicyEnded):
        cancellation = changed(cancellation, status=CancellationStatus.ENDED)
        policy = changed(policy, ended_on=cancellation.cancelled_on)
        order = changed(order, attempts=0)
        return _cancellation_settled(changed(purchase, cancellation=cancellation, policy=policy, order=order))
    detail = one_line(answer.reason)
    cancellation = changed(cancellation, status=CancellationStatus.REFUSED, reason=detail)
    order = changed(order, reason=Reason.CANCELLATION_REFUSED, detail=detail, attempts=0)
    policy = policy.moved(PolicyStatus.ISSUED)
    return Change(purchase=changed(purchase, order=order, policy=policy, cancellation=cancellation))


def _cancellation_settled(purchase: Purchase) -> Change:
    """Close a cancellation whose refund has arrived, or that had nothing to refund."""
    cancellation, policy, payment = purchase.cancellation, purchase.policy, purchase.payment
    if cancellation is None or policy is None or cancellation.status is not CancellationStatus.ENDED:
        return Change(purchase=purchase)
    back = payment.refunded if payment is not None else Money.zero(cancellation.refund.currency)
    if back.amount < cancellation.refund.amount:
        return Change(purchase=purchase)
    told = PolicyCancelled(
        order_id=purchase.order.id,
        policy_id=policy.id,
        number=policy.number,
        refund=cancellation.refund,
        cancelled_on=cancellation.cancelled_on,
    )
    cancellation = changed(cancellation, status=CancellationStatus.DONE)
    policy = policy.moved(PolicyStatus.CANCELLED)
    return Change(purchase=changed(purchase, cancellation=cancellation, policy=policy), events=(told,))
