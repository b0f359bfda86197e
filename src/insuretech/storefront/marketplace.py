"""The marketplace's public HTTP API, called as any other client would."""

import asyncio
from datetime import date
from decimal import Decimal
from time import monotonic
from typing import Any, TypeVar
from urllib.parse import quote
from uuid import UUID

import httpx
import msgspec

from insuretech.contracts.money import Money
from insuretech.contracts.text import Language
from insuretech.kit.positions import HEADER
from insuretech.kit.tracing import current_trace_id
from insuretech.storefront.carrying import carried_header, hear
from insuretech.storefront.ports import (
    CancellationPreview,
    ConsentView,
    Corridor,
    FieldFault,
    NewQuote,
    Order,
    PaymentStart,
    Product,
    ProductSummary,
    Quote,
    Refused,
    Verification,
)

T = TypeVar("T")
FRESH = 5.0
"""Seconds for which a product is taken from memory: every page of the site names them."""


class _Items(msgspec.Struct):
    """A list as the API gives it."""

    items: tuple[Any, ...]


class _Problem(msgspec.Struct):
    type: str = "about:blank"
    title: str = ""
    detail: str | None = None
    errors: tuple[FieldFault, ...] = ()


class HttpMarketplace:
    """Implements ``ports.Marketplace`` over ``/api/v1``; ``client`` knows the address, ``time_limit`` is seconds."""

    def __init__(self, client: httpx.AsyncClient, time_limit: float) -> None:
        self._client = client
        self._time_limit = time_limit
        self._kept: dict[str, tuple[float, Any]] = {}

    async def products(self) -> tuple[ProductSummary, ...]:
        found = await self._kept_or("/api/v1/products", dict[str, Any])
        return msgspec.convert(found.get("items", ()), tuple[ProductSummary, ...])

    async def product(self, code: str) -> Product:
        return await self._kept_or(f"/api/v1/products/{_safe(code)}", Product)

    async def consent(self, code: str, version: str) -> ConsentView:
        return await self._kept_or(f"/api/v1/consents/{_safe(code)}/{_safe(version)}", ConsentView)

    async def places(self) -> dict[str, tuple[str, ...]]:
        found = await self._kept_or("/api/v1/products/osago/territories", _Items)
        return {place["region"]: tuple(place["territories"]) for place in found.items}

    async def corridor(self, answers: dict[str, Any], concluded_on: date, language: Language) -> Corridor:
        body = {"concluded_on": concluded_on.isoformat(), "answers": answers}
        return await self._send("POST", "/api/v1/products/osago/corridor", Corridor, body, language=language)

    async def submit_quote(self, product: str, answers: dict[str, Any], key: str, language: Language) -> NewQuote:
        body = {"product": product, "answers": answers}
        return await self._send("POST", "/api/v1/quotes", NewQuote, body, key=key, language=language)

    async def quote(self, quote_id: UUID, token: str, language: Language) -> Quote:
        return await self._send("GET", f"/api/v1/quotes/{quote_id}", Quote, token=token, language=language)

    async def place_order(self, body: dict[str, Any], token: str, key: str, language: Language) -> Order:
        return await self._send("POST", "/api/v1/orders", Order, body, token=token, key=key, language=language)

    async def order(self, order_id: UUID, token: str) -> Order:
        return await self._send("GET", f"/api/v1/orders/{order_id}", Order, token=token)

    async def orders(self, token: str) -> tuple[Order, ...]:
        found = await self._send("GET", "/api/v1/orders", _Items, token=token)
        return msgspec.convert(found.items, tuple[Order, ...])

    async def consent_to_price(self, order_id: UUID, premium: Money, token: str, key: str) -> Order:
        body = {"premium": msgspec.to_builtins(premium)}
        return await self._send("POST", f"/api/v1/orders/{order_id}/price-consent", Order, body, token=token, key=key)

    async def start_payment(self, order_id: UUID, return_url: str, method: str, token: str, key: str) -> PaymentStart:
        body = {"return_url": return_url, "method": method}
        return await self._send("POST", f"/api/v1/orders/{order_id}/payment", PaymentStart, body, token=token, key=key)

    async def preview_cancellation(self, order_id: UUID, token: str, key: str) -> CancellationPreview:
        path = f"/api/v1/orders/{order_id}/cancellation"
        return await self._send("POST", path, CancellationPreview, {}, token=token, key=key)

    async def confirm_cancellation(self, order_id: UUID, preview_id: UUID, token: str, key: str) -> None:
        path = f"/api/v1/orders/{order_id}/cancellation"
        await self._send("POST", path, dict[str, Any], {"id": str(preview_id)}, token=token, key=key)

    async def policy_document(self, number: str, token: str) -> bytes:
        response = await self._call("GET", f"/api/v1/policies/{_safe(number)}/document", None, token=token)
        return response.content

    async def verification(self, code: str) -> Verification:
        return await self._send("GET", f"/api/v1/verify/{_safe(code)}", Verification)

    async def description(self) -> dict[str, Any]:
        return await self._kept_or("/schema/openapi.json", dict[str, Any])

    async def _kept_or(self, path: str, kind: type[T]) -> T:
        """What was read a moment ago, or a fresh answer."""
        kept = self._kept.get(path)
        if kept is None or kept[0] < monotonic():
            kept = (monotonic() + FRESH, await self._send("GET", path, kind))
            if len(self._kept) > 200:
                self._kept.clear()
            self._kept[path] = kept
        found: T = kept[1]
        return found

    async def _send(self, method: str, path: str, kind: type[T], body: Any = None, **headers: Any) -> T:
        response = await self._call(method, path, body, **headers)
        try:
            return msgspec.json.decode(response.content, type=kind)
        except msgspec.MsgspecError as error:
            raise Refused(503, "unavailable", f"The answer of {method} {path} has another shape: {error}") from error

    async def _call(
        self, method: str, path: str, body: Any, *, token: str = "", key: str = "", language: Language = "ru"
    ) -> httpx.Response:
        headers = {"Accept-Language": language, "traceparent": f"00-{current_trace_id()}-{'0' * 15}1-01"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if key:
            headers["Idempotency-Key"] = key
        if token and (position := carried_header()):
            headers[HEADER] = position
        content = None if body is None else msgspec.json.encode(body, enc_hook=_encode)
        if content is not None:
            headers["Content-Type"] = "application/json"
        try:
            # An application called in its own process knows nothing of the client's time limits.
            async with asyncio.timeout(self._time_limit):
                response = await self._client.request(method, path, content=content, headers=headers)
        except (httpx.HTTPError, TimeoutError) as error:
            raise Refused(503, "unavailable", type(error).__name__) from error
        if response.is_success:
            hear(response.headers.get(HEADER))
            return response
        raise _refused(response)


def _refused(response: httpx.Response) -> Refused:
    try:
        problem = msgspec.json.decode(response.content, type=_Problem)
    except msgspec.MsgspecError:
        problem = _Problem()
    slug = problem.type.rsplit("/", 1)[-1]
    # Pointers lead into the request's body; pages speak of the answers inside it.
    faults = tuple(
        msgspec.structs.replace(fault, pointer=fault.pointer.removeprefix("/answers")) for fault in problem.errors
    )
    return Refused(response.status_code, slug, problem.detail or problem.title, faults)


def _safe(part: str) -> str:
    """One segment of a path, whatever was typed into an address."""
    return quote(part, safe="").replace(".", "%2E")


def _encode(value: Any) -> Any:
    if isinstance(value, Decimal):
        return str(value)
    raise NotImplementedError
