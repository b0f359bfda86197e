"""Buyers who do not give up: they repeat what got no answer under the same key, and write down every call."""

import asyncio
import json
import random
from collections import Counter
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, TextIO
from uuid import UUID

import httpx

from insuretech.kit.positions import HEADER
from tests.system.answers import ANSWERS
from tests.system.buyer import CUSTOMER, RETURN_URL, Json

FINAL = frozenset({"issued", "refunded", "voided", "expired", "cancelled"})


class GaveUp(Exception):
    """A call got no answer for longer than anybody waits."""


@dataclass
class History:
    """Every call with its outcome, one JSON object a line, in the order in which answers came."""

    file: TextIO
    began: float = field(default_factory=monotonic)

    def note(self, what: str, **facts: Any) -> None:
        self.file.write(json.dumps({"at": round(monotonic() - self.began, 3), "what": what, **facts}) + "\n")


@dataclass
class Purchase:
    """What one buyer knows for sure: ids that were answered, and where it ended for the buyer."""

    number: int
    product: str
    quote_id: str = ""
    token: str = ""
    order_id: str = ""
    insurer: str = ""
    ended: str = "begun"


@dataclass
class PersistentBuyer:
    """One purchase; ``patience`` is the seconds a single call is repeated for, the others how long one looks on."""

    http: httpx.AsyncClient
    history: History
    chance: random.Random
    counts: Counter[str]
    consents: dict[str, list[Json]]
    patience: float = 60.0
    insurers_wait: float = 2.0
    order_wait: float = 25.0
    position: str = ""

    async def buy(self, purchase: Purchase) -> None:
        """From the quote to wherever it leads; ``purchase`` is filled in as answers come."""
        answers = {"product": purchase.product, "answers": ANSWERS[purchase.product]()}
        created = await self.post("/api/v1/quotes", answers, {})
        purchase.quote_id, purchase.token = created.json()["id"], created.json()["access_token"]
        own = {"Authorization": f"Bearer {purchase.token}"}
        offers = await self.offers(f"/api/v1/quotes/{purchase.quote_id}", own)
        if not offers:
            purchase.ended = "no offers"
            return
        for offer in self.chance.sample(offers, len(offers)):
            body = {"offer_id": offer["id"], "customer": CUSTOMER, "consents": self.consents[purchase.product]}
            placed = await self.post("/api/v1/orders", body, own)
            if placed.status_code == 201:
                purchase.order_id, purchase.insurer = placed.json()["id"], offer["insurer"]
                break
        else:
            purchase.ended = "every offer refused"
            return
        purchase.ended = await self.follow(f"/api/v1/orders/{purchase.order_id}", own)

    async def offers(self, path: str, own: dict[str, str]) -> list[Json]:
        """The offers that came while a person would wait."""
        until = monotonic() + self.patience
        wait_for_more = monotonic() + self.insurers_wait
        while monotonic() < until:
            state = (await self.send("GET", path, None, own)).json()
            if state["status"] != "collecting" or (state["offers"] and monotonic() > wait_for_more):
                if not state["offers"]:
                    self.history.note("no offers", path=path, insurers=state["insurers"])
                return list(state["offers"])
            await asyncio.sleep(0.5)
        raise GaveUp(f"{path} has no offers")

    async def follow(self, path: str, own: dict[str, str]) -> str:
        """Do what the order's state asks of its buyer until it has ended."""
        until = monotonic() + self.order_wait
        plan = self.chance.choices(("pay", "decline", "walk away"), (88, 6, 6))[0]
        paying = False
        while monotonic() < until:
            state = (await self.send("GET", path, None, own)).json()
            match state["status"]:
                case "price_changed":
                    await self.post(f"{path}/price-consent", {"premium": state["premium"]}, own)
                case "awaiting_payment" if not paying:
                    paying = True
                    await self.pay(path, own, plan)
                case "issued" if self.chance.random() < 0.15:
                    return await self.cancel(path, own)
                case status if status in FINAL:
                    return str(status)
            if paying and plan == "walk away":
                return "walked away"
            await asyncio.sleep(0.3 + 0.4 * self.chance.random())
        return "waits no longer, others go on"

    async def pay(self, path: str, own: dict[str, str], plan: str) -> None:
        payment = await self.post(f"{path}/payment", {"return_url": RETURN_URL}, own)
        if payment.status_code != 200 or plan == "walk away":
            return
        action = {"action": plan}
        await self.send("POST", payment.json()["confirmation_url"], None, {}, form=action)

    async def cancel(self, path: str, own: dict[str, str]) -> str:
        preview = await self.post(f"{path}/cancellation", {}, own)
        if preview.status_code != 200:
            return f"issued, may not be cancelled ({preview.status_code})"
        confirmed = await self.post(f"{path}/cancellation", {"id": preview.json()["id"]}, own)
        return f"cancelled policy ({confirmed.status_code})"

    # ------------------------------------------------------------ calls

    async def post(self, path: str, body: Json, own: dict[str, str]) -> httpx.Response:
        """A POST under one key until it is answered; now and then once more, which must give the same answer."""
        key = str(UUID(int=self.chance.getrandbits(128), version=4))
        headers = {**own, "Idempotency-Key": key}
        first = await self.send("POST", path, body, headers)
        if self.chance.random() < 0.2 and first.status_code < 300:  # a refusal had no effect and is not kept
            again = await self.send("POST", path, body, headers)
            self.counts["repeated although answered"] += 1
            assert (again.status_code, again.json()) == (first.status_code, first.json()), (first.text, again.text)
        return first

    async def send(
        self, method: str, path: str, body: Json | None, headers: dict[str, str], form: dict[str, str] | None = None
    ) -> httpx.Response:
        """A call, repeated for as long as its outcome is unknown."""
        until = monotonic() + self.patience
        while monotonic() < until:
            try:
                known = {**headers, HEADER: self.position}
                response = await self.http.request(method, path, json=body, data=form, headers=known)
            except httpx.TransportError as error:
                self.counts["answers lost"] += 1
                self.history.note("lost", method=method, path=path, key=key_of(headers), error=type(error).__name__)
            else:
                self.counts["answers"] += 1
                self.position = response.headers.get(HEADER, self.position)
                if method != "GET":
                    self.history.note(
                        "answered",
                        method=method,
                        path=path,
                        key=key_of(headers),
                        status=response.status_code,
                        body=response.text[:300],
                    )
                if response.status_code == 503 or (response.status_code == 409 and b"in-flight" in response.content):
                    self.counts[f"told to repeat ({response.status_code})"] += 1
                elif response.status_code >= 500:
                    self.counts["5xx"] += 1
                    raise AssertionError(f"{method} {path}: {response.status_code} {response.text}")
                else:
                    return response
            await asyncio.sleep(0.2 + 0.6 * self.chance.random())
        raise GaveUp(f"{method} {path} got no answer for {self.patience:g} s")


def key_of(headers: dict[str, str]) -> str:
    """The idempotency key a request was sent under."""
    return headers.get("Idempotency-Key", "")
