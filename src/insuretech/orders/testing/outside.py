"""An insurer and a payment provider that keep books of their own and fail as they are told."""

import asyncio
from collections import defaultdict, deque
from datetime import date, timedelta
from decimal import Decimal
from typing import Literal, TypeVar
from uuid import UUID

import msgspec

from insuretech.contracts.insurers import (
    EndAnswer,
    EndRefused,
    InsurerConnector,
    InsurerProfile,
    InsurerUnavailable,
    IssueAnswer,
    Issued,
    IssueRefused,
    IssueRequest,
    IssueState,
    NotKnown,
    OfferAnswer,
    OfferRequest,
    OfferState,
    OutcomeUnknown,
    Pending,
    PolicyEnded,
    PriceConfirmed,
    PriceRefused,
)
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
from insuretech.contracts.text import Text
from insuretech.kit.clock import Clock

Told = TypeVar("Told")
Fault = Literal["ok", "unavailable", "lost", "silent", "refuse", "pending", "hang"]
"""``lost``: carried out, the answer never came; ``silent``: not carried out, no answer either; ``hang``: no end."""


class Script:
    """How the next calls of each operation go; ``ok`` once the script has run out."""

    def __init__(self) -> None:
        self._next: defaultdict[str, deque[Fault]] = defaultdict(deque)
        self._always: dict[str, Fault] = {}
        self.calls: list[str] = []

    def then(self, operation: str, *faults: Fault) -> None:
        self._next[operation].extend(faults)

    def always(self, operation: str, fault: Fault | None) -> None:
        """Behave so from now on, None ends it."""
        if fault is None:
            self._always.pop(operation, None)
        else:
            self._always[operation] = fault

    def clear(self) -> None:
        self._next.clear()
        self._always.clear()

    def take(self, operation: str) -> Fault:
        self.calls.append(operation)
        queue = self._next[operation]
        return queue.popleft() if queue else self._always.get(operation, "ok")


class ScriptedInsurer:
    """One insurer: concludes at most one contract per reference."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.script = Script()
        self.price: Money | None = None
        self.policies: dict[UUID, Issued] = {}
        self.refused: set[UUID] = set()
        self.in_hand: dict[UUID, IssueRequest] = {}
        self.reserved: dict[UUID, str] = {}
        self.ended: dict[str, tuple[UUID, Money]] = {}
        self.requests: list[IssueRequest] = []
        self.starts_on = date(2026, 12, 1)
        self.ends_on = date(2027, 11, 30)

    async def confirm_price(self, reference: UUID, offer_number: str) -> PriceConfirmed | PriceRefused:
        fault = await self._obeyed("confirm_price")
        if fault == "refuse":
            return PriceRefused(reason="The tariff has changed.")
        self.reserved[reference] = offer_number
        premium = self.price or Money(Decimal("8697.22"))
        answer = PriceConfirmed(premium=premium, expires_at=self.clock.now() + timedelta(hours=20))
        return self._told(fault, answer)

    async def issue(self, request: IssueRequest) -> IssueAnswer:
        fault = await self._obeyed("issue")
        self.requests.append(request)
        reference = request.reference
        if reference in self.policies:
            return self._told(fault, self.policies[reference])
        if fault == "refuse" or reference in self.refused:
            self.refused.add(reference)
            return IssueRefused(reason="The vehicle is wanted.")
        if fault == "pending":
            self.in_hand[reference] = request
            return Pending(retry_after=0.5)
        return self._told(fault, self._conclude(request))

    async def issue_state(self, reference: UUID) -> IssueState:
        fault = await self._obeyed("issue_state")
        if reference in self.policies:
            return self._told(fault, self.policies[reference])
        if reference in self.refused:
            return IssueRefused(reason="The vehicle is wanted.")
        if fault == "pending":
            return Pending(retry_after=0.5)
        if reference in self.in_hand:
            return self._told(fault, self._conclude(self.in_hand[reference]))
        return NotKnown()

    async def end_policy(self, reference: UUID, policy_number: str, refund: Money) -> EndAnswer:
        fault = await self._obeyed("end_policy")
        if fault == "refuse":
            return EndRefused(reason="A claim is being settled.")
        self.ended.setdefault(policy_number, (reference, refund))
        return self._told(fault, PolicyEnded(refund=refund))

    async def request_offer(self, request: OfferRequest) -> OfferAnswer:
        raise NotImplementedError("orders ask for no offers")

    async def offer_state(self, reference: UUID) -> OfferState:
        raise NotImplementedError("orders ask for no offers")

    def verify_callback(self, body: bytes, signature: str) -> UUID | None:
        raise NotImplementedError("orders take no callbacks")

    def _conclude(self, request: IssueRequest) -> Issued:
        number = f"XXX {len(self.policies) + 1:010d}"
        issued = Issued(policy_number=number, premium=request.premium, starts_on=self.starts_on, ends_on=self.ends_on)
        return self.policies.setdefault(request.reference, issued)

    async def _obeyed(self, operation: str) -> Fault:
        fault = self.script.take(operation)
        if fault == "unavailable":
            raise InsurerUnavailable(operation)
        if fault == "silent":
            raise OutcomeUnknown(operation)
        if fault == "hang":
            await asyncio.Event().wait()
        return fault

    @staticmethod
    def _told(fault: Fault, answer: Told) -> Told:
        if fault == "lost":
            raise OutcomeUnknown("the answer was lost")
        return answer


class OneInsurer:
    """A directory in which every code leads to the same scripted insurer."""

    def __init__(self, insurer: ScriptedInsurer) -> None:
        self.insurer = insurer

    def profile(self, code: str) -> InsurerProfile:
        return InsurerProfile(
            code=code,
            name=Text("Северный щит", "Northern Shield"),
            dialect="json_polling",
            url="http://insurer.invalid",
            claims_days=9,
            commission=Decimal("0.10"),
        )

    def connector(self, code: str) -> InsurerConnector:
        del code
        return self.insurer

    def codes(self) -> tuple[str, ...]:
        return ("north",)


class ScriptedProvider:
    """A payment provider in the manner of YooKassa: only a hold can be cancelled, and a key repeated has no effect."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.script = Script()
        self.payments: dict[str, ProviderPayment] = {}
        self.orders: dict[str, UUID] = {}
        self.capture_at_once: dict[str, bool] = {}
        self.hold_for = timedelta(days=7)
        self._by_key: dict[str, str] = {}
        self._refunds: dict[str, ProviderRefund] = {}

    # what the buyer, the bank and time do

    def pay(self, provider_id: str) -> None:
        payment = self.payments[provider_id]
        if payment.status != "pending":
            return
        if self.capture_at_once[provider_id]:
            self._put(provider_id, status="captured", captured=payment.amount)
        else:
            self._put(provider_id, status="held", held_until=self.clock.now() + self.hold_for)

    def decline(self, provider_id: str, reason: str = "insufficient_funds") -> None:
        if self.payments[provider_id].status == "pending":
            self._put(provider_id, status="cancelled", cancellation=reason)

    def lapse(self, provider_id: str) -> None:
        """The bank lets a hold go by itself."""
        if self.payments[provider_id].status == "held":
            self._put(provider_id, status="cancelled", cancellation="expired_on_capture")

    def money_of(self, order_id: UUID) -> tuple[Decimal, Decimal, Decimal]:
        """(held, captured, refunded) of an order, over all its payments."""
        mine = [payment for key, payment in self.payments.items() if self.orders[key] == order_id]
        held = sum((payment.amount.amount for payment in mine if payment.status == "held"), Decimal())
        captured = sum((payment.captured.amount for payment in mine), Decimal())
        return held, captured, sum((payment.refunded.amount for payment in mine), Decimal())

    # the port

    async def create(self, payment: NewPayment) -> ProviderPayment:
        fault = await self._obeyed("create")
        if payment.key not in self._by_key:
            provider_id = f"p{len(self.payments) + 1}"
            nothing = Money.zero(payment.amount.currency)
            self.payments[provider_id] = ProviderPayment(
                id=provider_id,
                status="pending",
                amount=payment.amount,
                captured=nothing,
                refunded=nothing,
                confirmation_url=f"http://pay.invalid/{provider_id}",
            )
            self.orders[provider_id] = payment.order_id
            self.capture_at_once[provider_id] = payment.capture
            self._by_key[payment.key] = provider_id
        return self._told(fault, self.payments[self._by_key[payment.key]])

    async def get(self, provider_id: str) -> ProviderPayment:
        fault = await self._obeyed("get")
        return self._told(fault, self.payments[provider_id])

    async def capture(self, provider_id: str, amount: Money, *, key: str) -> ProviderPayment:
        fault = await self._obeyed("capture")
        payment = self.payments[provider_id]
        if key not in self._by_key:
            if fault == "refuse" or payment.status != "held":
                raise ProviderRefused("invalid_request", "not held")
            self._by_key[key] = provider_id
            self._put(provider_id, status="captured", captured=amount)
        return self._told(fault, self.payments[provider_id])

    async def cancel(self, provider_id: str, *, key: str) -> ProviderPayment:
        fault = await self._obeyed("cancel")
        payment = self.payments[provider_id]
        if key not in self._by_key:
            if fault == "refuse" or payment.status != "held":
                raise ProviderRefused("invalid_request", "not held")
            self._by_key[key] = provider_id
            self._put(provider_id, status="cancelled", cancellation="canceled_by_merchant")
        return self._told(fault, self.payments[provider_id])

    async def refund(self, provider_id: str, amount: Money, *, key: str) -> ProviderRefund:
        fault = await self._obeyed("refund")
        payment = self.payments[provider_id]
        if key not in self._refunds:
            if fault == "refuse" or payment.refunded.amount + amount.amount > payment.captured.amount:
                raise ProviderRefused("invalid_request", "too much")
            status: Literal["cancelled", "succeeded"] = "cancelled" if fault == "pending" else "succeeded"
            self._refunds[key] = ProviderRefund(id=f"r{len(self._refunds) + 1}", status=status, amount=amount)
            if status == "succeeded":
                self._put(provider_id, refunded=payment.refunded + amount)
        return self._told(fault, self._refunds[key])

    def notification(self, body: bytes) -> Notification | None:
        try:
            return msgspec.json.decode(body, type=Notification)
        except msgspec.MsgspecError:
            return None

    def _put(self, provider_id: str, **fields: object) -> None:
        self.payments[provider_id] = msgspec.structs.replace(self.payments[provider_id], **fields)

    async def _obeyed(self, operation: str) -> Fault:
        fault = self.script.take(operation)
        if fault == "unavailable":
            raise ProviderUnavailable(operation)
        if fault == "silent":
            raise ProviderOutcomeUnknown(operation)
        if fault == "hang":
            await asyncio.Event().wait()
        return fault

    @staticmethod
    def _told(fault: Fault, answer: Told) -> Told:
        if fault == "lost":
            raise ProviderOutcomeUnknown("the answer was lost")
        return answer
