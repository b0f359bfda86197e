"""Reads from projections in a real Redis Cluster, against a bare handler that does one Redis GET, by turns."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import monotonic

import httpx

from bench import load, stage
from bench.placing import consents_of, requests
from bench.quoting import control, insurers_file
from bench.report import Figure
from cluster import parts
from cluster.part import RunningRedis, run_redis
from insuretech.kit.hot import HotAway
from insuretech.kit.redis_nodes import RedisNodes, addresses_of
from tests.ports import free_port
from tests.system.running import RunningMarketplace

CONNECTIONS = 32
PAGE = "/api/v1/products/osago"


async def measure(seconds: float, rounds: int) -> list[Figure]:
    """A product page, which a process keeps for a second, and an order's state, which it asks for each time."""
    with redis_cluster() as redis, stage.quick_insurers() as port, insurers_file(port) as settings:
        await stage.answering(port)
        settings["INSURETECH_REDIS"] = redis.nodes
        with stage.on_cores(stage.SERVER_CORES), stage.marketplace(settings) as market:
            async with stage.client(market.base_url) as http:
                http.headers["Accept-Encoding"] = "identity"
                await control(port, http)
                page = load.request("GET", PAGE)
                order = await an_order(http, market)
                return [
                    await _compare("product page from the projection", market, page, redis, seconds, rounds, aim=0.7),
                    await _compare("order state from the projection", market, order, redis, seconds, rounds, aim=0.35),
                ]


@contextmanager
def redis_cluster() -> Iterator[RunningRedis]:
    """Six nodes for as long as the block lasts."""
    with TemporaryDirectory(prefix="insuretech-bench-") as folder, run_redis(parts.find(), Path(folder)) as redis:
        yield redis


async def an_order(http: httpx.AsyncClient, market: RunningMarketplace) -> bytes:
    """A request for the state of an order that is at rest, waiting to be paid."""
    (sent,) = await requests(http, 1, await consents_of(http))
    head, _, body = sent.partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    placed = await http.post("/api/v1/orders", content=body, headers=headers)
    order_id = placed.raise_for_status().json()["id"]
    own = {"Authorization": headers["Authorization"]}
    until = monotonic() + 30
    while True:
        state = (await http.get(f"/api/v1/orders/{order_id}", headers=own)).raise_for_status().json()
        if state["status"] == "awaiting_payment":
            break
        if monotonic() > until:
            raise TimeoutError(f"the order is still {state['status']} at {market.base_url}")
        await asyncio.sleep(0.1)
    return load.request("GET", f"/api/v1/orders/{order_id}", headers=own)


async def _compare(
    name: str, market: RunningMarketplace, asked: bytes, redis: RunningRedis, seconds: float, rounds: int, *, aim: float
) -> Figure:
    """Ours, bare, ours, bare …; the median of each."""
    body = await answer_to(market.port, asked)
    async with bare(redis, body) as port:
        sides = {"ours": (market.port, asked), "bare": (port, load.request("GET", "/"))}
        rates: dict[str, list[float]] = {"ours": [], "bare": []}
        with stage.on_cores(stage.LOAD_CORES):
            for turn in range(rounds + 1):
                for side, (where, request) in sides.items():
                    run = await load.steady(where, request, connections=CONNECTIONS, seconds=seconds)
                    assert not run.failures, run.failures[0][:500]
                    if turn:  # the first is for warming up
                        rates[side].append(run.rate)
    return Figure(
        name=name,
        value=median(rates["ours"]) / median(rates["bare"]),
        value_unit="of the limit",
        direction="at least",
        aim=aim,
        ours=median(rates["ours"]),
        limit=median(rates["bare"]),
        unit="requests/s",
        notes=f"{len(body):,} bytes; {CONNECTIONS} connections, server on one core, load and Redis on others; the "
        f"limit is a Litestar handler that does one GET of as many bytes with redis-py; median of {rounds} turns",
        runs=[ours / limit for ours, limit in zip(rates["ours"], rates["bare"], strict=True)],
    )


@asynccontextmanager
async def bare(redis: RunningRedis, body: bytes) -> AsyncIterator[int]:
    """The limit on a free port, with these bytes to get."""
    key, port = "{bench}", free_port()
    nodes = RedisNodes(addresses_of(redis.nodes))
    try:
        await nodes.ask(key, "SET", key, body)
        owner = await nodes.owner_of(key)
    except HotAway as error:
        raise RuntimeError("the Redis cluster of the measurement does not answer") from error
    finally:
        await nodes.aclose()
    with stage.process(sys.executable, "-m", "bench.bare_redis", str(port), str(owner[1]), key):
        await stage.answering(port)
        yield port


async def answer_to(port: int, asked: bytes) -> bytes:
    """The body of one answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(asked)
        head = await reader.readuntil(b"\r\n\r\n")
        got = head + await reader.read(1)
        length = load.length_of(got)
        body = got[len(head) :] + await reader.readexactly(length - len(got))
    finally:
        writer.close()
    assert head.startswith(b"HTTP/1.1 200"), head
    json.loads(body)
    return body
