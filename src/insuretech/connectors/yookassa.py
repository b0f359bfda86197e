"""YooKassa API v3 (https://yookassa.ru/developers/api): payments with holds, capture, cancel, refunds."""

from base64 import b64encode
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, TypeVar

import msgspec

from insuretech.contracts.money import Money
from insuretech.contracts.payments import (
    NewPayment,
    Notification,
    ProviderOutcomeUnknown,
    ProviderPayment,
    ProviderRefund,
    ProviderRefused,
    ProviderUnavailable,
)
from insuretech.kit.http import NoAnswer, NotSent, Outbound

T = TypeVar("T")

_METHODS = {"card": "bank_card", "sbp": "sbp"}
_UNAVAILABLE = {429, 503}


class YooKassa:
    """The provider as one shop may use it; ``outbound`` leads to the API's base up to and including ``/v3``."""

    def __init__(self, outbound: Outbound, *, shop_id: str, secret_key: str) -> None:
        self._outbound = outbound
        self._authorization = "Basic " + b64encode(f"{shop_id}:{secret_key}".encode()).decode()

    async def create(self, payment: NewPayment) -> ProviderPayment:
        body = {
            "amount": _Amount.of(payment.amount),
            "capture": payment.capture,
            "payment_method_data": {"type": _METHODS[payment.method]},
            "confirmation": {"type": "redirect", "return_url": payment.return_url},
            "description": payment.description[:128],
            "metadata": {"payment_id": str(payment.payment_id), "order_id": str(payment.order_id)},
        }
        return (await self._send("/payments", body, payment.key, _Payment)).read()

    async def get(self, provider_id: str) -> ProviderPayment:
        return (await self._exchange("GET", f"/payments/{provider_id}", None, {}, _Payment)).read()

    async def capture(self, provider_id: str, amount: Money, *, key: str) -> ProviderPayment:
        body = {"amount": _Amount.of(amount)}
        return (await self._send(f"/payments/{provider_id}/capture", body, key, _Payment)).read()

    async def cancel(self, provider_id: str, *, key: str) -> ProviderPayment:
        return (await self._send(f"/payments/{provider_id}/cancel", {}, key, _Payment)).read()

    async def refund(self, provider_id: str, amount: Money, *, key: str) -> ProviderRefund:
        body = {"payment_id": provider_id, "amount": _Amount.of(amount)}
        return (await self._send("/refunds", body, key, _Refund)).read()

    def notification(self, body: bytes) -> Notification | None:
        try:
            notice = msgspec.json.decode(body, type=_Notice)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        payment_id = notice.object.payment_id or notice.object.id
        return Notification(payment_id=payment_id, event=notice.event) if payment_id else None

    async def _send(self, path: str, body: object, key: str, expected: type[T]) -> T:
        headers = {"Idempotence-Key": key, "Content-Type": "application/json"}
        return await self._exchange("POST", path, msgspec.json.encode(body), headers, expected)

    async def _exchange(
        self, method: str, path: str, content: bytes | None, headers: dict[str, str], expected: type[T]
    ) -> T:
        headers = {"Authorization": self._authorization, **headers}
        try:
            response = await self._outbound.call(method, path, content=content, headers=headers)
        except NotSent as error:
            raise ProviderUnavailable(str(error)) from error
        except NoAnswer as error:
            raise ProviderOutcomeUnknown(str(error)) from error
        status = response.status_code
        if status in _UNAVAILABLE:
            raise ProviderUnavailable(f"HTTP {status}")
        if 400 <= status < 500:
            raise _refusal(status, response.content)
        try:
            if status == 200:
                return msgspec.json.decode(response.content, type=expected)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise ProviderOutcomeUnknown("the answer cannot be read") from error
        raise ProviderOutcomeUnknown(f"HTTP {status}")


def _refusal(status: int, content: bytes) -> ProviderRefused:
    try:
        error = msgspec.json.decode(content, type=_Error)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ProviderRefused(f"http_{status}")
    return ProviderRefused(error.code, error.description)


# ------------------------------------------------------------ objects on the wire


class _Amount(msgspec.Struct):
    value: Decimal
    currency: str

    @classmethod
    def of(cls, money: Money) -> "_Amount":
        return cls(money.amount, money.currency)

    def __post_init__(self) -> None:
        Money(self.value, self.currency)  # an amount that is none is found while the answer is read

    def read(self) -> Money:
        return Money(self.value, self.currency)


class _Confirmation(msgspec.Struct):
    confirmation_url: str | None = None


class _Cancellation(msgspec.Struct):
    reason: str


_STATUS: dict[str, Any] = {
    "pending": "pending",
    "waiting_for_capture": "held",
    "succeeded": "captured",
    "canceled": "cancelled",
}


class _Payment(msgspec.Struct):
    id: str
    status: Literal["pending", "waiting_for_capture", "succeeded", "canceled"]
    amount: _Amount
    refunded_amount: _Amount | None = None
    confirmation: _Confirmation | None = None
    expires_at: datetime | None = None
    cancellation_details: _Cancellation | None = None

    def read(self) -> ProviderPayment:
        amount, nothing = self.amount.read(), Money.zero(self.amount.currency)
        return ProviderPayment(
            id=self.id,
            status=_STATUS[self.status],
            amount=amount,
            captured=amount if self.status == "succeeded" else nothing,  # a partial capture lowers the amount itself
            refunded=self.refunded_amount.read() if self.refunded_amount else nothing,
            confirmation_url=self.confirmation.confirmation_url if self.confirmation else None,
            held_until=self.expires_at if self.status == "waiting_for_capture" else None,
            cancellation=self.cancellation_details.reason if self.cancellation_details else None,
        )


class _Refund(msgspec.Struct):
    id: str
    status: Literal["pending", "succeeded", "canceled"]
    amount: _Amount

    def read(self) -> ProviderRefund:
        return ProviderRefund(
            id=self.id,
            status="cancelled" if self.status == "canceled" else self.status,
            amount=self.amount.read(),
        )


class _NoticeObject(msgspec.Struct):
    id: str
    payment_id: str | None = None


class _Notice(msgspec.Struct):
    event: str
    object: _NoticeObject


class _Error(msgspec.Struct):
    code: str
    description: str = ""
