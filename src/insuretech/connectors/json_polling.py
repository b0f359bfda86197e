"""The polling dialect: JSON over REST in camelCase, money in kopecks, dates in ISO 8601; results are fetched.

Everything is put under our own reference, so repeating a request is safe, and read again with GET.
"""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import TypeVar
from uuid import UUID

import msgspec

from insuretech.connectors.exchange import Answers, exchange
from insuretech.contracts import insurers as port
from insuretech.contracts.money import Money
from insuretech.kit.clock import Clock
from insuretech.kit.http import Outbound

T = TypeVar("T")


@dataclass(frozen=True)
class JsonPolling:
    """One insurer that speaks the polling dialect."""

    profile: port.InsurerProfile
    outbound: Outbound
    secret: str
    callback_url: str
    clock: Clock

    async def request_offer(self, request: port.OfferRequest) -> port.OfferAnswer:
        body = {"product": request.product, "edition": request.product_version, "parameters": request.answers}
        return await self._ask("PUT", f"/v2/calculations/{request.reference}", _OFFER, body)

    async def offer_state(self, reference: UUID) -> port.OfferState:
        return await self._ask("GET", f"/v2/calculations/{reference}", _OFFER_STATE)

    async def confirm_price(self, reference: UUID, offer_number: str) -> port.PriceConfirmed | port.PriceRefused:
        body = {"offerId": offer_number}
        return await self._ask("PUT", f"/v2/orders/{reference}/reservation", _RESERVATION, body)

    async def issue(self, request: port.IssueRequest) -> port.IssueAnswer:
        person = request.policyholder
        body = {
            "offerId": request.offer_number,
            "premiumKopecks": _kopecks(request.premium),
            "policyholder": {
                "lastName": person.last_name,
                "firstName": person.first_name,
                "middleName": person.middle_name,
                "birthDate": person.birth_date,
                "email": person.email,
                "phone": person.phone,
                "document": {"type": person.document_kind, "number": person.document_number},
            },
        }
        return await self._ask("PUT", f"/v2/orders/{request.reference}/policy", _POLICY, body)

    async def issue_state(self, reference: UUID) -> port.IssueState:
        return await self._ask("GET", f"/v2/orders/{reference}/policy", _POLICY_STATE)

    async def end_policy(self, reference: UUID, policy_number: str, refund: Money) -> port.EndAnswer:
        body = {"policyNumber": policy_number, "refundKopecks": _kopecks(refund)}
        return await self._ask("PUT", f"/v2/terminations/{reference}", _TERMINATION, body)

    def verify_callback(self, body: bytes, signature: str) -> UUID | None:  # noqa: ARG002 - this dialect has none
        return None

    async def _ask(self, method: str, path: str, answers: Answers[T], body: object = None) -> T:
        headers = {"X-Api-Key": self.secret, "Content-Type": "application/json"}
        content = None if body is None else msgspec.json.encode(body)
        return answers.read(await exchange(self.outbound, method, path, content=content, headers=headers))


def _kopecks(money: Money) -> int:
    return int(money.amount * 100)


def _money(kopecks: int) -> Money:
    return Money(Decimal(kopecks) / 100)


# ------------------------------------------------------------ answers on the wire, told apart by ``state``


class _Answer(msgspec.Struct, tag_field="state", rename="camel"):
    """Any answer."""


class _Absent(_Answer, tag="NOT_FOUND"):
    def read(self) -> port.NotKnown:
        return port.NotKnown()


class _InProgress(_Answer, tag="IN_PROGRESS"):
    retry_after_ms: int

    def read(self) -> port.Pending:
        return port.Pending(retry_after=self.retry_after_ms / 1000)


class _Ready(_Answer, tag="READY"):
    offer_id: str
    premium_kopecks: int
    valid_until: datetime

    def read(self) -> port.Offered:
        return port.Offered(
            offer_number=self.offer_id, premium=_money(self.premium_kopecks), expires_at=self.valid_until
        )


class _Message(_Answer):
    message: str


class _Declined(_Message, tag="DECLINED"):
    def read(self) -> port.Declined:
        return port.Declined(reason=self.message)


class _Underwriting(_Message, tag="UNDERWRITING"):
    def read(self) -> port.Referred:
        return port.Referred(reason=self.message)


class _Rejected(_Message, tag="REJECTED"):
    def read(self) -> port.Invalid:
        return port.Invalid(reason=self.message)


class _Reserved(_Answer, tag="RESERVED"):
    premium_kopecks: int
    valid_until: datetime

    def read(self) -> port.PriceConfirmed:
        return port.PriceConfirmed(premium=_money(self.premium_kopecks), expires_at=self.valid_until)


class _Withdrawn(_Message, tag="WITHDRAWN"):
    def read(self) -> port.PriceRefused:
        return port.PriceRefused(reason=self.message)


class _Concluded(_Answer, tag="CONCLUDED"):
    policy_number: str
    premium_kopecks: int
    cover_from: date
    cover_to: date

    def read(self) -> port.Issued:
        return port.Issued(
            policy_number=self.policy_number,
            premium=_money(self.premium_kopecks),
            starts_on=self.cover_from,
            ends_on=self.cover_to,
        )


class _Refused(_Message, tag="REFUSED"):
    def read(self) -> port.IssueRefused:
        return port.IssueRefused(reason=self.message)


class _Terminated(_Answer, tag="TERMINATED"):
    refund_kopecks: int

    def read(self) -> port.PolicyEnded:
        return port.PolicyEnded(refund=_money(self.refund_kopecks))


class _InForce(_Message, tag="IN_FORCE"):
    def read(self) -> port.EndRefused:
        return port.EndRefused(reason=self.message)


_OFFER: Answers[port.OfferAnswer] = Answers(_Ready, _Declined, _Underwriting, _Rejected, _InProgress)
_OFFER_STATE: Answers[port.OfferState] = Answers(_Ready, _Declined, _Underwriting, _Rejected, _InProgress, _Absent)
_RESERVATION: Answers[port.PriceConfirmed | port.PriceRefused] = Answers(_Reserved, _Withdrawn)
_POLICY: Answers[port.IssueAnswer] = Answers(_Concluded, _Refused, _InProgress)
_POLICY_STATE: Answers[port.IssueState] = Answers(_Concluded, _Refused, _InProgress, _Absent)
_TERMINATION: Answers[port.EndAnswer] = Answers(_Terminated, _InForce)
