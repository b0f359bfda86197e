"""People: they search, follow offers live, buy, pay, fetch the policy, sometimes end it.

They use the public HTTP API and what they were told by it, repeat under the same key what got no answer, bring along
the last position they were given, and note every single attempt.
"""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import aiohttp

from deploy.drills.history import Belief, Call, History
from insuretech.kit.positions import HEADER
from tests.system.answers import ANSWERS
from tests.system.buyer import CUSTOMER, RETURN_URL

Json = dict[str, Any]

FINAL = frozenset({"issued", "refunded", "voided", "expired", "cancelled"})
_TO_BE_REPEATED = frozenset({500, 502, 503, 504})
_ATTEMPT = aiohttp.ClientTimeout(total=10, sock_connect=2)
_STREAM = aiohttp.ClientTimeout(total=None, sock_connect=2, sock_read=20)


class GaveUp(Exception):
    """A call got no answer for longer than anybody waits."""


@dataclass(frozen=True)
class Answer:
    """The answer that ended a call."""

    status: int
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Street:
    """What all visitors share: a connection pool, the history, and what products ask of a buyer.

    ``patience`` is the seconds one call is repeated for; ``wait`` how long a buyer looks on at an order.
    """

    http: aiohttp.ClientSession
    base: str
    history: History
    consents: dict[str, list[Json]] = field(default_factory=dict)
    patience: float = 150.0
    wait: float = 200.0


@dataclass
class Visitor:
    """One person with one errand."""

    name: str
    street: Street
    chance: random.Random
    token: str = ""
    position: str = ""

    # ------------------------------------------------------------ errands

    async def look_around(self) -> list[Json]:
        """Read a product's page, ask for offers, follow them live; the offers there are in the end."""
        product = self.chance.choice(("osago", "travel", "mortgage"))
        await self.call("page", "GET", f"/products/{product}", told=lambda _: {})
        answers = {"product": product, "answers": ANSWERS[product]()}
        created = await self.call("quote", "POST", "/api/v1/quotes", body=answers, keyed=True, told=_quote_created)
        if created.status != 201:
            return []
        quote = created.json
        self.token = quote["access_token"]
        await self.follow_live(quote["id"])
        state = await self.call("quote.read", "GET", f"/api/v1/quotes/{quote['id']}", told=_quote_read)
        offers: list[Json] = state.json["offers"] if state.status == 200 else []
        for offer in offers:
            offer["product"] = product
        return offers

    async def buy(self) -> None:
        """From the search to a policy, or to wherever it leads."""
        offers = await self.look_around()
        for offer in self.chance.sample(offers, min(len(offers), 3)):
            placed = await self.place(offer)
            if placed is not None:
                await self.see_through(placed)
                return

    async def place(self, offer: Json) -> str | None:
        """Order an offer; the order's id, or None when it was refused."""
        body = {"offer_id": offer["id"], "customer": CUSTOMER, "consents": await self.consents_of(offer["product"])}
        placed = await self.call(
            "order",
            "POST",
            "/api/v1/orders",
            body=body,
            keyed=True,
            about={"offer_id": offer["id"]},
            told=_order_told,
        )
        return str(placed.json["id"]) if placed.status == 201 else None

    async def see_through(self, order_id: str) -> None:
        """Do what the order's state asks of its buyer until it has ended."""
        path = f"/api/v1/orders/{order_id}"
        plan = self.chance.choices(("pay", "decline", "walk away"), (92, 4, 4))[0]
        until = time.time() + self.street.wait
        paying = False
        while time.time() < until:
            answer = await self.call("order.read", "GET", path, about={"order_id": order_id}, told=_order_told)
            state = answer.json if answer.status == 200 else {"status": "denied"}
            match state["status"]:
                case "price_changed":
                    body = {"premium": state["premium"]}
                    await self.call("consent", "POST", f"{path}/price-consent", body=body, keyed=True, told=_nothing)
                case "awaiting_payment" if not paying:
                    paying = True
                    await self.pay(path, plan)
                    if plan == "walk away":
                        return
                case "issued":
                    await self.enjoy(path, state)
                    return
                case status if status in FINAL:
                    return
            await asyncio.sleep(0.4 + 0.4 * self.chance.random())

    async def pay(self, path: str, plan: str) -> None:
        """Ask for a payment and press a button on the provider's page."""
        body = {"return_url": RETURN_URL}
        payment = await self.call("payment", "POST", f"{path}/payment", body=body, keyed=True, told=_payment_told)
        if payment.status == 200 and plan != "walk away":
            await self.call("press", "POST", payment.json["confirmation_url"], form={"action": plan}, told=_nothing)

    async def enjoy(self, path: str, order: Json) -> None:
        """What one does with a policy: some fetch the paper, a few think better of it."""
        number = order["policy"]["number"]
        if self.chance.random() < 0.4:
            await self.call("document", "GET", f"/api/v1/policies/{number}/document", told=_paper_told)
        if self.chance.random() < 0.1:
            preview = await self.call(
                "cancel.preview", "POST", f"{path}/cancellation", body={}, keyed=True, told=_nothing
            )
            if preview.status == 200:
                body = {"id": preview.json["id"]}
                about = {"order_id": path.rpartition("/")[2]}
                await self.call(
                    "cancel", "POST", f"{path}/cancellation", body=body, keyed=True, about=about, told=_nothing
                )

    async def consents_of(self, product: str) -> list[Json]:
        """What the product asks to be agreed to; read once by the first who needs it."""
        if product not in self.street.consents:
            page = (await self.call("product", "GET", f"/api/v1/products/{product}", told=_nothing)).json
            self.street.consents[product] = [
                {"code": each["code"], "version": each["version"]} for each in page["consents"]
            ]
        return self.street.consents[product]

    # ------------------------------------------------------------ live offers

    async def follow_live(self, quote_id: str, limit: float = 15.0) -> None:
        """Follow the offers as a browser does: after a break it connects again and says what it saw last."""
        until = time.time() + limit
        last = 0
        while time.time() < until:
            began = time.time()
            before = last
            status, error, over, gaps = 0, "", False, 0
            try:
                async with asyncio.timeout(max(1.0, until - time.time())):
                    async with self._stream(quote_id, last) as response:
                        status = response.status
                        over = status in {204, 404}
                        async for number, name in _events(response):
                            gaps += number != last + 1
                            last = number
                            over = name == "completed"
            except (aiohttp.ClientError, TimeoutError, OSError) as failure:
                error = type(failure).__name__
            belief: Belief = "done" if over and status in {200, 204} else "unknown"
            told = {"quote_id": quote_id, "events": last - before, "gaps": gaps}
            self._note(began, "stream", False, belief, status=status, error=error, told=told)
            if over:
                return
            await asyncio.sleep(0.3 + 0.7 * self.chance.random())

    def _stream(self, quote_id: str, last: int) -> Any:
        headers = {**self._known(), "Accept": "text/event-stream"}
        if last:
            headers["Last-Event-ID"] = str(last)
        return self.street.http.get(
            f"{self.street.base}/api/v1/quotes/{quote_id}/events", headers=headers, timeout=_STREAM
        )

    # ------------------------------------------------------------ calls

    async def call(
        self,
        operation: str,
        method: str,
        path: str,
        *,
        told: Callable[[Answer], Json],
        body: Json | None = None,
        form: Json | None = None,
        keyed: bool = False,
        about: Json | None = None,
    ) -> Answer:
        """A call, repeated under one key for as long as its outcome is unknown.

        ``about`` is known before the answer and noted with every attempt, ``told`` picks what the answer adds.
        """
        key = str(UUID(int=self.chance.getrandbits(128), version=4)) if keyed else ""
        headers = self._known()
        if key:
            headers["Idempotency-Key"] = key
        address = path if path.startswith("http") else f"{self.street.base}{path}"
        until = time.time() + self.street.patience
        while time.time() < until:
            began, again_after = time.time(), 0.0
            writes = method == "POST"
            try:
                async with self.street.http.request(
                    method, address, json=body, data=form, headers=headers, timeout=_ATTEMPT, allow_redirects=False
                ) as response:
                    answer = Answer(response.status, await response.read())
                    self.position = response.headers.get(HEADER, self.position)
                    again_after = float(response.headers.get("Retry-After", 0))
            except (aiohttp.ClientError, TimeoutError, OSError) as failure:
                self._note(began, operation, writes, "unknown", key=key, told=about, error=type(failure).__name__)
            else:
                belief = belief_of(answer)
                facts = told(answer) if answer.status < 300 else {}
                error = "" if answer.status < 300 else answer.body[:200].decode(errors="replace")
                self._note(
                    began,
                    operation,
                    writes,
                    belief,
                    status=answer.status,
                    key=key,
                    told={**(about or {}), **facts},
                    error=error,
                )
                if belief != "unknown":
                    return answer
            await asyncio.sleep(again_after + 0.3 + 0.7 * self.chance.random())
        raise GaveUp(f"{operation} got no answer for {self.street.patience:g} s")

    def _known(self) -> dict[str, str]:
        """What every request says of its sender: their token and what they know."""
        token = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return {**token, HEADER: self.position} if self.position else token

    def _note(
        self,
        began: float,
        operation: str,
        writes: bool,
        belief: Belief,
        *,
        status: int = 0,
        key: str = "",
        error: str = "",
        told: Json | None = None,
    ) -> None:
        self.street.history.note(
            Call(
                start=began,
                end=time.time(),
                visitor=self.name,
                operation=operation,
                writes=writes,
                belief=belief,
                status=status,
                key=key,
                error=error,
                told=told or {},
            )
        )


def belief_of(answer: Answer) -> Belief:
    """What a client may conclude from an answer."""
    if answer.status in _TO_BE_REPEATED or (answer.status == 409 and b"request-in-flight" in answer.body):
        return "unknown"
    return "done" if answer.status < 400 else "refused"


async def _events(response: aiohttp.ClientResponse) -> AsyncIterator[tuple[int, str]]:
    """Number and name of server-sent events; none of an answer that is not a stream."""
    number, name = 0, ""
    if response.status != 200:
        return
    async for raw in response.content:
        line = raw.decode().rstrip("\r\n")
        field_name, _, value = line.partition(":")
        if field_name == "id":
            number = int(value)
        elif field_name == "event":
            name = value.strip()
        elif not line and name:
            yield number, name
            name = ""


# ---------------------------------------------------------------- what to remember of an answer


def _nothing(_: Answer) -> Json:
    return {}


def _quote_created(answer: Answer) -> Json:
    return {"quote_id": answer.json["id"]}


def _quote_read(answer: Answer) -> Json:
    state = answer.json
    return {"quote_id": state["id"], "status": state["status"], "offers": len(state["offers"])}


def _order_told(answer: Answer) -> Json:
    order = answer.json
    facts = {"order_id": order["id"], "status": order["status"], "premium": order["premium"]["amount"]}
    return {**facts, "policy": order["policy"]["number"]} if order.get("policy") else facts


def _payment_told(answer: Answer) -> Json:
    return {"payment_id": answer.json["payment_id"]}


def _paper_told(answer: Answer) -> Json:
    return {"pdf": answer.body.startswith(b"%PDF"), "size": len(answer.body)}
