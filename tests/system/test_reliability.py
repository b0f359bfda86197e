"""Two hundred purchases while the whole process group is killed at random moments; then the books must agree.

The seed is fixed, so the same purchases meet the same insurers; ``RELIABILITY_SEED`` and ``RELIABILITY_PURCHASES``
choose others.
"""

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from time import monotonic

import asyncpg
import httpx
import pytest
from rich.console import Console
from rich.table import Table

from tests.system.buyer import Json, wanted
from tests.system.persistent import FINAL, GaveUp, History, PersistentBuyer, Purchase
from tests.system.running import RunningMarketplace
from tests.system.sandbox import Books, Sandbox, rubles

SEED = int(os.environ.get("RELIABILITY_SEED", "20261122"))
PURCHASES = int(os.environ.get("RELIABILITY_PURCHASES", "200"))
AT_ONCE = 24
QUIET_WITHIN = 120.0  # seconds
LIVES = (60, 360)  # answers between a start and the next kill, so that a slow machine has its purchases too

SETTINGS = {
    "INSURETECH_INSURER_TIME_LIMIT": "30",  # longer than a kill and the start after it
    "INSURETECH_ISSUE_RECHECK": "0.3",
    "INSURETECH_PAYMENT_DEADLINE": "20",
}

MOODS: dict[str, Json] = {
    "bystra": {},
    "tihohod": {"delay_min_ms": 300, "delay_max_ms": 900},
    "kabinet": {"outcome": "pending", "pending_ms": 500, "issue": "pending"},
    "zvonok": {"outcome": "pending", "pending_ms": 700, "issue": "pending", "callback": "duplicated"},
    "mercator": {"failure_rate": 0.33, "failures": ["down", "broken", "dropped"]},
    "otkazov": {"outcome": {"offer": 5, "decline": 5}, "issue": "refuse"},
    "peremena": {"confirm_change_percent": 8.5},
    "tumanov": {"issue": "unknown_issued", "lookup_after_ms": 800},
    "zavis": {"outcome": {"offer": 7, "hang": 3}, "issue": "unknown_not_issued"},
    "molchun": {"outcome": {"offer": 7, "down": 3}, "failure_rate": 0.15, "failures": ["dropped", "broken"]},
}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]


@dataclass
class Rehearsal:
    """One marketplace under fire, and what its buyers saw."""

    market: RunningMarketplace
    http: httpx.AsyncClient
    history: History
    chance: random.Random
    purchases: list[Purchase] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    async def run(self) -> None:
        """All purchases, a few at a time, until the last has ended; meanwhile kills."""
        consents = await self.consents()
        waiting = iter(range(PURCHASES))
        killing = asyncio.create_task(self.kill_again_and_again())

        async def one_after_another() -> None:
            for number in waiting:
                await self.buy(number, consents)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(AT_ONCE):
                    group.create_task(one_after_another())
        finally:
            killing.cancel()
            await asyncio.wait([killing])
        if not killing.cancelled():
            killing.result()

    async def buy(self, number: int, consents: dict[str, list[Json]]) -> None:
        chance = random.Random(f"{SEED}/{number}")
        purchase = Purchase(number, chance.choice(("osago", "mortgage", "travel")))
        self.purchases.append(purchase)
        buyer = PersistentBuyer(self.http, self.history, chance, self.counts, consents)
        try:
            await buyer.buy(purchase)
        except GaveUp as error:
            purchase.ended = f"gave up: {error}"

    async def kill_again_and_again(self) -> None:
        """SIGKILL to the group after a random number of answers, and a new start, over and over."""
        while True:
            enough = self.counts["answers"] + self.chance.randint(*LIVES)
            while self.counts["answers"] < enough:  # noqa: ASYNC110 - twenty milliseconds do not matter
                await asyncio.sleep(0.02)
            await asyncio.sleep(self.chance.uniform(0.0, 0.2))
            self.market.kill_group()
            self.counts["kills"] += 1
            self.history.note("killed")
            starting = asyncio.create_task(asyncio.to_thread(self.market.start))
            try:
                await asyncio.shield(starting)
            except asyncio.CancelledError:
                await starting  # never leave a start half-way behind
                raise
            self.history.note("started", after=round(self.market.ready_after, 2))
            await self.change_a_mood()

    async def change_a_mood(self) -> None:
        """The insurer that loses every request to issue mends its ways between every other pair of kills."""
        mended = {"issue": "ok"} if self.counts["kills"] % 2 else {}
        with suppress(httpx.TransportError):
            await Sandbox(self.http).behave("zavis", **{**MOODS["zavis"], **mended})

    async def consents(self) -> dict[str, list[Json]]:
        found = {}
        for product in ("osago", "mortgage", "travel"):
            page = wanted(200, await self.http.get(f"/api/v1/products/{product}"))
            found[product] = [{"code": each["code"], "version": each["version"]} for each in page["consents"]]
        return found

    async def quiet(self) -> float:
        """Wait until nothing moves any more; the seconds it took."""
        began = monotonic()
        moving = await self.moving()
        while moving:
            if monotonic() - began > QUIET_WITHIN:
                pytest.fail(f"not quiet after {QUIET_WITHIN:g} s: {moving}")
            await asyncio.sleep(0.5)
            moving = await self.moving()
        return monotonic() - began

    async def moving(self) -> list[str]:
        """Orders on their way, refunds under way, events not handed on."""
        orders = await self.market.rows(
            "select status, count(*) as number from orders.orders where next_action_at is not null group by status"
        )
        found = [f"{row['number']} orders {row['status']}" for row in orders]
        for service in ("catalogue", "quotes", "orders", "documents"):
            ((waiting,),) = await self.market.rows(
                f"select count(*) from {service}.outbox where published_at is null"  # noqa: S608 - our own names
            )
            found += [f"{waiting} events of {service}"] if waiting else []
        return found


@pytest.fixture
async def rehearsal(tmp_path: Path) -> AsyncIterator[Rehearsal]:
    """A marketplace with faulty insurers, on a folder of its own."""
    market = RunningMarketplace(tmp_path / "home", SETTINGS)
    with market:
        async with httpx.AsyncClient(base_url=market.base_url, timeout=15, trust_env=False) as http:
            sandbox = Sandbox(http)
            for insurer, mood in MOODS.items():
                await sandbox.behave(insurer, **mood)
            await sandbox.provider(notifications="duplicated", failure_rate=0.1, confirmation_s=20)
            with (tmp_path / "history.jsonl").open("w", encoding="utf-8", buffering=1) as file:
                yield Rehearsal(market, http, History(file), random.Random(SEED))


async def test_nothing_is_lost_or_done_twice_when_everything_is_killed(rehearsal: Rehearsal) -> None:
    """Otherwise a crash costs somebody money, or a paid policy, or gives two policies for one payment."""
    began = monotonic()
    await rehearsal.run()
    bought = monotonic() - began
    await Sandbox(rehearsal.http).calm()  # an insurer that never gives the same answer twice would never be quiet
    settled = await rehearsal.quiet()

    books = await Sandbox(rehearsal.http).books()
    orders = {str(row["id"]): row for row in await our_books(rehearsal.market)}
    show(rehearsal, orders, books, bought, settled)
    problems = compare(rehearsal.purchases, orders, books)
    dead = await rehearsal.market.rows("select consumer, reason from orders.dead_letters")
    problems += [f"dead letter of {row['consumer']}: {row['reason']}" for row in dead]
    assert not problems, "\n".join(problems)
    assert rehearsal.counts["kills"] >= 5
    assert Counter(row["status"] for row in orders.values())["issued"] >= PURCHASES // 4
    assert not [each for each in rehearsal.purchases if each.ended.startswith("gave up")]


async def our_books(market: RunningMarketplace) -> list[asyncpg.Record]:
    """Every order with its money and its policy, as we keep them."""
    return await market.rows(
        """
        select o.id, o.status, o.insurer,
               p.number as policy, p.status as policy_status, p.premium as premium,
               coalesce((select sum(captured) from orders.payments where order_id = o.id), 0) as captured,
               coalesce((select sum(refunded) from orders.payments where order_id = o.id), 0) as refunded,
               coalesce((select sum(amount) from orders.payments where order_id = o.id and status = 'held'), 0) as held
        from orders.orders o left join orders.policies p on p.order_id = o.id
        """
    )


def compare(purchases: list[Purchase], orders: dict[str, asyncpg.Record], books: Books) -> list[str]:
    """Everything in which we and the outside world differ, or that nobody could explain to the buyer."""
    found = [
        f"purchase {each.number}: order {each.order_id} was acknowledged and is lost"
        for each in purchases
        if each.order_id and each.order_id not in orders
    ]
    found += [f"order {order} has {count} policies" for order, count in books.policy_counts().items() if count > 1]
    found += [f"order {payment['order_id']} was paid and is not known" for payment in books.told["payments"]
              if payment["order_id"] not in orders]  # fmt: skip
    for order_id, order in orders.items():
        found += [f"order {order_id} ({order['insurer']}): {fault}" for fault in order_faults(order_id, order, books)]
    return found


def order_faults(order_id: str, order: asyncpg.Record, books: Books) -> list[str]:
    """One order against the books, to the kopeck."""
    found = []
    policies = books.policies_of(order_id)
    captured, refunded = books.captured(order_id), books.refunded(order_id)
    in_force = [policy for policy in policies if policy["status"] == "issued"]
    kept = sum((rubles(policy["premium"]) for policy in in_force), Decimal())
    cancelled = order["policy_status"] == "cancelled"
    if order["status"] not in FINAL:
        found.append(f"is still {order['status']}")
    if (order["captured"], order["refunded"]) != (captured, refunded):
        found.append(f"we say {order['captured']} − {order['refunded']}, the provider {captured} − {refunded}")
    if [policy["number"] for policy in policies] != ([order["policy"]] if order["policy"] else []):
        found.append(f"our policy is {order['policy']}, the insurer's are {policies}")
    if not cancelled and captured - refunded - order["held"] != kept:
        found.append(f"captured {captured}, refunded {refunded}, held {order['held']}, but policies cost {kept}")
    if order["status"] == "issued" and not order["policy"]:
        found.append("is issued without a policy")
    if order["status"] != "issued" and in_force:
        found.append(f"is {order['status']} and the insurer has a policy in force")
    return found


def show(rehearsal: Rehearsal, orders: dict[str, asyncpg.Record], books: Books, bought: float, settled: float) -> None:
    """What happened, for whoever runs this with ``-s``; pytest shows it on a failure too."""
    table = Table("what", "number", title=f"{PURCHASES} purchases under fire, seed {SEED}")
    table.add_row("seconds of buying", f"{bought:.0f}")
    table.add_row("seconds until quiet", f"{settled:.0f}")
    for name, count in sorted(rehearsal.counts.items()):
        table.add_row(name, str(count))
    for status, count in Counter(row["status"] for row in orders.values()).most_common():
        table.add_row(f"orders {status}", str(count))
    for ended, count in Counter(each.ended for each in rehearsal.purchases).most_common():
        table.add_row(f"buyers: {ended[:60]}", str(count))
    money = {name: sum((row[name] for row in orders.values()), Decimal()) for name in ("captured", "refunded", "held")}
    table.add_row("policies at insurers", str(len(books.told["policies"])))
    for name, amount in money.items():
        table.add_row(f"{name}, roubles", f"{amount:,.2f}")
    Console(width=100).print(table)
