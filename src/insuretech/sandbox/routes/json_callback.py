"""The callback dialect as an insurer serves it: signed JSON commands in snake_case, money as decimal text.

Whoever gave a ``callback_url`` with a command that needs time is called when the result is there.
"""

from datetime import date
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from litestar import Response, Router, get, post
from litestar.params import FromPath

from insuretech.contracts import insurers as port
from insuretech.contracts.money import Money
from insuretech.kit.signatures import is_genuine
from insuretech.sandbox.commands.insurers import Desk
from insuretech.sandbox.routes.reception import HANDLERS, SHORT_ANSWERS, AnyRequest, Refused, body_of, known_insurer

T = TypeVar("T")

_DIALECT = "json_callback"


class _Sum(msgspec.Struct):
    value: Decimal
    currency: str

    def money(self) -> Money:
        try:
            return Money(self.value, self.currency)
        except (ValueError, ArithmeticError) as error:
            raise Refused(400, "not an amount of money") from error


class _Product(msgspec.Struct):
    code: str
    version: str


class _Quote(msgspec.Struct):
    external_id: UUID
    product: _Product
    risk: dict[str, Any]
    callback_url: str | None = None


class _Reservation(msgspec.Struct):
    external_id: UUID
    quote_number: str


class _Person(msgspec.Struct):
    surname: str
    given_name: str
    patronymic: str | None
    born_on: date
    email: str
    phone: str
    id_kind: str
    id_number: str


class _Policy(msgspec.Struct):
    external_id: UUID
    quote_number: str
    premium: _Sum
    insured_person: _Person
    callback_url: str | None = None


class _Cancellation(msgspec.Struct):
    external_id: UUID
    policy_number: str
    refund: _Sum


def callback_routes(desk: Desk, secret: str) -> Router:
    """Serves every insurer of the sandbox under ``/sandbox/insurers/{code}/partner``."""

    async def read(request: AnyRequest, code: str, expected: type[T]) -> T:
        known_insurer(desk.behaviours, code)
        body = await body_of(request)
        if not is_genuine(secret, body, request.headers.get("x-signature", ""), desk.clock.now()):
            raise Refused(401, "the signature is not right or too old")
        try:
            return msgspec.json.decode(body or b"null", type=expected)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise Refused(400, f"the command cannot be read: {error}") from error

    @post("/quotes", status_code=200)
    async def request_quote(request: AnyRequest, code: FromPath[str]) -> Response[bytes]:
        asked = await read(request, code, _Quote)
        offer = port.OfferRequest(
            reference=asked.external_id,
            product=asked.product.code,
            product_version=asked.product.version,
            answers=asked.risk,
        )
        return _answer(await desk.request_offer(code, _DIALECT, offer, asked.callback_url))

    @get("/quotes/{external_id:uuid}")
    async def quote(request: AnyRequest, code: FromPath[str], external_id: FromPath[UUID]) -> Response[bytes]:
        await read(request, code, type(None))
        return _answer(await desk.offer_state(code, _DIALECT, external_id))

    @post("/reservations", status_code=200)
    async def reserve(request: AnyRequest, code: FromPath[str]) -> Response[bytes]:
        asked = await read(request, code, _Reservation)
        return _answer(await desk.confirm_price(code, _DIALECT, asked.external_id, asked.quote_number))

    @post("/policies", status_code=200)
    async def issue(request: AnyRequest, code: FromPath[str]) -> Response[bytes]:
        asked = await read(request, code, _Policy)
        return _answer(await desk.issue(code, _DIALECT, _order(asked), asked.callback_url))

    @get("/policies/{external_id:uuid}")
    async def policy(request: AnyRequest, code: FromPath[str], external_id: FromPath[UUID]) -> Response[bytes]:
        await read(request, code, type(None))
        return _answer(await desk.issue_state(code, _DIALECT, external_id))

    @post("/cancellations", status_code=200)
    async def cancel(request: AnyRequest, code: FromPath[str]) -> Response[bytes]:
        asked = await read(request, code, _Cancellation)
        refund = asked.refund.money()
        return _answer(await desk.end_policy(code, _DIALECT, asked.external_id, asked.policy_number, refund))

    return Router(
        "/sandbox/insurers/{code:str}/partner",
        route_handlers=[request_quote, quote, reserve, issue, policy, cancel],
        exception_handlers=HANDLERS,
        include_in_schema=False,
        opt=SHORT_ANSWERS,
    )


def _order(asked: _Policy) -> port.IssueRequest:
    person = asked.insured_person
    return port.IssueRequest(
        reference=asked.external_id,
        offer_number=asked.quote_number,
        premium=asked.premium.money(),
        policyholder=port.Policyholder(
            last_name=person.surname,
            first_name=person.given_name,
            middle_name=person.patronymic,
            birth_date=person.born_on,
            email=person.email,
            phone=person.phone,
            document_kind=person.id_kind,
            document_number=person.id_number,
        ),
    )


_COMMENTED: dict[type, str] = {
    port.Declined: "declined",
    port.Referred: "underwriting",
    port.Invalid: "rejected",
    port.PriceRefused: "withdrawn",
    port.IssueRefused: "refused",
    port.EndRefused: "in_force",
}


def _answer(
    answer: port.OfferState | port.IssueState | port.PriceConfirmed | port.PriceRefused | port.EndAnswer,
) -> Response[bytes]:
    """The answer in this dialect: 200 for whatever the insurer has decided, 202 for work, 404 for the unknown."""
    match answer:
        case port.Offered():
            body = {
                "status": "calculated",
                "quote_number": answer.offer_number,
                "premium": _sum(answer.premium),
                "valid_till": answer.expires_at,
            }
        case port.PriceConfirmed():
            body = {"status": "reserved", "premium": _sum(answer.premium), "valid_till": answer.expires_at}
        case port.Issued():
            body = {
                "status": "issued",
                "policy_number": answer.policy_number,
                "premium": _sum(answer.premium),
                "first_day": answer.starts_on,
                "last_day": answer.ends_on,
            }
        case port.PolicyEnded():
            body = {"status": "cancelled", "refund": _sum(answer.refund)}
        case port.Pending():
            return _json(202, {"status": "accepted", "look_again_in": answer.retry_after})
        case port.NotKnown():
            return _json(404, {"status": "unknown"})
        case _:
            body = {"status": _COMMENTED[type(answer)], "comment": answer.reason}
    return _json(200, body)


def _sum(money: Money) -> _Sum:
    return _Sum(money.amount, money.currency)


def _json(status: int, body: object) -> Response[bytes]:
    return Response(msgspec.json.encode(body), status_code=status, media_type="application/json")
