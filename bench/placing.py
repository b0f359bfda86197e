"""Placing orders against the same SQL under pgbench with as many clients, by turns, on the same database."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import monotonic
from uuid import uuid4

import httpx

from bench import load, recorded, stage
from bench.quoting import asked, control, insurers_file
from bench.report import Figure
from tests.ports import free_port
from tests.system.buyer import CUSTOMER, Json
from tests.system.running import RunningMarketplace

CLIENTS = 16
WARMING = 10 * CLIENTS
PER_QUOTE = 10
PEAK = 100.0
POOL = 200_000
COPIES = """
    insert into orders.offers
    select copy.*
    from (select to_jsonb(offers) as offer from orders.offers limit 1) one, generate_series(1, $1::bigint) n,
        jsonb_populate_record(
            null::orders.offers, offer || jsonb_build_object('id', '2' || lpad(to_hex(n), 31, '0'))
        ) copy
"""
CLEANING = (
    "delete from orders.outbox where id::text like '30000000-0000-0000-%'",
    "delete from orders.idempotency_keys where key like '40000000-0000-0000-%'",
    "delete from orders.policyholders where order_id::text like '10000000-0000-0000-%'",
    "delete from orders.orders where id::text like '10000000-0000-0000-%'",
    "vacuum orders.outbox, orders.idempotency_keys, orders.policyholders, orders.orders",
)
"""What pgbench placed is nobody's order."""


async def measure(orders: int, seconds: float, rounds: int) -> list[Figure]:
    """Ours, pgbench, ours, pgbench …; orders a second."""
    with stage.quick_insurers() as port, insurers_file(port) as settings, stage.marketplace(settings) as market:
        await stage.answering(port)
        async with stage.client(market.base_url) as http:
            await control(port, http)
            consents = await consents_of(http)
            with TemporaryDirectory() as folder:
                file = Path(folder) / "place.sql"
                file.write_text(recorded.script(await recording(market, http, consents)), encoding="utf-8")
                await market.rows(COPIES, POOL)
                return await _compare(market, http, consents, file, orders=orders, seconds=seconds, rounds=rounds)


@dataclass
class _Turns:
    """Orders a second in each turn: the placing alone, with everything that follows, and under pgbench."""

    alone: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    limit: list[float] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)


async def _compare(
    market: RunningMarketplace,
    http: httpx.AsyncClient,
    consents: list[Json],
    file: Path,
    *,
    orders: int,
    seconds: float,
    rounds: int,
) -> list[Figure]:
    turns, start = _Turns(), 0
    for turn in range(rounds + 1):
        alone = await placed_alone(market, await requests(http, WARMING + orders, consents))
        await settled(market)
        whole = await placed(market.port, await requests(http, orders, consents))
        await settled(market)
        rate = await limit_of(market, file, seconds, start)
        start += int(rate * seconds * 1.2) + 10 * CLIENTS
        if turn:  # the first is for warming up
            turns.alone.append(alone.rate)
            turns.whole.append(whole.rate)
            turns.limit.append(rate)
            turns.waits += alone.latencies
    return _figures(turns)


def _figures(turns: _Turns) -> list[Figure]:
    limit = "the limit is the SQL of one placement as the database heard it, under pgbench"
    common = f"{CLIENTS} clients, every commit on the disk; {limit}; median of {len(turns.limit)} turns"
    return [
        Figure(
            name="order placement",
            value=median(turns.alone) / median(turns.limit),
            value_unit="of the limit",
            direction="at least",
            aim=0.5,
            ours=median(turns.alone),
            limit=median(turns.limit),
            unit="orders/s",
            notes=f"one process that answers requests, as pgbench sends nothing else either; p99 "
            f"{load.percentile(turns.waits, 0.99) * 1000:.0f} ms; {common}",
            runs=[one / other for one, other in zip(turns.alone, turns.limit, strict=True)],
        ),
        Figure(
            name="order placement with all that follows",
            value=median(turns.whole),
            value_unit="orders/s",
            direction="at least",
            aim=PEAK,
            ours=median(turns.whole),
            limit=None,
            unit="orders/s",
            notes=f"the same process confirms prices with insurers and hands on events meanwhile; the aim is ten "
            f"times the highest peak known, {PEAK / 10:g} purchases a second; {CLIENTS} clients",
            runs=turns.whole,
        ),
    ]


async def placed(port: int, waiting: Iterator[bytes]) -> load.Load:
    """All of these requests, by as many clients as pgbench has."""
    run = await load.drive(port, sender(waiting), connections=CLIENTS, wanted=201)
    if run.failures:
        raise RuntimeError(f"placing orders: {run.failures[0][:500]!r}")
    return run


async def placed_alone(market: RunningMarketplace, waiting: Iterator[bytes]) -> load.Load:
    """The same by a process that does nothing else, while the marketplace stands still.

    The first requests open its connections to the database, whose time pgbench leaves out of its rate as well.
    """
    port = free_port()
    with stage.process(sys.executable, "-m", "bench.desk", str(port), str(market.home)):
        await stage.answering(port)
        with standing_still(market):
            await placed(port, islice(waiting, WARMING))
            return await placed(port, waiting)


@contextmanager
def standing_still(market: RunningMarketplace) -> Iterator[None]:
    """Our process stops; its database is a process of its own."""
    os.killpg(market.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.killpg(market.pid, signal.SIGCONT)


async def limit_of(market: RunningMarketplace, file: Path, seconds: float, start: int) -> float:
    """Placements a second under pgbench while our process stands still; its database is a process of its own."""
    with standing_still(market):
        rate = await asyncio.to_thread(recorded.pgbench, market, file, clients=CLIENTS, seconds=seconds, start=start)
        for statement in CLEANING:
            await market.rows(statement)
    return rate


async def recording(
    market: RunningMarketplace, http: httpx.AsyncClient, consents: list[Json]
) -> list[recorded.Statement]:
    """Place a few orders while the database logs what it hears."""
    await market.rows("alter role orders set log_statement = 'all'")
    market.stop()
    market.start()
    for sent in list(await requests(http, 2 * PER_QUOTE, consents)):
        left = iter([sent])
        await load.drive(market.port, lambda left=left: next(left, None), connections=1, wanted=201)  # type: ignore[misc]
    found = recorded.placement(market.database.log.read_text(encoding="utf-8", errors="replace"))
    await market.rows("alter role orders reset log_statement")
    market.stop()
    market.start()
    return found


async def requests(http: httpx.AsyncClient, orders: int, consents: list[Json]) -> Iterator[bytes]:
    """So many requests to place an order, each for an offer of its own."""
    created = await asked(http, -(-orders // PER_QUOTE))
    quotes = await asyncio.gather(*(completed(http, each) for each in created))
    sent = []
    for each, quote in zip(created, quotes, strict=True):
        for offer in quote["offers"]:
            body = {"offer_id": offer["id"], "customer": CUSTOMER, "consents": consents}
            headers = {
                "Content-Type": "application/json",
                "Authorization": f"Bearer {each['access_token']}",
                "Idempotency-Key": str(uuid4()),
            }
            sent.append(load.request("POST", "/api/v1/orders", headers=headers, body=json.dumps(body).encode()))
    return iter(sent[:orders])


def sender(waiting: Iterator[bytes]) -> load.NextRequest:
    """One request after the other, whoever asks."""
    return lambda: next(waiting, None)


async def completed(http: httpx.AsyncClient, created: dict[str, str]) -> Json:
    """The quote with all its offers."""
    own = {"Authorization": f"Bearer {created['access_token']}"}
    until = monotonic() + 30
    while True:
        state: Json = (await http.get(f"/api/v1/quotes/{created['id']}", headers=own)).raise_for_status().json()
        if state["status"] == "completed":
            return state
        if monotonic() > until:
            raise TimeoutError(f"quote {created['id']} is still {state['status']}")
        await asyncio.sleep(0.05)


async def settled(market: RunningMarketplace) -> None:
    """Return when every price is confirmed and every event handed on, so that pgbench has the machine to itself."""
    until = monotonic() + 60
    while True:
        ((moving,),) = await market.rows(
            "select (select count(*) from orders.orders where status in ('created', 'confirming_price'))"
            " + (select count(*) from orders.outbox where published_at is null)"
            " + (select count(*) from quotes.outbox where published_at is null)"
        )
        if not moving:
            return
        if monotonic() > until:
            raise TimeoutError(f"{moving} orders and events are still on their way")
        await asyncio.sleep(0.1)


async def consents_of(http: httpx.AsyncClient) -> list[Json]:
    """The consents a quote's product asks for."""
    page = (await http.get("/api/v1/products/osago")).raise_for_status().json()
    return [{"code": each["code"], "version": each["version"]} for each in page["consents"]]
