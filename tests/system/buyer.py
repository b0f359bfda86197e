"""A buyer who uses the public HTTP API, as an app on a phone would; everything it knows it learnt from answers."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any
from uuid import uuid4

import httpx

from insuretech.kit.positions import HEADER

Json = dict[str, Any]

PATIENCE = 90.0
"""Seconds to wait for anything that must come, however busy the machine is; only a test that fails waits so long."""

RETURN_URL = "http://127.0.0.1/returned"

CUSTOMER: Json = {
    "last_name": "Неизвестная",
    "first_name": "Пелагея",
    "middle_name": "Аристарховна",
    "birth_date": "1984-05-17",
    "email": "pelageya.neizvestnaya@example.org",
    "phone": "79260001122",
    "document": {"kind": "passport", "number": "4509876543"},
}
"""A made-up person whose every word is rare enough to be searched for in logs and events."""


class NotInTime(AssertionError):
    """Something awaited did not come; the message says what and how things stood."""


@dataclass(frozen=True)
class Event:
    """One server-sent event."""

    id: str
    name: str
    data: Json


@dataclass
class Quote:
    """A quote, the token that opens it, and the last position that an answer about it gave."""

    id: str
    token: str
    created: Json
    position: str = ""

    @property
    def headers(self) -> dict[str, str]:
        token = {"Authorization": f"Bearer {self.token}"}
        return {**token, HEADER: self.position} if self.position else token

    def hear(self, answer: httpx.Response) -> httpx.Response:
        """Keep what an answer says that its reader knows."""
        self.position = answer.headers.get(HEADER, self.position)
        return answer


@dataclass
class Order:
    """An order of a quote."""

    id: str
    quote: Quote
    created: Json

    @property
    def headers(self) -> dict[str, str]:
        return self.quote.headers


@dataclass
class Buyer:
    """Calls of one buyer; ``patience`` is the seconds to wait for anything."""

    http: httpx.AsyncClient
    patience: float = PATIENCE
    consents: dict[str, list[Json]] = field(default_factory=dict)

    # ------------------------------------------------------------ quote

    async def ask(self, product: str, answers: Json) -> Quote:
        """Submit a quote; who is told to come again, as a process cannot keep up, does."""
        limit = monotonic() + self.patience
        while True:
            answer = await self.http.post("/api/v1/quotes", json={"product": product, "answers": answers})
            if answer.status_code != 503 or "Retry-After" not in answer.headers or monotonic() > limit:
                break
            await asyncio.sleep(float(answer.headers["Retry-After"]))
        created = wanted(201, answer)
        quote = Quote(created["id"], created["access_token"], created)
        quote.hear(answer)
        return quote

    async def quote(self, quote: Quote) -> Json:
        return wanted(200, quote.hear(await self.http.get(f"/api/v1/quotes/{quote.id}", headers=quote.headers)))

    async def completed(self, quote: Quote) -> Json:
        """The quote once every insurer has ended."""
        return await self.until(lambda: self.quote(quote), lambda state: state["status"] == "completed")

    async def offer_of(self, quote: Quote, insurer: str) -> Json:
        """An insurer's offer as soon as it is there."""

        def there(state: Json) -> bool:
            return any(offer["insurer"] == insurer for offer in state["offers"])

        state = await self.until(lambda: self.quote(quote), there)
        return next(offer for offer in state["offers"] if offer["insurer"] == insurer)

    async def events(self, quote: Quote, *, after: str | None = None, until: str = "completed") -> list[Event]:
        """Events of the live stream after the one named, up to and with the first called ``until``."""
        found: list[Event] = []
        async with self.stream(quote, after=after) as stream:
            async for event in stream:
                found.append(event)
                if event.name == until:
                    return found
        return found

    @asynccontextmanager
    async def stream(self, quote: Quote, *, after: str | None = None) -> AsyncIterator[AsyncIterator[Event]]:
        """The live stream of a quote."""
        headers = {**quote.headers, **({"Last-Event-ID": after} if after else {})}
        address = f"/api/v1/quotes/{quote.id}/events"
        async with self.http.stream("GET", address, headers=headers, timeout=self.patience) as response:
            assert response.status_code == 200, await response.aread()
            assert response.headers["content-type"].startswith("text/event-stream")
            yield parse_events(response.aiter_lines())

    # ------------------------------------------------------------ order

    async def order(self, quote: Quote, offer: Json, *, customer: Json = CUSTOMER, key: str | None = None) -> Order:
        """Place an order with all consents the product asks for."""
        created = wanted(201, await self.place(quote, offer, customer=customer, key=key))
        return Order(created["id"], quote, created)

    async def place(
        self, quote: Quote, offer: Json, *, customer: Json = CUSTOMER, key: str | None = None
    ) -> httpx.Response:
        body = {"offer_id": offer["id"], "customer": customer, "consents": await self.consents_of(quote)}
        return quote.hear(await self.http.post("/api/v1/orders", json=body, headers=keyed(quote.headers, key)))

    async def consents_of(self, quote: Quote) -> list[Json]:
        product = quote.created.get("product") or (await self.quote(quote))["product"]
        if product not in self.consents:
            page = wanted(200, await self.http.get(f"/api/v1/products/{product}"))
            self.consents[product] = [
                {"code": consent["code"], "version": consent["version"]} for consent in page["consents"]
            ]
        return self.consents[product]

    async def state(self, order: Order) -> Json:
        answer = await self.http.get(f"/api/v1/orders/{order.id}", headers=order.headers)
        return wanted(200, order.quote.hear(answer))

    async def reaches(self, order: Order, *statuses: str) -> Json:
        """The order once it is in one of the states."""
        return await self.until(
            lambda: self.state(order), lambda state: state["status"] in statuses, wish=str(statuses)
        )

    async def pay(self, order: Order, action: str = "pay", *, key: str | None = None) -> Json:
        """Ask for a payment and press a button on the provider's page."""
        payment = wanted(200, await self.ask_payment(order, key=key))
        await self.press(payment, action)
        return payment

    async def ask_payment(self, order: Order, *, key: str | None = None) -> httpx.Response:
        answer = await self.http.post(
            f"/api/v1/orders/{order.id}/payment", json={"return_url": RETURN_URL}, headers=keyed(order.headers, key)
        )
        return order.quote.hear(answer)

    async def press(self, payment: Json, action: str) -> httpx.Response:
        """Press ``pay`` or ``decline`` on the sandbox provider's page."""
        pressed = await self.http.post(payment["confirmation_url"], data={"action": action})
        assert pressed.status_code in {200, 302, 303}, pressed.text
        return pressed

    async def consent_to_price(self, order: Order, premium: Json, *, key: str | None = None) -> httpx.Response:
        answer = await self.http.post(
            f"/api/v1/orders/{order.id}/price-consent",
            json={"premium": premium},
            headers=keyed(order.headers, key),
        )
        return order.quote.hear(answer)

    async def buy(self, product: str, answers: Json, insurer: str) -> tuple[Order, Json]:
        """The whole way from a quote to an issued order."""
        quote = await self.ask(product, answers)
        order = await self.order(quote, await self.offer_of(quote, insurer))
        await self.reaches(order, "awaiting_payment")
        await self.pay(order)
        return order, await self.reaches(order, "issued")

    # ------------------------------------------------------------ outside world

    async def books(self) -> Json:
        """What the sandbox's insurers and payment provider believe."""
        return wanted(200, await self.http.get("/sandbox/api/books"))

    async def until(
        self,
        look: Callable[[], Awaitable[Json]],
        holds: Callable[[Json], bool],
        *,
        wish: str = "",
    ) -> Json:
        """Look again and again until a condition holds."""
        limit = monotonic() + self.patience
        while not holds(state := await look()):
            if monotonic() > limit:
                raise NotInTime(f"waited for {wish or 'a condition'}, it stands at {state}")
            await asyncio.sleep(0.05)
        return state


def keyed(headers: Mapping[str, str], key: str | None) -> dict[str, str]:
    """Headers with an idempotency key, a fresh one if none is given."""
    return {**headers, "Idempotency-Key": key or str(uuid4())}


def wanted(status: int, response: httpx.Response) -> Json:
    """The body of an answer that must have this status."""
    assert response.status_code == status, f"{response.request.method} {response.url}: {response.text[:2000]}"
    body: Json = response.json()
    return body


async def parse_events(lines: AsyncIterator[str]) -> AsyncIterator[Event]:
    """Server-sent events from lines of a stream (the WHATWG rules that matter here)."""
    fields: dict[str, list[str]] = {}
    last_id = ""
    async for line in lines:
        if line:
            name, _, value = line.partition(":")
            if name:
                fields.setdefault(name, []).append(value.removeprefix(" "))
            continue
        last_id = fields.get("id", [last_id])[-1]
        if "data" in fields:
            data = json.loads("\n".join(fields["data"]))
            yield Event(last_id, fields.get("event", ["message"])[-1], data)
        fields = {}
