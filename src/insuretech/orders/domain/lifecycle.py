"""The states of orders, payments, policies and cancellations, and the steps between them that are allowed."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal


class OrderStatus(StrEnum):
    """Where an order is between being placed and one of its ends."""

    CREATED = "created"
    CONFIRMING_PRICE = "confirming_price"
    PRICE_CHANGED = "price_changed"
    AWAITING_PAYMENT = "awaiting_payment"
    PAID_OR_HELD = "paid_or_held"
    ISSUING = "issuing"
    ISSUE_UNKNOWN = "issue_unknown"
    ISSUE_FAILED = "issue_failed"
    COMPENSATING = "compensating"
    ISSUED = "issued"
    REFUNDED = "refunded"
    VOIDED = "voided"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


class PaymentStatus(StrEnum):
    """``opening`` is asked for and not yet answered; ``cancelled`` never held money, ``voided`` let a hold go."""

    OPENING = "opening"
    PENDING = "pending"
    HELD = "held"
    CAPTURED = "captured"
    CANCELLED = "cancelled"
    VOIDED = "voided"
    REFUNDED = "refunded"


class PolicyStatus(StrEnum):
    """A policy exists from the moment the insurer says so; until then its order, being issued, is the request for it.

    Being on risk or expired is computed from dates, never stored.
    """

    ISSUED = "issued"
    CANCEL_REQUESTED = "cancel_requested"
    CANCELLED = "cancelled"


class CancellationStatus(StrEnum):
    """``previewed`` until the buyer confirms; ``ended`` when the insurer has ended the policy and money is due."""

    PREVIEWED = "previewed"
    REQUESTED = "requested"
    ENDED = "ended"
    DONE = "done"
    REFUSED = "refused"


class Reason(StrEnum):
    """Why an order is where it is, when its status alone does not say; stable, shown with a sentence."""

    PAYMENT_DEADLINE = "payment_deadline"
    OFFER_EXPIRED = "offer_expired"
    OFFER_WITHDRAWN = "offer_withdrawn"
    INSURER_UNREACHABLE = "insurer_unreachable"
    ISSUE_REFUSED = "issue_refused"
    HOLD_LOST = "hold_lost"
    UNCOLLECTED = "uncollected"
    BUYER = "buyer"
    CANCELLATION_REFUSED = "cancellation_refused"


_S = OrderStatus
ORDER_MOVES: Mapping[OrderStatus, frozenset[OrderStatus]] = {
    _S.CREATED: frozenset({_S.CONFIRMING_PRICE, _S.EXPIRED, _S.CANCELLED}),
    _S.CONFIRMING_PRICE: frozenset({_S.PRICE_CHANGED, _S.AWAITING_PAYMENT, _S.EXPIRED, _S.CANCELLED}),
    _S.PRICE_CHANGED: frozenset({_S.AWAITING_PAYMENT, _S.EXPIRED, _S.CANCELLED}),
    _S.AWAITING_PAYMENT: frozenset({_S.PAID_OR_HELD, _S.EXPIRED, _S.CANCELLED}),
    _S.PAID_OR_HELD: frozenset({_S.ISSUING, _S.CANCELLED}),
    _S.ISSUING: frozenset({_S.ISSUED, _S.ISSUE_UNKNOWN, _S.ISSUE_FAILED}),
    _S.ISSUE_UNKNOWN: frozenset({_S.ISSUED, _S.ISSUE_FAILED}),
    _S.ISSUE_FAILED: frozenset({_S.COMPENSATING}),
    _S.COMPENSATING: frozenset({_S.REFUNDED, _S.VOIDED}),
    _S.ISSUED: frozenset(),
    _S.REFUNDED: frozenset(),
    _S.VOIDED: frozenset(),
    _S.EXPIRED: frozenset(),
    _S.CANCELLED: frozenset(),
}

BEGINS: Mapping[OrderStatus, OrderStatus] = {
    _S.CREATED: _S.CONFIRMING_PRICE,
    _S.PAID_OR_HELD: _S.ISSUING,
    _S.ISSUE_FAILED: _S.COMPENSATING,
}
"""What a status becomes when a worker takes the order up: stored before the outside call, so a crash shows in it."""

ClosedStatus = Literal["expired", "cancelled", "refunded", "voided"]
CLOSED = frozenset({_S.EXPIRED, _S.CANCELLED, _S.REFUNDED, _S.VOIDED})
"""Ended without a policy: the offer is free for another order."""

BEFORE_ISSUING = frozenset({_S.CREATED, _S.CONFIRMING_PRICE, _S.PRICE_CHANGED, _S.AWAITING_PAYMENT, _S.PAID_OR_HELD})

_P = PaymentStatus
PAYMENT_MOVES: Mapping[PaymentStatus, frozenset[PaymentStatus]] = {
    _P.OPENING: frozenset({_P.PENDING, _P.HELD, _P.CAPTURED, _P.CANCELLED}),
    _P.PENDING: frozenset({_P.HELD, _P.CAPTURED, _P.CANCELLED}),
    _P.HELD: frozenset({_P.CAPTURED, _P.VOIDED}),
    _P.CAPTURED: frozenset({_P.REFUNDED}),
    _P.CANCELLED: frozenset(),
    _P.VOIDED: frozenset(),
    _P.REFUNDED: frozenset(),
}
OPEN_PAYMENT = frozenset({_P.OPENING, _P.PENDING})
"""The buyer may still pay it."""
BACKED = frozenset({_P.HELD, _P.CAPTURED})
"""The buyer's money stands behind the order."""

POLICY_MOVES: Mapping[PolicyStatus, frozenset[PolicyStatus]] = {
    PolicyStatus.ISSUED: frozenset({PolicyStatus.CANCEL_REQUESTED}),
    PolicyStatus.CANCEL_REQUESTED: frozenset({PolicyStatus.CANCELLED, PolicyStatus.ISSUED}),
    PolicyStatus.CANCELLED: frozenset(),
}


class MoveNotAllowed(Exception):
    """A life cycle was asked for a step it does not have: a fault of ours, refused before it is stored."""
