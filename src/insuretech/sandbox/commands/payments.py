"""What the payment provider does: payments with holds, capture, cancellation, refunds, and telling the shop of it all.

Follows the YooKassa API v3 (https://yookassa.ru/developers/api). A repeated ``Idempotence-Key`` gets the first answer,
which is kept in the transaction of what was done. Shops are told of every change until they answer 200.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Literal
from uuid import UUID

import msgspec

from insuretech.contracts.money import Money
from insuretech.kit.clock import Clock
from insuretech.kit.ids import new_id
from insuretech.sandbox import payments as rules
from insuretech.sandbox.behaviours import PROVIDER, Behaviours
from insuretech.sandbox.commands.playing import Stage, admit
from insuretech.sandbox.domain import Delivery
from insuretech.sandbox.payments import Method, Payment, Refund, StepNotAllowed
from insuretech.sandbox.ports import PaymentBooks, PaymentTransaction

_BATCH = 100


class NoSuchObject(Exception):
    """The provider has no payment or refund of this id."""


class KeyReused(Exception):
    """An idempotence key came back with another request."""


class NewPayment(msgspec.Struct, frozen=True, kw_only=True):
    """What a shop asks for when it opens a payment."""

    amount: Money
    capture: bool
    method: Method
    return_url: str
    description: str | None
    metadata: dict[str, str]


@dataclass(frozen=True)
class Provider:
    """The payment provider. API calls give the JSON of the object; they raise ``StepNotAllowed``, ``NoSuchObject``,
    ``KeyReused``, ``Unavailable`` or ``AnswerLost``.
    """

    behaviours: Behaviours
    stage: Stage
    transaction: PaymentTransaction
    look: PaymentTransaction
    clock: Clock
    shop_id: str
    page_url: str
    notification_url: str
    delivery_waits: Callable[[], None]

    # ------------------------------------------------------------ API

    async def create(self, key: str, asked: NewPayment) -> bytes:
        if asked.method == "sbp" and not asked.capture:
            raise StepNotAllowed("Payment method sbp does not support holding.", "capture")

        async def work(books: PaymentBooks, now: datetime) -> bytes:
            payment = Payment(
                id=new_id(),
                status="pending",
                captured=Money.zero(asked.amount.currency),
                refunded=Money.zero(asked.amount.currency),
                created_at=now,
                expires_at=now + timedelta(seconds=self.behaviours.provider.confirmation_s),
                **msgspec.structs.asdict(asked),
            )
            await books.open_payment(payment)
            return self._shown(payment)

        shown = {"amount": asked.amount.amount, "method": asked.method, "capture": asked.capture}
        return await self._once("create_payment", key, shown, msgspec.json.encode(asked), work)

    async def payment(self, payment_id: UUID) -> bytes:
        async with self._call("payment", payment_id, {}):
            async with self.look() as books:
                payment = await books.payment(payment_id, lock=False)
            if payment is None:
                raise NoSuchObject
            return self._shown(rules.expired(payment, self.clock.now()))

    async def capture(self, key: str, payment_id: UUID, amount: Money | None) -> bytes:
        async def work(books: PaymentBooks, now: datetime) -> bytes:
            payment = await self._current(books, payment_id, now)
            if self.behaviours.provider.capture == "refuse" and payment.status == "waiting_for_capture":
                changed = rules.cancelled(payment, "payment_network", "general_decline")
            else:
                changed = rules.taken(payment, amount or payment.amount, now)
            await self._change(books, changed, now)
            return self._shown(changed)

        asked = {"payment_id": payment_id, "amount": amount.amount if amount else None}
        return await self._once("capture", key, asked, b"%b%b" % (payment_id.bytes, msgspec.json.encode(amount)), work)

    async def cancel(self, key: str, payment_id: UUID) -> bytes:
        async def work(books: PaymentBooks, now: datetime) -> bytes:
            payment = await self._current(books, payment_id, now)
            if payment.status != "waiting_for_capture":
                raise StepNotAllowed("Payment is not in status waiting_for_capture.", "payment_id")
            changed = rules.cancelled(payment, "merchant", "canceled_by_merchant")
            await self._change(books, changed, now)
            return self._shown(changed)

        return await self._once("cancel", key, {"payment_id": payment_id}, payment_id.bytes, work)

    async def refund(self, key: str, payment_id: UUID, amount: Money, description: str | None) -> bytes:
        async def work(books: PaymentBooks, now: datetime) -> bytes:
            payment = await self._current(books, payment_id, now)
            if payment.status != "succeeded":
                raise StepNotAllowed("Only a succeeded payment can be refunded.", "payment_id")
            left = rules.refundable(payment, await books.refunds_of(payment_id))
            if amount.currency != left.currency or not Money.zero(left.currency) < amount <= left:
                raise StepNotAllowed("The amount is more than can still be refunded.", "amount")
            refund = self._new_refund(payment_id, amount, description, now)
            await books.open_refund(refund)
            await self._give_back(books, payment, refund, now)
            return msgspec.json.encode(rules.refund_object(refund))

        asked = {"payment_id": payment_id, "amount": amount.amount}
        return await self._once("refund", key, asked, b"%b%b" % (payment_id.bytes, msgspec.json.encode(amount)), work)

    async def refund_state(self, refund_id: UUID) -> bytes:
        async with self._call("refund_state", refund_id, {}):
            async with self.look() as books:
                refund = await books.refund(refund_id)
            if refund is None:
                raise NoSuchObject
            return msgspec.json.encode(rules.refund_object(refund))

    async def refunds_of(self, payment_id: UUID) -> bytes:
        async with self._call("refunds", payment_id, {}):
            async with self.look() as books:
                refunds = await books.refunds_of(payment_id)
            return msgspec.json.encode({"type": "list", "items": [rules.refund_object(refund) for refund in refunds]})

    # ------------------------------------------------------------ the buyer's page, and time

    async def shown_to_buyer(self, payment_id: UUID) -> Payment:
        """The payment for its page; raises ``NoSuchObject``."""
        async with self.look() as books:
            payment = await books.payment(payment_id, lock=False)
        if payment is None:
            raise NoSuchObject
        return rules.expired(payment, self.clock.now())

    async def buyer_decides(self, payment_id: UUID, action: Literal["pay", "decline"]) -> Payment:
        """Pay or decline once; a payment that is decided stays as it is. Raises ``NoSuchObject``."""
        hold = timedelta(seconds=self.behaviours.provider.hold_s)
        with self.stage.calls.call(PROVIDER, "page", f"buyer_{action}", payment_id, {}) as call:
            async with self.transaction() as books:
                now = self.clock.now()
                payment = await self._current(books, payment_id, now)
                if payment.status == "pending":
                    decline = action == "decline"
                    declined = rules.cancelled(payment, "payment_network", "general_decline")
                    payment = declined if decline else rules.paid(payment, now, hold)
                    await self._change(books, payment, now)
            call.answer = payment.status
        self.delivery_waits()
        return payment

    async def pass_time(self) -> int:
        """End payments whose time is over and pay out ripe refunds; gives how many there were."""
        async with self.look() as books:
            if not await books.anything_ripe(self.clock.now()):
                return 0
        async with self.transaction() as books:
            now = self.clock.now()
            late = await books.expired_payments(now, _BATCH)
            for payment in late:
                await self._change(books, rules.expired(payment, now), now)
            ripe = await books.ripe_refunds(now, _BATCH)
            for refund in ripe:
                payment = await self._current(books, refund.payment_id, now)
                done = msgspec.structs.replace(refund, status="succeeded", ready_at=None)
                await books.change_refund(done)
                await self._give_back(books, payment, done, now)
        if late or ripe:
            self.delivery_waits()
        return len(late) + len(ripe)

    # ------------------------------------------------------------ parts

    @asynccontextmanager
    async def _call(self, operation: str, reference: object, asked: Mapping[str, object]) -> AsyncIterator[None]:
        behaviour = self.behaviours.provider
        async with self.stage.playing(
            PROVIDER, "yookassa", operation, behaviour, reference=reference, asked=asked
        ) as call:
            admit(behaviour.access)
            try:
                yield
                call.answer = "done"
            except (StepNotAllowed, NoSuchObject, KeyReused) as error:
                call.answer = f"{type(error).__name__} {error}".strip()
                raise

    async def _once(
        self,
        operation: str,
        key: str,
        asked: Mapping[str, object],
        content: bytes,
        work: Callable[[PaymentBooks, datetime], Awaitable[bytes]],
    ) -> bytes:
        """The answer of the first request under this key; a refusal leaves the key free."""
        fingerprint = sha256(operation.encode() + b"\0" + content).digest()
        async with self._call(operation, asked.get("payment_id", key), asked):
            async with self.transaction() as books:
                now = self.clock.now()
                first = await books.first_answer(key, fingerprint, now)
                if first is not None:
                    if first[0] != fingerprint:
                        raise KeyReused
                    return first[1]
                body = await work(books, now)
                await books.keep_answer(key, body)
            self.delivery_waits()
            return body

    async def _current(self, books: PaymentBooks, payment_id: UUID, now: datetime) -> Payment:
        """The payment, locked; one whose time is over ends first."""
        payment = await books.payment(payment_id, lock=True)
        if payment is None:
            raise NoSuchObject
        current = rules.expired(payment, now)
        if current != payment:
            await self._change(books, current, now)
        return current

    async def _change(self, books: PaymentBooks, payment: Payment, now: datetime) -> None:
        """Put the payment's new state in the books and tell the shop."""
        await books.change_payment(payment)
        if payment.status != "pending":
            await self._notify(books, f"payment.{payment.status}", self._object(payment), now)

    def _new_refund(self, payment_id: UUID, amount: Money, description: str | None, now: datetime) -> Refund:
        behaviour = self.behaviours.provider
        waits = behaviour.refund == "pending"
        return Refund(
            id=new_id(),
            payment_id=payment_id,
            status="canceled" if behaviour.refund == "refuse" else "pending" if waits else "succeeded",
            amount=amount,
            description=description,
            created_at=now,
            ready_at=now + timedelta(milliseconds=behaviour.pending_ms) if waits else None,
        )

    async def _give_back(self, books: PaymentBooks, payment: Payment, refund: Refund, now: datetime) -> None:
        """What a refund that has succeeded does to its payment."""
        if refund.status == "succeeded":
            await books.change_payment(msgspec.structs.replace(payment, refunded=payment.refunded + refund.amount))
            await self._notify(books, "refund.succeeded", rules.refund_object(refund), now)

    async def _notify(self, books: PaymentBooks, event: str, shown: dict[str, Any], now: datetime) -> None:
        behaviour = self.behaviours.provider
        body = msgspec.json.encode({"type": "notification", "event": event, "object": shown})
        due_at = now + timedelta(milliseconds=behaviour.notification_delay_ms)
        for _ in range({"lost": 0, "duplicated": 2}.get(behaviour.notifications, 1)):
            await books.deliver(Delivery(url=self.notification_url, body=body, signature="none", due_at=due_at))

    def _object(self, payment: Payment) -> dict[str, Any]:
        return rules.payment_object(payment, shop_id=self.shop_id, page_url=self.page_url)

    def _shown(self, payment: Payment) -> bytes:
        return msgspec.json.encode(self._object(payment))
