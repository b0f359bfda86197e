"""The outside world as a test wants it: every insurer's mood and the payment provider's, and their books."""

import asyncio
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import httpx
import msgspec

from insuretech.sandbox.domain import Behaviour, ProviderBehaviour
from tests.system.buyer import Json, wanted

BEST: Json = msgspec.to_builtins(Behaviour())
"""An insurer at its best: at once, with an offer, at the price it said."""
BEST_PROVIDER: Json = msgspec.to_builtins(ProviderBehaviour())


@dataclass(frozen=True)
class Sandbox:
    """Controls of the sandbox, as its page uses them."""

    http: httpx.AsyncClient

    async def insurers(self) -> list[str]:
        response = await self.http.get("/sandbox/api/insurers")
        assert response.status_code == 200, response.text
        return [insurer["code"] for insurer in response.json()]

    async def behave(self, insurer: str, **mood: Any) -> None:
        """Let an insurer be at its best but for ``mood``."""
        await self.put(f"/sandbox/api/insurers/{insurer}", {**BEST, **mood})

    async def provider(self, **mood: Any) -> None:
        """Let the payment provider be at its best but for ``mood``."""
        await self.put("/sandbox/api/payments", {**BEST_PROVIDER, **mood})

    async def calm(self) -> None:
        """Everybody at their best."""
        everybody = [self.behave(insurer) for insurer in await self.insurers()]
        await asyncio.gather(self.provider(), *everybody)

    async def put(self, path: str, mood: Json) -> None:
        wanted(200, await self.http.put(path, json=mood))

    async def books(self) -> "Books":
        return Books(wanted(200, await self.http.get("/sandbox/api/books")))


@dataclass(frozen=True)
class Books:
    """What the outside world believes."""

    told: Json

    def policies_of(self, order_id: str) -> list[Json]:
        return [policy for policy in self.told["policies"] if policy["reference"] == order_id]

    def payments_of(self, order_id: str) -> list[Json]:
        return [payment for payment in self.told["payments"] if payment["order_id"] == order_id]

    def policy_counts(self) -> Counter[str]:
        """Policies by our reference, which is the order's id."""
        return Counter(policy["reference"] for policy in self.told["policies"])

    def captured(self, order_id: str) -> Decimal:
        return sum((rubles(payment["captured"]) for payment in self.payments_of(order_id)), Decimal())

    def refunded(self, order_id: str) -> Decimal:
        return sum((rubles(payment["refunded"]) for payment in self.payments_of(order_id)), Decimal())


def rubles(money: Any) -> Decimal:
    """An amount of roubles as an exact number."""
    assert money["currency"] == "RUB"
    return Decimal(money["amount"])
