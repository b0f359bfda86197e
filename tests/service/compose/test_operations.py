"""The probes by which a process is watched, against a real PostgreSQL."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
import sqlalchemy as sa
from litestar import Litestar
from sqlalchemy.engine import URL

from insuretech.compose.lifecycle import Phase
from insuretech.compose.loops import Loops
from insuretech.compose.operations import operations_routes
from insuretech.kit.clock import SystemClock
from insuretech.kit.db import Database
from insuretech.kit.http import new_client
from insuretech.kit.keyring import Keyring
from insuretech.kit.live import LiveHub
from insuretech.kit.platform import Background, Platform, Service
from insuretech.kit.settings import Settings

Databases = Callable[[str], Database]


@asynccontextmanager
async def probed(
    database: Databases,
    loops: Loops | None = None,
    *,
    away: URL | None = None,
    phase: Phase | None = None,
    bridged: bool = False,
    patience: float = 0.0,
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application that serves the probes of two services; the second one's database may be away.

    ``bridged``: the second one can do without it.
    """
    second = database("documents") if away is None else Database("documents", away)
    services = [
        Service(name="quotes", database=database("quotes")),
        Service(name="documents", database=second, serves_without_database=bridged),
    ]
    async with new_client() as outgoing:
        platform = Platform(Settings(), SystemClock(), Keyring.generate(), outgoing, LiveHub(), database)
        routes = operations_routes(services, platform, loops.down if loops else tuple, phase=phase, patience=patience)
        app = Litestar(routes, openapi_config=None, logging_config=None)
        transport = httpx.ASGITransport(app)  # type: ignore[arg-type]  # the two name the same protocol differently
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            yield client
    await second.dispose()


async def test_ready_when_everything_answers(database: Databases) -> None:
    """Otherwise a healthy process would get no requests."""
    async with probed(database) as client:
        response = await client.get("/healthz/ready")
    assert (response.status_code, response.json()) == (200, {"status": "ready", "failing": [], "without": []})


async def test_not_ready_names_the_database_that_is_away_while_alive(database: Databases, admin_url: URL) -> None:
    """Otherwise a process without its database takes requests it must fail, or is restarted to no avail."""
    away = admin_url.set(database="nowhere", username="documents")
    async with probed(database, away=away) as client:
        ready = await client.get("/healthz/ready")
        live = await client.get("/healthz/live")
    assert (ready.status_code, ready.json()["status"]) == (503, "not ready")
    assert ready.json()["failing"] == ["database:documents"]
    assert live.status_code == 200


async def test_ready_without_a_database_that_requests_can_do_without(database: Databases, admin_url: URL) -> None:
    """Otherwise product pages held in memory go away together with the database."""
    away = admin_url.set(database="nowhere", username="documents")
    async with probed(database, away=away, bridged=True) as client:
        ready = await client.get("/healthz/ready")
    assert (ready.status_code, ready.json()["without"]) == (200, ["database:documents"])


async def test_a_start_says_what_it_waits_for_and_is_no_reason_to_restart(database: Databases) -> None:
    """Otherwise a process that waits for its database is killed over and over, or gets requests it must fail."""
    phase = Phase("starting", "schema:quotes: no schema yet")
    async with probed(database, phase=phase) as client:
        startup, live = await client.get("/healthz/startup"), await client.get("/healthz/live")
        waiting = await client.get("/healthz/ready")
        phase.begin()
        started, ready = await client.get("/healthz/startup"), await client.get("/healthz/ready")
    assert (startup.status_code, startup.json()["failing"]) == (503, ["schema:quotes: no schema yet"])
    assert (waiting.status_code, waiting.json()["failing"]) == (503, ["schema:quotes: no schema yet"])
    assert [answer.status_code for answer in (live, started, ready)] == [200, 200, 200]


async def test_a_process_that_wishes_to_stop_is_not_ready_and_yet_alive(database: Databases) -> None:
    """Otherwise the load balancer sends it requests until the moment it is gone."""
    phase = Phase()
    phase.drain()
    async with probed(database, phase=phase) as client:
        answers = [await client.get(f"/healthz/{probe}") for probe in ("startup", "live", "ready")]
    assert [answer.status_code for answer in answers] == [200, 200, 404]
    assert answers[2].json()["failing"] == ["draining"]


async def test_not_ready_within_a_second_when_all_connections_are_lent_out(database: Databases) -> None:
    """Otherwise the probe hangs as long as the process does, and the watcher learns nothing."""
    pool = database("quotes")
    held = [await pool.engine.connect() for _ in range(4)]
    try:
        async with probed(database) as client:
            began = time.monotonic()
            response = await client.get("/healthz/ready")
    finally:
        for connection in held:
            await connection.close()
    assert response.json()["failing"] == ["database:quotes"]
    assert time.monotonic() - began < 1.5


async def test_ready_through_a_moment_in_which_the_database_is_slow(database: Databases) -> None:
    """Otherwise one slow second of the database takes all replicas out at once, and nobody is answered at all."""
    pool = database("quotes")
    async with probed(database, patience=2.0) as client:
        before = await client.get("/healthz/ready")
        held = [await pool.engine.connect() for _ in range(4)]
        try:
            busy = await client.get("/healthz/ready")
            await asyncio.sleep(2)
            too_long = await client.get("/healthz/ready")
        finally:
            for connection in held:
                await connection.close()
    assert [answer.status_code for answer in (before, busy, too_long)] == [200, 200, 503]
    assert [answer.json()["without"] for answer in (before, busy, too_long)] == [[], ["database:quotes"], []]


async def test_ready_while_others_use_all_connections_and_get_their_answers(database: Databases) -> None:
    """A replica with much to do would be left for that, and its work with all who repeat it fall upon the next."""
    pool = database("quotes")

    async def at_work() -> None:
        while True:
            async with pool.reading() as connection:
                await connection.execute(sa.text("select pg_sleep(0.2)"))

    workers = [asyncio.create_task(at_work()) for _ in range(40)]
    try:
        async with probed(database, patience=1.0) as client:
            await asyncio.sleep(1.5)
            assert pool.waited() > 0.5, "all connections are lent out, and there is a queue"
            answer = await client.get("/healthz/ready")
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    assert answer.status_code == 200, answer.text


async def test_not_ready_while_a_loop_keeps_failing_and_ready_once_it_holds(database: Databases) -> None:
    """Otherwise paid orders could wait for ever behind a dead timer while everything looks green."""
    mended = asyncio.Event()

    async def timers() -> None:
        if not mended.is_set():
            raise RuntimeError("broken")
        await asyncio.sleep(60)

    loops = Loops(pause=0.02, proof=0.05)
    loops.start([Background("orders.timers", timers)])
    async with probed(database, loops) as client:
        await asyncio.sleep(0.01)
        broken = await client.get("/healthz/ready")
        await asyncio.sleep(0.1)
        still = await client.get("/healthz/ready")
        mended.set()
        await asyncio.sleep(0.15)
        after = await client.get("/healthz/ready")
    await loops.stop()
    assert broken.json()["failing"] == still.json()["failing"] == ["loop:orders.timers"]
    assert after.status_code == 200


async def test_a_loop_that_ends_by_itself_is_begun_again() -> None:
    """Otherwise one clean return would silently stop deliveries until the next restart."""
    runs = 0

    async def relay() -> None:
        nonlocal runs
        runs += 1

    loops = Loops(pause=0.01, proof=0.01)
    loops.start([Background("quotes.relay", relay)])
    await asyncio.sleep(0.1)
    await loops.stop()
    assert runs > 2


async def test_metrics_tell_of_connections(database: Databases) -> None:
    """Otherwise nobody sees a pool running dry before people do."""
    async with database("quotes").engine.connect(), probed(database) as client:
        text = (await client.get("/metrics")).text
    assert 'insuretech_database_connections_in_use{service="quotes"} 1.0' in text
    assert 'insuretech_database_connections_limit{service="quotes"} 4.0' in text
