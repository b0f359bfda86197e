"""The polling dialect as an insurer serves it: JSON in camelCase, money in kopecks, everything under the caller's
reference; an insurer that needs time says IN_PROGRESS and is asked again.
"""

import hmac
from datetime import date
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from litestar import Response, Router, get, put
from litestar.params import FromPath

from insuretech.contracts import insurers as port
from insuretech.contracts.money import Money
from insuretech.sandbox.commands.insurers import Desk
from insuretech.sandbox.routes.reception import HANDLERS, SHORT_ANSWERS, AnyRequest, Refused, body_of, known_insurer

T = TypeVar("T")

_DIALECT = "json_polling"


class _Calculation(msgspec.Struct, rename="camel"):
    product: str
    edition: str
    parameters: dict[str, Any]


class _Reservation(msgspec.Struct, rename="camel"):
    offer_id: str


class _Document(msgspec.Struct, rename="camel"):
    type: str
    number: str


class _Policyholder(msgspec.Struct, rename="camel"):
    last_name: str
    first_name: str
    middle_name: str | None
    birth_date: date
    email: str
    phone: str
    document: _Document


class _Order(msgspec.Struct, rename="camel"):
    offer_id: str
    premium_kopecks: int
    policyholder: _Policyholder


class _Termination(msgspec.Struct, rename="camel"):
    policy_number: str
    refund_kopecks: int


def polling_routes(desk: Desk, secret: str) -> Router:
    """Serves every insurer of the sandbox under ``/sandbox/insurers/{code}/v2``."""

    async def read(request: AnyRequest, code: str, expected: type[T]) -> T:
        known_insurer(desk.behaviours, code)
        if not hmac.compare_digest(request.headers.get("x-api-key", "").encode(), secret.encode()):
            raise Refused(401, "the key is not right")
        try:
            return msgspec.json.decode(await body_of(request) or b"null", type=expected)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise Refused(400, f"the body cannot be read: {error}") from error

    @put("/calculations/{reference:uuid}")
    async def calculate(request: AnyRequest, code: FromPath[str], reference: FromPath[UUID]) -> Response[bytes]:
        asked = await read(request, code, _Calculation)
        offer = port.OfferRequest(
            reference=reference, product=asked.product, product_version=asked.edition, answers=asked.parameters
        )
        return _answer(await desk.request_offer(code, _DIALECT, offer))

    @get("/calculations/{reference:uuid}")
    async def calculation(request: AnyRequest, code: FromPath[str], reference: FromPath[UUID]) -> Response[bytes]:
        await read(request, code, type(None))
        return _answer(await desk.offer_state(code, _DIALECT, reference))

    @put("/orders/{reference:uuid}/reservation")
    async def reserve(request: AnyRequest, code: FromPath[str], reference: FromPath[UUID]) -> Response[bytes]:
        asked = await read(request, code, _Reservation)
        return _answer(await desk.confirm_price(code, _DIALECT, reference, asked.offer_id))

    @put("/orders/{reference:uuid}/policy")
    async def conclude(request: AnyRequest, code: FromPath[str], reference: FromPath[UUID]) -> Response[bytes]:
        order = _order(reference, await read(request, code, _Order))
        return _answer(await desk.issue(code, _DIALECT, order))

    @get("/orders/{reference:uuid}/policy")
    async def policy(request: AnyRequest, code: FromPath[str], reference: FromPath[UUID]) -> Response[bytes]:
        await read(request, code, type(None))
        return _answer(await desk.issue_state(code, _DIALECT, reference))

    @put("/terminations/{reference:uuid}")
    async def terminate(request: AnyRequest, code: FromPath[str], reference: FromPath[UUID]) -> Response[bytes]:
        asked = await read(request, code, _Termination)
        refund = _money(asked.refund_kopecks)
        return _answer(await desk.end_policy(code, _DIALECT, reference, asked.policy_number, refund))

    return Router(
        "/sandbox/insurers/{code:str}/v2",
        route_handlers=[calculate, calculation, reserve, conclude, policy, terminate],
        exception_handlers=HANDLERS,
        include_in_schema=False,
        opt=SHORT_ANSWERS,
    )


def _order(reference: UUID, asked: _Order) -> port.IssueRequest:
    person = asked.policyholder
    return port.IssueRequest(
        reference=reference,
        offer_number=asked.offer_id,
        premium=_money(asked.premium_kopecks),
        policyholder=port.Policyholder(
            last_name=person.last_name,
            first_name=person.first_name,
            middle_name=person.middle_name,
            birth_date=person.birth_date,
            email=person.email,
            phone=person.phone,
            document_kind=person.document.type,
            document_number=person.document.number,
        ),
    )


def _money(kopecks: int) -> Money:
    try:
        return Money(Decimal(kopecks) / 100)
    except (ValueError, ArithmeticError) as error:
        raise Refused(400, "not an amount of money") from error


def _kopecks(money: Money) -> int:
    return int(money.amount * 100)


_MESSAGES: dict[type, tuple[int, str]] = {
    port.Declined: (200, "DECLINED"),
    port.Referred: (200, "UNDERWRITING"),
    port.Invalid: (422, "REJECTED"),
    port.PriceRefused: (409, "WITHDRAWN"),
    port.IssueRefused: (409, "REFUSED"),
    port.EndRefused: (409, "IN_FORCE"),
}


def _answer(
    answer: port.OfferState | port.IssueState | port.PriceConfirmed | port.PriceRefused | port.EndAnswer,
) -> Response[bytes]:
    """The answer in this dialect, with the status that goes with it."""
    match answer:
        case port.Offered():
            body = {
                "state": "READY",
                "offerId": answer.offer_number,
                "premiumKopecks": _kopecks(answer.premium),
                "validUntil": answer.expires_at,
            }
        case port.PriceConfirmed():
            premium = _kopecks(answer.premium)
            body = {"state": "RESERVED", "premiumKopecks": premium, "validUntil": answer.expires_at}
        case port.Issued():
            body = {
                "state": "CONCLUDED",
                "policyNumber": answer.policy_number,
                "premiumKopecks": _kopecks(answer.premium),
                "coverFrom": answer.starts_on,
                "coverTo": answer.ends_on,
            }
        case port.PolicyEnded():
            body = {"state": "TERMINATED", "refundKopecks": _kopecks(answer.refund)}
        case port.Pending():
            return _json(202, {"state": "IN_PROGRESS", "retryAfterMs": int(answer.retry_after * 1000)})
        case port.NotKnown():
            return _json(404, {"state": "NOT_FOUND"})
        case _:
            status, state = _MESSAGES[type(answer)]
            return _json(status, {"state": state, "message": answer.reason})
    return _json(200, body)


def _json(status: int, body: object) -> Response[bytes]:
    return Response(msgspec.json.encode(body), status_code=status, media_type="application/json")
