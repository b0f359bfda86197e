"""The payment provider's API as YooKassa v3 has it (https://yookassa.ru/developers/api), errors included."""

import hmac
from base64 import b64encode
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import msgspec
from litestar import Response, Router, get, post
from litestar.di import NamedDependency, Provide
from litestar.exceptions import HTTPException
from litestar.params import FromPath, FromQuery
from msgspec import Meta

from insuretech.contracts.money import Money
from insuretech.sandbox.commands.payments import KeyReused, NewPayment, NoSuchObject, Provider
from insuretech.sandbox.faults import FAULTS
from insuretech.sandbox.payments import Method, StepNotAllowed
from insuretech.sandbox.routes.reception import AnyRequest, body_of

T = TypeVar("T")


class _Amount(msgspec.Struct):
    value: Annotated[str, Meta(pattern=r"^[0-9]{1,10}\.[0-9]{2}$")]
    currency: Literal["RUB"]

    def money(self) -> Money:
        money = Money(Decimal(self.value), self.currency)
        if not money:
            raise ApiError(400, "invalid_request", "The amount must be more than zero.", "amount")
        return money


class _Confirmation(msgspec.Struct):
    type: Literal["redirect"]
    return_url: Annotated[str, Meta(max_length=2048)]


class _MethodData(msgspec.Struct, frozen=True):
    type: Method


class _NewPayment(msgspec.Struct):
    amount: _Amount
    confirmation: _Confirmation
    capture: bool = False
    payment_method_data: _MethodData = _MethodData("bank_card")
    description: Annotated[str, Meta(max_length=128)] | None = None
    metadata: dict[Annotated[str, Meta(max_length=32)], Annotated[str, Meta(max_length=512)]] = {}

    def asked(self) -> NewPayment:
        address = urlsplit(self.confirmation.return_url)
        if address.scheme not in {"http", "https"} or not address.netloc:
            raise ApiError(400, "invalid_request", "return_url is no web address.", "confirmation.return_url")
        if len(self.metadata) > 16:
            raise ApiError(400, "invalid_request", "At most 16 entries.", "metadata")
        return NewPayment(
            amount=self.amount.money(),
            capture=self.capture,
            method=self.payment_method_data.type,
            return_url=self.confirmation.return_url,
            description=self.description,
            metadata=self.metadata,
        )


class _Capture(msgspec.Struct):
    amount: _Amount | None = None


class _Cancel(msgspec.Struct):
    """Nothing to say."""


class _NewRefund(msgspec.Struct):
    payment_id: UUID
    amount: _Amount
    description: Annotated[str, Meta(max_length=250)] | None = None


class ApiError(Exception):
    """An error as the API words it."""

    def __init__(self, status: int, code: str, description: str, parameter: str | None = None) -> None:
        super().__init__(description)
        self.status = status
        self.code = code
        self.parameter = parameter


@dataclass(frozen=True)
class Till:
    """The provider behind its door: one shop's login."""

    provider: Provider
    login: str

    def check(self, request: AnyRequest) -> None:
        if not hmac.compare_digest(request.headers.get("authorization", "").encode(), self.login.encode()):
            raise ApiError(401, "invalid_credentials", "Basic authentication failed.")

    async def read(self, request: AnyRequest, expected: type[T]) -> tuple[str, T]:
        """The idempotence key and the body of a request that changes something."""
        self.check(request)
        key = request.headers.get("idempotence-key", "")
        if not 0 < len(key) <= 64:
            raise ApiError(400, "invalid_request", "Idempotence key is missing or too long.", "Idempotence-Key")
        try:
            return key, msgspec.json.decode(await body_of(request) or b"{}", type=expected)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            parameter = str(error).partition(" - at `$.")[2].removesuffix("`") or None
            raise ApiError(400, "invalid_request", "The body is not what the API takes.", parameter) from error


@post("/payments", status_code=200)
async def create_payment(request: AnyRequest, till: NamedDependency[Till]) -> Response[bytes]:
    """Open a payment."""
    key, asked = await till.read(request, _NewPayment)
    return _json(await till.provider.create(key, asked.asked()))


@get("/payments/{payment_id:uuid}")
async def show_payment(request: AnyRequest, payment_id: FromPath[UUID], till: NamedDependency[Till]) -> Response[bytes]:
    """A payment's state."""
    till.check(request)
    return _json(await till.provider.payment(payment_id))


@post("/payments/{payment_id:uuid}/capture", status_code=200)
async def capture_payment(
    request: AnyRequest, payment_id: FromPath[UUID], till: NamedDependency[Till]
) -> Response[bytes]:
    """Take a hold, or a part of it."""
    key, asked = await till.read(request, _Capture)
    return _json(await till.provider.capture(key, payment_id, asked.amount.money() if asked.amount else None))


@post("/payments/{payment_id:uuid}/cancel", status_code=200)
async def cancel_payment(
    request: AnyRequest, payment_id: FromPath[UUID], till: NamedDependency[Till]
) -> Response[bytes]:
    """Let a hold go."""
    key, _ = await till.read(request, _Cancel)
    return _json(await till.provider.cancel(key, payment_id))


@post("/refunds", status_code=200)
async def create_refund(request: AnyRequest, till: NamedDependency[Till]) -> Response[bytes]:
    """Give money back."""
    key, asked = await till.read(request, _NewRefund)
    return _json(await till.provider.refund(key, asked.payment_id, asked.amount.money(), asked.description))


@get("/refunds/{refund_id:uuid}")
async def show_refund(request: AnyRequest, refund_id: FromPath[UUID], till: NamedDependency[Till]) -> Response[bytes]:
    """A refund's state."""
    till.check(request)
    return _json(await till.provider.refund_state(refund_id))


@get("/refunds")
async def list_refunds(
    request: AnyRequest, payment_id: FromQuery[UUID], till: NamedDependency[Till]
) -> Response[bytes]:
    """All refunds of a payment."""
    till.check(request)
    return _json(await till.provider.refunds_of(payment_id))


def yookassa_routes(provider: Provider, secret_key: str) -> Router:
    """Serves the API under ``/sandbox/yookassa/v3``."""
    login = "Basic " + b64encode(f"{provider.shop_id}:{secret_key}".encode()).decode()
    till = Till(provider, login)
    return Router(
        "/sandbox/yookassa/v3",
        route_handlers=[
            create_payment,
            show_payment,
            capture_payment,
            cancel_payment,
            create_refund,
            show_refund,
            list_refunds,
        ],
        dependencies={"till": Provide(lambda: till, sync_to_thread=False)},
        exception_handlers=_HANDLERS,
        include_in_schema=False,
    )


def _json(body: bytes, status: int = 200) -> Response[bytes]:
    return Response(body, status_code=status, media_type="application/json")


def _render(_: AnyRequest, error: Exception) -> Response[bytes]:
    """Any refusal in the API's shape (https://yookassa.ru/developers/using-api/response-handling/http-codes)."""
    match error:
        case ApiError():
            status, code, parameter = error.status, error.code, error.parameter
        case NoSuchObject():
            status, code, parameter = 404, "not_found", None
        case KeyReused():
            status, code, parameter = 400, "invalid_request", "Idempotence-Key"
        case StepNotAllowed():
            status, code, parameter = 400, "invalid_request", error.parameter
        case HTTPException():
            status, code, parameter = error.status_code, "invalid_request", None
        case _:
            raise error
    description = error.detail if isinstance(error, HTTPException) else str(error)
    body: dict[str, Any] = {"type": "error", "id": str(uuid4()), "code": code, "description": description or code}
    if parameter is not None:
        body["parameter"] = parameter
    return _json(msgspec.json.encode(body), status)


_HANDLERS: Any = FAULTS | dict.fromkeys([ApiError, NoSuchObject, KeyReused, StepNotAllowed, HTTPException], _render)
