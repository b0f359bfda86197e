"""The callback dialect: signed JSON commands in snake_case, money as decimal text; the insurer calls when it is ready.

Both sides sign what they send (``kit.signatures``). A callback only says what to look up; it is not believed itself.
"""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal, TypeVar
from uuid import UUID

import msgspec

from insuretech.connectors.exchange import Answers, exchange
from insuretech.contracts import insurers as port
from insuretech.contracts.money import Money
from insuretech.kit.clock import Clock
from insuretech.kit.http import Outbound
from insuretech.kit.signatures import is_genuine, signed

T = TypeVar("T")


@dataclass(frozen=True)
class JsonCallback:
    """One insurer that speaks the callback dialect."""

    profile: port.InsurerProfile
    outbound: Outbound
    secret: str
    callback_url: str
    clock: Clock

    async def request_offer(self, request: port.OfferRequest) -> port.OfferAnswer:
        product = {"code": request.product, "version": request.product_version}
        command = {"product": product, "risk": request.answers, "callback_url": self.callback_url}
        return await self._send("/partner/quotes", request.reference, command, _OFFER)

    async def offer_state(self, reference: UUID) -> port.OfferState:
        return await self._look_up(f"/partner/quotes/{reference}", _OFFER_STATE)

    async def confirm_price(self, reference: UUID, offer_number: str) -> port.PriceConfirmed | port.PriceRefused:
        return await self._send("/partner/reservations", reference, {"quote_number": offer_number}, _RESERVATION)

    async def issue(self, request: port.IssueRequest) -> port.IssueAnswer:
        person = request.policyholder
        command = {
            "quote_number": request.offer_number,
            "premium": _Sum.of(request.premium),
            "insured_person": {
                "surname": person.last_name,
                "given_name": person.first_name,
                "patronymic": person.middle_name,
                "born_on": person.birth_date,
                "email": person.email,
                "phone": person.phone,
                "id_kind": person.document_kind,
                "id_number": person.document_number,
            },
            "callback_url": self.callback_url,
        }
        return await self._send("/partner/policies", request.reference, command, _POLICY)

    async def issue_state(self, reference: UUID) -> port.IssueState:
        return await self._look_up(f"/partner/policies/{reference}", _POLICY_STATE)

    async def end_policy(self, reference: UUID, policy_number: str, refund: Money) -> port.EndAnswer:
        command = {"policy_number": policy_number, "refund": _Sum.of(refund)}
        return await self._send("/partner/cancellations", reference, command, _CANCELLATION)

    def verify_callback(self, body: bytes, signature: str) -> UUID | None:
        if not is_genuine(self.secret, body, signature, self.clock.now()):
            return None
        try:
            return msgspec.json.decode(body, type=_Callback).external_id
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None

    async def _send(self, path: str, reference: UUID, command: dict[str, Any], answers: Answers[T]) -> T:
        return await self._exchange("POST", path, {"external_id": reference, **command}, answers)

    async def _look_up(self, path: str, answers: Answers[T]) -> T:
        return await self._exchange("GET", path, None, answers)

    async def _exchange(self, method: str, path: str, command: dict[str, Any] | None, answers: Answers[T]) -> T:
        body = b"" if command is None else msgspec.json.encode(command)
        headers = {"X-Signature": signed(self.secret, body, self.clock.now()), "Content-Type": "application/json"}
        return answers.read(await exchange(self.outbound, method, path, content=body or None, headers=headers))


class _Callback(msgspec.Struct):
    event: Literal["quote.ready", "policy.ready"]
    external_id: UUID


# ------------------------------------------------------------ answers on the wire, told apart by ``status``


class _Sum(msgspec.Struct):
    value: Decimal
    currency: str

    @classmethod
    def of(cls, money: Money) -> "_Sum":
        return cls(money.amount, money.currency)

    def read(self) -> Money:
        return Money(self.value, self.currency)


class _Answer(msgspec.Struct, tag_field="status"):
    """Any answer."""


class _Unknown(_Answer, tag="unknown"):
    def read(self) -> port.NotKnown:
        return port.NotKnown()


class _Accepted(_Answer, tag="accepted"):
    look_again_in: float

    def read(self) -> port.Pending:
        return port.Pending(retry_after=self.look_again_in)


class _Calculated(_Answer, tag="calculated"):
    quote_number: str
    premium: _Sum
    valid_till: datetime

    def read(self) -> port.Offered:
        return port.Offered(offer_number=self.quote_number, premium=self.premium.read(), expires_at=self.valid_till)


class _Comment(_Answer):
    comment: str


class _Declined(_Comment, tag="declined"):
    def read(self) -> port.Declined:
        return port.Declined(reason=self.comment)


class _Underwriting(_Comment, tag="underwriting"):
    def read(self) -> port.Referred:
        return port.Referred(reason=self.comment)


class _Rejected(_Comment, tag="rejected"):
    def read(self) -> port.Invalid:
        return port.Invalid(reason=self.comment)


class _Reserved(_Answer, tag="reserved"):
    premium: _Sum
    valid_till: datetime

    def read(self) -> port.PriceConfirmed:
        return port.PriceConfirmed(premium=self.premium.read(), expires_at=self.valid_till)


class _Withdrawn(_Comment, tag="withdrawn"):
    def read(self) -> port.PriceRefused:
        return port.PriceRefused(reason=self.comment)


class _Issued(_Answer, tag="issued"):
    policy_number: str
    premium: _Sum
    first_day: date
    last_day: date

    def read(self) -> port.Issued:
        return port.Issued(
            policy_number=self.policy_number,
            premium=self.premium.read(),
            starts_on=self.first_day,
            ends_on=self.last_day,
        )


class _Refused(_Comment, tag="refused"):
    def read(self) -> port.IssueRefused:
        return port.IssueRefused(reason=self.comment)


class _Cancelled(_Answer, tag="cancelled"):
    refund: _Sum

    def read(self) -> port.PolicyEnded:
        return port.PolicyEnded(refund=self.refund.read())


class _InForce(_Comment, tag="in_force"):
    def read(self) -> port.EndRefused:
        return port.EndRefused(reason=self.comment)


_OFFER: Answers[port.OfferAnswer] = Answers(_Calculated, _Declined, _Underwriting, _Rejected, _Accepted)
_OFFER_STATE: Answers[port.OfferState] = Answers(_Calculated, _Declined, _Underwriting, _Rejected, _Accepted, _Unknown)
_RESERVATION: Answers[port.PriceConfirmed | port.PriceRefused] = Answers(_Reserved, _Withdrawn)
_POLICY: Answers[port.IssueAnswer] = Answers(_Issued, _Refused, _Accepted)
_POLICY_STATE: Answers[port.IssueState] = Answers(_Issued, _Refused, _Accepted, _Unknown)
_CANCELLATION: Answers[port.EndAnswer] = Answers(_Cancelled, _InForce)
