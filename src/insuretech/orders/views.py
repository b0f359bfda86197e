"""Orders, policies and cancellations as the API shows them."""

from datetime import date, datetime
from typing import Literal
from urllib.parse import quote
from uuid import UUID

import msgspec

from insuretech.contracts.insurers import InsurerDirectory
from insuretech.contracts.money import Money
from insuretech.contracts.payments import PaymentMethod
from insuretech.contracts.text import Text
from insuretech.kit.clock import legal_date
from insuretech.orders.domain.explanations import Explanation, explanation
from insuretech.orders.domain.lifecycle import (
    OPEN_PAYMENT,
    CancellationStatus,
    OrderStatus,
    PaymentStatus,
    PolicyStatus,
)
from insuretech.orders.domain.purchase import Cancellation, Payment, Policy, Purchase

PublicStatus = Literal["not_started", "on_risk", "expired", "cancelled"]


class InsurerView(msgspec.Struct, frozen=True, kw_only=True):
    """The insurer of an order or a policy."""

    code: str
    name: Text


class PaymentView(msgspec.Struct, frozen=True, kw_only=True):
    """The latest attempt to pay; ``confirmation_url`` is there while the buyer may still use it."""

    id: UUID
    status: PaymentStatus
    amount: Money
    method: PaymentMethod
    refunded: Money
    confirmation_url: str | None


class PolicySummary(msgspec.Struct, frozen=True, kw_only=True):
    """The policy within its order. ``document_url`` is there once the document is."""

    number: str
    status: PolicyStatus
    on_risk: bool
    starts_on: date
    ends_on: date
    document_url: str | None
    verification_code: str


class OrderView(msgspec.Struct, frozen=True, kw_only=True):
    """An order. ``previous_premium`` is there when the insurer changed the price; ``pay_until`` once it is binding."""

    id: UUID
    status: OrderStatus
    premium: Money
    previous_premium: Money | None
    offer_id: UUID
    quote_id: UUID
    product: str
    insurer: InsurerView
    created_at: datetime
    pay_until: datetime | None
    explanation: Explanation
    payment: PaymentView | None
    policy: PolicySummary | None


class OrderPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some orders, newest first; ``next_cursor`` leads to the older ones."""

    items: list[OrderView]
    next_cursor: str | None


class PaymentOpened(msgspec.Struct, frozen=True, kw_only=True):
    """Where the buyer goes to pay."""

    payment_id: UUID
    confirmation_url: str


class CancellationView(msgspec.Struct, frozen=True, kw_only=True):
    """What ending gives back and on what ground; confirm it by its ``id`` before ``expires_at``.

    ``unverified`` says what of the ground is not confirmed by its source.
    """

    id: UUID
    status: CancellationStatus
    refund: Money
    retained: Money
    cancelled_on: date
    legal_ground: Text
    source: str
    unverified: str | None
    expires_at: datetime
    reason: str | None


class PolicyView(msgspec.Struct, frozen=True, kw_only=True):
    """A policy for its owner. ``ended_on`` is the last day of cover of one that was ended early."""

    number: str
    status: PolicyStatus
    on_risk: bool
    expired: bool
    product: str
    insurer: InsurerView
    premium: Money
    starts_on: date
    ends_on: date
    ended_on: date | None
    issued_at: datetime
    order_id: UUID
    document_url: str | None
    verification_code: str


class VerifiedPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What anybody with the code of a policy may see: no personal data."""

    number: str
    insurer: Text
    product: Text
    starts_on: date
    ends_on: date
    status: PublicStatus


class Views:
    """Builds the views; ``base_url`` is our public address without a trailing slash."""

    def __init__(self, insurers: InsurerDirectory, base_url: str) -> None:
        self._insurers = insurers
        self._base_url = base_url

    def order(self, purchase: Purchase, now: datetime) -> OrderView:
        order = purchase.order
        return OrderView(
            id=order.id,
            status=order.status,
            premium=order.premium,
            previous_premium=order.previous_premium,
            offer_id=order.offer_id,
            quote_id=order.quote_id,
            product=order.product,
            insurer=self.insurer(order.insurer),
            created_at=order.created_at,
            pay_until=order.pay_until,
            explanation=explanation(purchase),
            payment=None if purchase.payment is None else _payment(purchase.payment, order.status),
            policy=None if purchase.policy is None else self._summary(purchase.policy, legal_date(now)),
        )

    def policy(self, policy: Policy, now: datetime) -> PolicyView:
        today = legal_date(now)
        return PolicyView(
            number=policy.number,
            status=policy.status,
            on_risk=policy.on_risk(today),
            expired=today > policy.ends_on,
            product=policy.product,
            insurer=self.insurer(policy.insurer),
            premium=policy.premium,
            starts_on=policy.starts_on,
            ends_on=policy.ends_on,
            ended_on=policy.ended_on,
            issued_at=policy.issued_at,
            order_id=policy.order_id,
            document_url=self._document_url(policy),
            verification_code=policy.verification_code,
        )

    def verified(self, policy: Policy, product_title: Text, now: datetime) -> VerifiedPolicy:
        return VerifiedPolicy(
            number=policy.number,
            insurer=self.insurer(policy.insurer).name,
            product=product_title,
            starts_on=policy.starts_on,
            ends_on=policy.ended_on or policy.ends_on,
            status=_public_status(policy, legal_date(now)),
        )

    def insurer(self, code: str) -> InsurerView:
        """An insurer that has left the directory is shown by its code."""
        known = code in self._insurers.codes()
        return InsurerView(code=code, name=self._insurers.profile(code).name if known else Text(code, code))

    def _summary(self, policy: Policy, today: date) -> PolicySummary:
        return PolicySummary(
            number=policy.number,
            status=policy.status,
            on_risk=policy.on_risk(today),
            starts_on=policy.starts_on,
            ends_on=policy.ends_on,
            document_url=self._document_url(policy),
            verification_code=policy.verification_code,
        )

    def _document_url(self, policy: Policy) -> str | None:
        if policy.document_id is None:
            return None
        return f"{self._base_url}/api/v1/policies/{quote(policy.number, safe='')}/document"


def cancellation_view(cancellation: Cancellation) -> CancellationView:
    """A cancellation as its buyer sees it."""
    return CancellationView(
        id=cancellation.id,
        status=cancellation.status,
        refund=cancellation.refund,
        retained=cancellation.retained,
        cancelled_on=cancellation.cancelled_on,
        legal_ground=cancellation.legal_ground,
        source=cancellation.source,
        unverified=cancellation.unverified,
        expires_at=cancellation.expires_at,
        reason=cancellation.reason,
    )


def _payment(payment: Payment, order: OrderStatus) -> PaymentView:
    usable = order is OrderStatus.AWAITING_PAYMENT and payment.status in OPEN_PAYMENT
    return PaymentView(
        id=payment.id,
        status=payment.status,
        amount=payment.amount,
        method=payment.method,
        refunded=payment.refunded,
        confirmation_url=payment.confirmation_url if usable else None,
    )


def _public_status(policy: Policy, today: date) -> PublicStatus:
    if policy.ended_on is not None:
        return "cancelled"
    if policy.on_risk(today):
        return "on_risk"
    return "expired" if today > policy.ends_on else "not_started"
