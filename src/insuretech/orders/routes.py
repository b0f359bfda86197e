"""Orders over HTTP: place, agree to a price, pay, end; policies and their public verification."""

import re
from collections.abc import Iterator
from typing import Annotated, Any, cast
from urllib.parse import urlsplit
from uuid import UUID

import msgspec
from litestar import Request, Response, Router, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, HeaderParameter, JSONBody, QueryParameter

from insuretech.contracts.money import Money
from insuretech.contracts.payments import PaymentMethod
from insuretech.contracts.text import preferred_language
from insuretech.kit.clock import Clock, SystemClock, legal_date
from insuretech.kit.db import Database
from insuretech.kit.idempotency import StoredAnswer, checked_key, required_key
from insuretech.kit.ids import buyer_of
from insuretech.kit.positions import DESCRIPTION, GIVEN_HEADERS, HEADER
from insuretech.kit.problems import BadRequest, FieldError, NotFound, responses
from insuretech.kit.web import ReadyAnswer, bearer_token, stored_json
from insuretech.orders import queries
from insuretech.orders.cancelling import confirm_cancellation, preview_cancellation
from insuretech.orders.commands import (
    Desk,
    agree_to_price,
    hear_of_payment,
    note_revision,
    open_payment,
    place_order,
)
from insuretech.orders.commands import Request as Repeatable
from insuretech.orders.domain.customer import Customer, customer_faults
from insuretech.orders.domain.problems import ReturnUrlInvalid
from insuretech.orders.domain.purchase import AcceptedConsent
from insuretech.orders.shown import ShownOrders
from insuretech.orders.views import (
    CancellationView,
    OrderPage,
    OrderView,
    PaymentOpened,
    PolicyView,
    VerifiedPolicy,
    Views,
)

AnyRequest = Request[object, object, State]
_NO_STORE = {"Cache-Control": "private, no-store"}
_READY = ((b"content-type", b"application/json"), (b"cache-control", b"private, no-store"))
_KEY = "Needs Idempotency-Key: a repeated request with the same key gets the first answer again."
_TOKEN = "Needs the quote's access token."  # noqa: S105 - a sentence

_FRESH = "A fresh UUID, the same with every retry."
Key = Annotated[str | None, HeaderParameter(name="Idempotency-Key", description=_FRESH)]
# Described as required, taken as missing: whoever forgets it gets our own problem, which says what to do.
RequiredKey = Annotated[str | None, HeaderParameter(name="Idempotency-Key", description=_FRESH, required=True)]


class ConsentGiven(msgspec.Struct, forbid_unknown_fields=True):
    """A consent of the product, by the version of the text that was shown."""

    code: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    version: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class NewOrderRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Which offer, for whom, and what they agreed to."""

    offer_id: UUID
    customer: Customer
    consents: Annotated[list[ConsentGiven], msgspec.Meta(max_length=50)]

    @staticmethod
    def rule_faults(document: object, accept_language: str) -> Iterator[FieldError]:
        """See ``kit.bodies.RuledBody``: a wrong phone is told beside a missing name, not after it."""
        customer = document.get("customer") if isinstance(document, dict) else None
        if isinstance(customer, dict):
            today = legal_date(SystemClock().now())
            yield from customer_faults(customer, today, preferred_language(accept_language))


class PriceConsentRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The price the buyer agrees to: the one the order shows now."""

    premium: Money


class PaymentRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Where the buyer comes back to, and how they pay: ``card`` is held first, ``sbp`` charged at once."""

    return_url: Annotated[str, msgspec.Meta(min_length=1, max_length=2000, examples=["https://example.ru/order"])]
    method: PaymentMethod = "card"


class CancellationRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Empty for a preview; the preview's ``id`` to confirm it."""

    id: UUID | None = None


# ---------------------------------------------------------------- orders


@post(
    "/api/v1/orders",
    operation_id="placeOrder",
    summary="Order an offer",
    description=f"Takes the offer; the insurer is then asked for its binding price. {_KEY} {_TOKEN}",
    tags=["orders"],
    response_headers=GIVEN_HEADERS,
    responses=responses(409, 413, 415, 422),
)
async def place(
    request: AnyRequest,
    data: JSONBody[NewOrderRequest],
    desk: NamedDependency[Desk],
    idempotency_key: RequiredKey = None,
) -> Response[OrderView]:
    """Take an order."""
    answer = await place_order(
        desk,
        await _repeatable(request, idempotency_key),
        offer_id=data.offer_id,
        customer=data.customer,
        consents=[AcceptedConsent(consent.code, consent.version) for consent in data.consents],
        language=preferred_language(request.headers.get("accept-language", "")),
    )
    return _given(answer)


@get(
    "/api/v1/orders/{order_id:uuid}",
    operation_id="order",
    summary="An order, its payment and its policy",
    description=f"`explanation` says in words what happened and what becomes of the money. {_TOKEN}",
    tags=["orders"],
    response_headers=GIVEN_HEADERS,
    responses={
        200: ResponseSpec(OrderView, description="The order", generate_examples=False),
        **responses(404),
    },
)
async def show(
    request: AnyRequest,
    order_id: FromPath[UUID],
    shown: NamedDependency[ShownOrders],
    position: Annotated[str | None, HeaderParameter(name=HEADER, description=DESCRIPTION)] = None,
) -> ReadyAnswer:
    """Show an order to its owner."""
    view = await shown.view(_owner(request), order_id, position)
    if view is None:
        raise NotFound
    return ReadyAnswer(200, view, [*_READY, (b"content-length", b"%d" % len(view))])


@get(
    "/api/v1/orders",
    operation_id="orders",
    summary="The orders of a token, newest first",
    description=f"`next_cursor` of one page is `cursor` of the next; null when there is none. {_TOKEN}",
    tags=["orders"],
    response_headers=GIVEN_HEADERS,
    responses=responses(404),
)
async def show_all(
    request: AnyRequest,
    database: NamedDependency[Database],
    views: NamedDependency[Views],
    clock: NamedDependency[Clock],
    cursor: Annotated[str | None, QueryParameter(max_length=64)] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=100)] = 20,
) -> Response[OrderPage]:
    """Show a token's orders."""
    found, following = await queries.own_orders(database, _owner(request), cursor=cursor, limit=limit)
    for purchase in reversed(found):  # what does not fit is the oldest
        note_revision(purchase)
    now = clock.now()
    page = OrderPage(items=[views.order(purchase, now) for purchase in found], next_cursor=following)
    return Response(page, headers=_NO_STORE)


@post(
    "/api/v1/orders/{order_id:uuid}/price-consent",
    operation_id="agreeToPrice",
    summary="Agree to the insurer's new price",
    description=f"Only while the order is `price_changed`, and only to the price it shows. {_KEY} {_TOKEN}",
    tags=["orders"],
    status_code=200,
    response_headers=GIVEN_HEADERS,
    responses=responses(404, 409, 413, 415, 422),
)
async def agree(
    request: AnyRequest,
    order_id: FromPath[UUID],
    data: JSONBody[PriceConsentRequest],
    desk: NamedDependency[Desk],
    idempotency_key: RequiredKey = None,
) -> Response[OrderView]:
    """Take the consent to a price."""
    repeatable = await _repeatable(request, idempotency_key)
    return _given(await agree_to_price(desk, repeatable, order_id, data.premium))


@post(
    "/api/v1/orders/{order_id:uuid}/payment",
    operation_id="payOrder",
    summary="Open a payment and get the page to pay at",
    description=(
        "While a payment is open, the same one is given again; after a declined one, a new one. Waits a few seconds "
        f"for a price that is being confirmed. {_KEY} {_TOKEN}"
    ),
    tags=["orders"],
    status_code=200,
    response_headers=GIVEN_HEADERS,
    responses=responses(404, 409, 413, 415, 422),
)
async def pay(
    request: AnyRequest,
    order_id: FromPath[UUID],
    data: JSONBody[PaymentRequest],
    desk: NamedDependency[Desk],
    idempotency_key: RequiredKey = None,
) -> Response[PaymentOpened]:
    """Open a payment."""
    repeatable = await _repeatable(request, idempotency_key)
    _check_return_url(data.return_url)
    return _given(await open_payment(desk, repeatable, order_id, return_url=data.return_url, method=data.method))


@post(
    "/api/v1/orders/{order_id:uuid}/cancellation",
    operation_id="cancelOrder",
    summary="Preview the end of an order or policy, then confirm it",
    description=(
        "With an empty object: what would be refunded and on what legal ground, valid until `expires_at`. With the "
        f"preview's `id`: carried out; needs Idempotency-Key then. {_TOKEN}"
    ),
    tags=["orders"],
    status_code=200,
    response_headers=GIVEN_HEADERS,
    responses=responses(404, 409, 413, 415, 422),
)
async def cancel(
    request: AnyRequest,
    order_id: FromPath[UUID],
    data: JSONBody[CancellationRequest],
    desk: NamedDependency[Desk],
    idempotency_key: Key = None,
) -> Response[CancellationView]:
    """Preview or confirm a cancellation."""
    if data.id is not None:
        repeatable = await _repeatable(request, idempotency_key)
        return _given(await confirm_cancellation(desk, repeatable, order_id, data.id))
    preview = await _repeatable(request, idempotency_key) if idempotency_key else None
    return _given(await preview_cancellation(desk, _owner(request), order_id, preview))


# ---------------------------------------------------------------- policies


@get(
    "/api/v1/policies/{number:str}",
    operation_id="policy",
    summary="A policy",
    description=_TOKEN,
    tags=["policies"],
    response_headers=GIVEN_HEADERS,
    responses=responses(404),
)
async def show_policy(
    request: AnyRequest,
    number: FromPath[str],
    database: NamedDependency[Database],
    views: NamedDependency[Views],
    clock: NamedDependency[Clock],
) -> Response[PolicyView]:
    """Show a policy to its owner."""
    found = await queries.own_policy(database, _owner(request), number)
    if found is None or found.policy is None:
        raise NotFound
    note_revision(found)
    return Response(views.policy(found.policy, clock.now()), headers=_NO_STORE)


@get(
    "/api/v1/verify/{code:str}",
    operation_id="verifyPolicy",
    summary="Whether a policy is genuine",
    description="For anybody who holds the code printed on the policy; shows no personal data.",
    tags=["policies"],
    responses=responses(404),
)
async def verify(
    code: FromPath[str],
    database: NamedDependency[Database],
    views: NamedDependency[Views],
    clock: NamedDependency[Clock],
) -> Response[VerifiedPolicy]:
    """Show what anybody may know of a policy."""
    if not re.fullmatch(r"[0-9A-Z]{4}(?:-[0-9A-Z]{4}){3}", code):
        raise NotFound
    found = await queries.policy_by_code(database, code)
    if found is None:
        raise NotFound
    policy, title = found
    return Response(views.verified(policy, title, clock.now()), headers=_NO_STORE)


# ---------------------------------------------------------------- the payment provider


@post(
    "/api/v1/payments/notifications",
    operation_id="paymentNotification",
    summary="Where the payment provider notifies",
    description="Nothing it says is believed: the payment is looked up at the provider. Repetitions change nothing.",
    tags=["callbacks"],
    status_code=200,
    responses=responses(413),
)
async def notification(request: AnyRequest, desk: NamedDependency[Desk]) -> None:
    """Take a notification of the payment provider."""
    if not await hear_of_payment(desk, await request.body()):
        raise BadRequest("This is no notification about a payment.")


def orders_router(desk: Desk, database: Database, shown: ShownOrders, views: Views, clock: Clock) -> Router:
    """The service's part of the API."""
    given = {"desk": desk, "database": database, "shown": shown, "views": views, "clock": clock}
    return Router(
        path="/",
        route_handlers=[place, show, show_all, agree, pay, cancel, show_policy, verify, notification],
        dependencies={name: _provide(what) for name, what in given.items()},
    )


def _provide(what: object) -> Provide:
    return Provide(lambda: what, sync_to_thread=False)


def _owner(request: AnyRequest) -> str:
    """The owner a token stands for; without a token there is nothing to be found."""
    token = bearer_token(request)
    if token is None:
        raise NotFound
    return buyer_of(token)


async def _repeatable(request: AnyRequest, key: str | None) -> Repeatable:
    """The request as one that may be repeated; raises ``IdempotencyKeyMissing``."""
    route = f"{request.method} {request.url.path}"
    return Repeatable(_owner(request), route, checked_key(required_key(key)), await request.body())


def _given(answer: StoredAnswer) -> Response[Any]:
    return cast("Response[Any]", stored_json(answer.body, answer.status, _NO_STORE))


def _check_return_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable or not url.isascii() or not url.isprintable() or " " in url:
        raise ReturnUrlInvalid
