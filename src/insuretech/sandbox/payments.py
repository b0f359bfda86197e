"""Payments and refunds as YooKassa v3 has them: their states and what each step allows. Pure."""

from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import msgspec

from insuretech.contracts.money import Money

Method = Literal["bank_card", "sbp"]
PaymentStatus = Literal["pending", "waiting_for_capture", "succeeded", "canceled"]
RefundStatus = Literal["pending", "succeeded", "canceled"]
Party = Literal["yoo_money", "merchant", "payment_network"]


class Payment(msgspec.Struct, frozen=True, kw_only=True):
    """One payment; ``expires_at`` ends the time to confirm it, or to capture the hold."""

    id: UUID
    status: PaymentStatus
    amount: Money
    captured: Money
    refunded: Money
    capture: bool
    method: Method
    description: str | None
    metadata: dict[str, str]
    return_url: str
    created_at: datetime
    expires_at: datetime | None
    captured_at: datetime | None = None
    cancelled_by: Party | None = None
    cancel_reason: str | None = None


class Refund(msgspec.Struct, frozen=True, kw_only=True):
    """Money on its way back; a pending one succeeds at ``ready_at``."""

    id: UUID
    payment_id: UUID
    status: RefundStatus
    amount: Money
    description: str | None
    created_at: datetime
    ready_at: datetime | None = None


class StepNotAllowed(Exception):
    """The payment is in no state for this; the message says why, ``parameter`` which part of the request."""

    def __init__(self, why: str, parameter: str | None = None) -> None:
        super().__init__(why)
        self.parameter = parameter


def paid(payment: Payment, now: datetime, hold: timedelta) -> Payment:
    """The buyer has confirmed: the money is held, or taken at once."""
    if payment.status != "pending":
        raise StepNotAllowed("The payment is not waiting for the buyer.")
    if payment.capture:
        return taken(msgspec.structs.replace(payment, status="waiting_for_capture"), payment.amount, now)
    return msgspec.structs.replace(payment, status="waiting_for_capture", expires_at=now + hold)


def taken(payment: Payment, amount: Money, now: datetime) -> Payment:
    """Capture ``amount`` of the hold; the rest of it goes back to the buyer."""
    if payment.status != "waiting_for_capture":
        raise StepNotAllowed("Payment is not in status waiting_for_capture.", "payment_id")
    if amount.currency != payment.amount.currency or not Money.zero(amount.currency) < amount <= payment.amount:
        raise StepNotAllowed("The amount is not between zero and the amount held.", "amount")
    return msgspec.structs.replace(
        payment, status="succeeded", amount=amount, captured=amount, captured_at=now, expires_at=None
    )


def cancelled(payment: Payment, by: Party, reason: str) -> Payment:
    """Nothing is taken, and a hold is let go."""
    if payment.status not in {"pending", "waiting_for_capture"}:
        raise StepNotAllowed("Payment can no longer be canceled.", "payment_id")
    return msgspec.structs.replace(payment, status="canceled", expires_at=None, cancelled_by=by, cancel_reason=reason)


def expired(payment: Payment, now: datetime) -> Payment:
    """The payment as it is when its time may be over."""
    if payment.expires_at is None or payment.expires_at > now:
        return payment
    reason = "expired_on_confirmation" if payment.status == "pending" else "expired_on_capture"
    return cancelled(payment, "yoo_money", reason)


def refundable(payment: Payment, refunds: list[Refund]) -> Money:
    """What may still go back: captured, less refunds done and on their way."""
    given = Money.total((refund.amount for refund in refunds if refund.status != "canceled"), payment.amount.currency)
    return payment.captured - given


# ------------------------------------------------------------ objects on the wire


def payment_object(payment: Payment, *, shop_id: str, page_url: str) -> dict[str, Any]:
    """The payment as the API shows it (https://yookassa.ru/developers/api#payment_object)."""
    shown: dict[str, Any] = {
        "id": str(payment.id),
        "status": payment.status,
        "paid": payment.status in {"waiting_for_capture", "succeeded"},
        "amount": amount_object(payment.amount),
        "created_at": payment.created_at,
        "description": payment.description,
        "metadata": payment.metadata,
        "payment_method": {"type": payment.method, "id": str(payment.id), "saved": False},
        "recipient": {"account_id": shop_id, "gateway_id": "1"},
        "refundable": payment.captured > payment.refunded,
        "test": True,
    }
    if payment.status == "pending":
        shown["confirmation"] = {
            "type": "redirect",
            "return_url": payment.return_url,
            "confirmation_url": f"{page_url}/{payment.id}",
        }
    if payment.status == "waiting_for_capture":
        shown["expires_at"] = payment.expires_at
    if payment.status == "succeeded":
        shown["captured_at"] = payment.captured_at
        shown["refunded_amount"] = amount_object(payment.refunded)
    if payment.status == "canceled":
        shown["cancellation_details"] = {"party": payment.cancelled_by, "reason": payment.cancel_reason}
    return shown


def refund_object(refund: Refund) -> dict[str, Any]:
    """The refund as the API shows it (https://yookassa.ru/developers/api#refund_object)."""
    shown: dict[str, Any] = {
        "id": str(refund.id),
        "payment_id": str(refund.payment_id),
        "status": refund.status,
        "amount": amount_object(refund.amount),
        "created_at": refund.created_at,
        "description": refund.description,
    }
    if refund.status == "canceled":
        shown["cancellation_details"] = {"party": "yoo_money", "reason": "general_decline"}
    return shown


def amount_object(money: Money) -> dict[str, str]:
    """An amount as the API writes it: decimal text with two places."""
    return {"value": f"{money.amount:.2f}", "currency": money.currency}
