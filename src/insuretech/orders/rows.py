"""How purchases lie in rows: one joined row holds an order with its payment, policy and confirmed cancellation."""

from typing import Any

import msgspec
import sqlalchemy as sa

from insuretech.contracts.money import Money
from insuretech.contracts.text import Text
from insuretech.kit.direct import Row
from insuretech.orders.domain.lifecycle import (
    CancellationStatus,
    OrderStatus,
    PaymentStatus,
    PolicyStatus,
    Reason,
)
from insuretech.orders.domain.purchase import AcceptedConsent, Cancellation, Order, Payment, Policy, Purchase
from insuretech.orders.tables import cancellations, orders, payments, policies

_CONSENTS = msgspec.json.Decoder(tuple[AcceptedConsent, ...])


def columns_of_purchase() -> list[sa.Label[Any]]:
    """Every column of a joined row, prefixed by what it belongs to."""
    return [
        *(column.label(f"o_{column.name}") for column in orders.c),
        *(column.label(f"p_{column.name}") for column in payments.c),
        *(column.label(f"y_{column.name}") for column in policies.c),
        *(column.label(f"c_{column.name}") for column in cancellations.c),
    ]


def joined() -> sa.Join:
    """An order beside its current payment, its policy and the cancellation that was confirmed."""
    return (
        orders.outerjoin(payments, payments.c.id == orders.c.payment_id)
        .outerjoin(policies, policies.c.order_id == orders.c.id)
        .outerjoin(cancellations, cancellations.c.id == orders.c.cancellation_id)
    )


def purchase_of(row: Row) -> Purchase:
    """The purchase in a joined row."""
    return Purchase(
        order=_order(row),
        payment=_payment(row) if row["p_id"] is not None else None,
        policy=_policy(row) if row["y_id"] is not None else None,
        cancellation=_cancellation(row, "c_") if row["c_id"] is not None else None,
    )


def cancellation_of(row: Row) -> Cancellation:
    """A cancellation in a row of its own."""
    return _cancellation(row, "")


def _order(row: Row) -> Order:
    previous = row["o_previous_premium"]
    return Order(
        id=row["o_id"],
        owner=row["o_owner"],
        offer_id=row["o_offer_id"],
        quote_id=row["o_quote_id"],
        product=row["o_product"],
        product_version=row["o_product_version"],
        insurer=row["o_insurer"],
        offer_number=row["o_offer_number"],
        status=OrderStatus(row["o_status"]),
        premium=Money(row["o_premium"], row["o_currency"]),
        previous_premium=None if previous is None else Money(previous, row["o_currency"]),
        starts_on=row["o_starts_on"],
        ends_on=row["o_ends_on"],
        offer_expires_at=row["o_offer_expires_at"],
        consents=_CONSENTS.decode(row["o_consents"]),
        created_at=row["o_created_at"],
        stage_at=row["o_stage_at"],
        pay_until=row["o_pay_until"],
        reason=None if row["o_reason"] is None else Reason(row["o_reason"]),
        detail=row["o_detail"],
        payment_id=row["o_payment_id"],
        cancellation_id=row["o_cancellation_id"],
        ask_first=row["o_ask_first"],
        attempts=row["o_attempts"],
        next_action_at=row["o_next_action_at"],
        version=row["o_version"],
    )


def _payment(row: Row) -> Payment:
    currency = row["p_currency"]
    return Payment(
        id=row["p_id"],
        order_id=row["p_order_id"],
        status=PaymentStatus(row["p_status"]),
        method=row["p_method"],
        amount=Money(row["p_amount"], currency),
        captured=Money(row["p_captured"], currency),
        refunded=Money(row["p_refunded"], currency),
        return_url=row["p_return_url"],
        created_at=row["p_created_at"],
        provider_id=row["p_provider_id"],
        confirmation_url=row["p_confirmation_url"],
        held_until=row["p_held_until"],
        reason=row["p_reason"],
        refund_try=row["p_refund_try"],
    )


def _policy(row: Row) -> Policy:
    return Policy(
        id=row["y_id"],
        order_id=row["y_order_id"],
        owner=row["y_owner"],
        number=row["y_number"],
        product=row["y_product"],
        insurer=row["y_insurer"],
        status=PolicyStatus(row["y_status"]),
        premium=Money(row["y_premium"], row["y_currency"]),
        starts_on=row["y_starts_on"],
        ends_on=row["y_ends_on"],
        issued_at=row["y_issued_at"],
        verification_code=row["y_verification_code"],
        ended_on=row["y_ended_on"],
        document_id=row["y_document_id"],
    )


def _cancellation(row: Row, prefix: str) -> Cancellation:
    value = {column.name: row[prefix + column.name] for column in cancellations.c}
    return Cancellation(
        id=value["id"],
        order_id=value["order_id"],
        policy_id=value["policy_id"],
        status=CancellationStatus(value["status"]),
        refund=Money(value["refund"], value["currency"]),
        retained=Money(value["retained"], value["currency"]),
        cancelled_on=value["cancelled_on"],
        legal_ground=Text(value["ground_ru"], value["ground_en"]),
        source=value["source"],
        unverified=value["unverified"],
        created_at=value["created_at"],
        expires_at=value["expires_at"],
        reason=value["reason"],
    )


# ---------------------------------------------------------------- and back


def order_row(order: Order) -> dict[str, Any]:
    """An order's columns; those of its lease are the repository's business."""
    return {
        "id": order.id,
        "owner": order.owner,
        "offer_id": order.offer_id,
        "quote_id": order.quote_id,
        "product": order.product,
        "product_version": order.product_version,
        "insurer": order.insurer,
        "offer_number": order.offer_number,
        "status": order.status.value,
        "premium": order.premium.amount,
        "previous_premium": None if order.previous_premium is None else order.previous_premium.amount,
        "currency": order.premium.currency,
        "starts_on": order.starts_on,
        "ends_on": order.ends_on,
        "offer_expires_at": order.offer_expires_at,
        "consents": msgspec.json.encode(order.consents),
        "created_at": order.created_at,
        "stage_at": order.stage_at,
        "pay_until": order.pay_until,
        "reason": None if order.reason is None else order.reason.value,
        "detail": order.detail,
        "payment_id": order.payment_id,
        "cancellation_id": order.cancellation_id,
        "ask_first": order.ask_first,
        "attempts": order.attempts,
        "next_action_at": order.next_action_at,
        "version": order.version,
    }


def payment_row(payment: Payment) -> dict[str, Any]:
    """A payment's columns."""
    return {
        "id": payment.id,
        "order_id": payment.order_id,
        "status": payment.status.value,
        "method": payment.method,
        "amount": payment.amount.amount,
        "captured": payment.captured.amount,
        "refunded": payment.refunded.amount,
        "currency": payment.amount.currency,
        "return_url": payment.return_url,
        "created_at": payment.created_at,
        "provider_id": payment.provider_id,
        "confirmation_url": payment.confirmation_url,
        "held_until": payment.held_until,
        "reason": payment.reason,
        "refund_try": payment.refund_try,
    }


def policy_row(policy: Policy) -> dict[str, Any]:
    """``document_id`` is left out: it has a writer of its own."""
    return {
        "id": policy.id,
        "order_id": policy.order_id,
        "owner": policy.owner,
        "number": policy.number,
        "product": policy.product,
        "insurer": policy.insurer,
        "status": policy.status.value,
        "premium": policy.premium.amount,
        "currency": policy.premium.currency,
        "starts_on": policy.starts_on,
        "ends_on": policy.ends_on,
        "issued_at": policy.issued_at,
        "verification_code": policy.verification_code,
        "ended_on": policy.ended_on,
    }


def cancellation_row(cancellation: Cancellation) -> dict[str, Any]:
    """A cancellation's columns."""
    return {
        "id": cancellation.id,
        "order_id": cancellation.order_id,
        "policy_id": cancellation.policy_id,
        "status": cancellation.status.value,
        "refund": cancellation.refund.amount,
        "retained": cancellation.retained.amount,
        "currency": cancellation.refund.currency,
        "cancelled_on": cancellation.cancelled_on,
        "ground_ru": cancellation.legal_ground.ru,
        "ground_en": cancellation.legal_ground.en,
        "source": cancellation.source,
        "unverified": cancellation.unverified,
        "created_at": cancellation.created_at,
        "expires_at": cancellation.expires_at,
        "reason": cancellation.reason,
    }
