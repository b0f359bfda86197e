"""Projections in a real Redis Cluster: read from their source while Redis is away, and true to it soon after."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import msgspec
import pytest
from sqlalchemy.engine import URL

from cluster.part import RunningRedis
from insuretech.cli import session
from insuretech.cli.main import main
from insuretech.kit.hot import Entry
from insuretech.kit.projections import Projection
from insuretech.kit.redis_hot import RedisHot
from insuretech.kit.redis_nodes import LIMIT, RedisNodes, addresses_of
from tests.system.running import strain
from tests.unit.kit.test_projections import Ledger, projection

NAMES = [f"row-{number}" for number in range(60)]


@pytest.fixture
async def hot(redis_cluster: RunningRedis) -> AsyncIterator[RedisHot]:
    """A replica's hot storage."""
    opened = RedisHot(RedisNodes(addresses_of(redis_cluster.nodes)))
    yield opened
    await opened.aclose()


@pytest.mark.parametrize("fault", ["kill one", "freeze one", "kill all", "freeze all"])
async def test_reads_go_on_through_a_fault_and_entries_are_true_after_it(
    redis_cluster: RunningRedis, hot: RedisHot, fault: str
) -> None:
    """Redis away would mean slow pages, then wrong ones."""
    ledger = Ledger()
    rows = projection(hot, ledger)
    await rows.put({name: ledger.change(name) for name in NAMES})
    await rows.sweep()
    sweeping = asyncio.create_task(rows.keep_true(every=0.5))
    what, how_many = fault.split()
    victims = redis_cluster.names if how_many == "all" else redis_cluster.masters()[:1]
    for victim in victims:
        getattr(redis_cluster, what)(victim)
    try:
        ledger.loads.clear()
        slowest, readings = 0.0, 0
        until = perf_counter() + 3
        while perf_counter() < until:
            name = NAMES[readings % len(NAMES)]
            newest = ledger.change(name)
            put = asyncio.create_task(rows.put({name: newest}))
            began = perf_counter()
            found = await asyncio.gather(*(rows.read(name) for _ in range(20)))
            slowest = max(slowest, perf_counter() - began)
            assert {entry.version for entry in found if entry} <= {newest.version - 1, newest.version}
            await put
            readings += 1
        assert slowest < 4 * LIMIT * strain()
        assert len(ledger.loads) < 6 * readings, "a crowd loads once, whatever becomes of Redis"
    finally:
        redis_cluster.heal()
    began = perf_counter()
    while (await checked(rows)) != []:
        assert perf_counter() - began < 10 * strain(), "entries are not true ten seconds after Redis is back"
        await asyncio.sleep(0.25)
    for name in NAMES:
        assert await rows.read(name) == ledger.entry(name)
    sweeping.cancel()
    await asyncio.gather(sweeping, return_exceptions=True)
    async for keys in hot.keys("test.rows", "1.0"):
        await hot.drop(keys)


async def checked(rows: Projection) -> list[object]:
    """What a check finds at this moment, and itself while Redis is not back."""
    try:
        return list((await rows.check(patience=0)).differences)
    except Exception as error:  # noqa: BLE001 - whatever it is, it has to pass
        return [error]


@pytest.fixture
def insuretech(
    admin_url: URL,
    redis_cluster: RunningRedis,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., tuple[int, Any]]:
    """Runs ``insuretech`` on the test's database and Redis; gives its code and the document it printed."""
    address = admin_url.set(drivername="postgresql").render_as_string(hide_password=False)
    monkeypatch.setattr(session, "configure_logging", lambda _: None)
    for name, value in {
        "DATABASE_URL": address,
        "INSURETECH_HOME": str(tmp_path),
        "INSURETECH_REDIS": redis_cluster.nodes,
    }.items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str) -> tuple[int, Any]:
        monkeypatch.setattr(sys, "argv", ["insuretech", *arguments, "--json"])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr().out
        return int(ended.value.code or 0), msgspec.json.decode(said) if said else None

    return run


def test_commands_rebuild_and_check(redis_cluster: RunningRedis, insuretech: Callable[..., tuple[int, Any]]) -> None:
    """After an accident nobody could say whether people see what is true, nor put it right."""
    asyncio.run(emptied(redis_cluster))
    assert insuretech("products", "load")[0] == 0
    code, rebuilt = insuretech("projections", "rebuild", "catalogue.pages")
    stored, ready = (row["entries"] for row in rebuilt)
    assert (code, ready) == (0, stored + 1), "every page and the index"
    code, found = insuretech("projections", "check", "--patience", "0")
    assert (code, [one["differences"] for one in found]) == (0, [[], [], []])
    listed = {row["projection"]: row for row in insuretech("projections", "list")[1] if row["lies"] == "in Redis"}
    assert set(listed) == {"catalogue.pages", "quotes.offers", "orders.order"}
    generation = listed["catalogue.pages"]["generation"]
    asyncio.run(damage(redis_cluster, f"{{catalogue.pages:products/osago}}:{generation}"))
    code, found = insuretech("projections", "check", "catalogue.pages", "--patience", "0")
    assert code == 1
    assert [(one["name"], one["kind"]) for one in found[0]["differences"]] == [("products/osago", "ahead")]
    insuretech("projections", "rebuild", "catalogue.pages")
    assert insuretech("projections", "check", "catalogue.pages", "--patience", "0")[0] == 0
    assert insuretech("projections", "check", "catalogue.leaves")[0] == 2


async def emptied(redis_cluster: RunningRedis) -> None:
    """Remove what other tests have left of projections; their databases are gone."""
    hot = RedisHot(RedisNodes(addresses_of(redis_cluster.nodes)))
    for name, generation in (("quotes.offers", "1.0"), ("orders.order", "1.0"), ("catalogue.pages", "1.0")):
        async for keys in hot.keys(name, generation):
            await hot.drop(keys)
    await hot.aclose()


async def damage(redis_cluster: RunningRedis, key: str) -> None:
    """Put something wrong behind the marketplace's back."""
    hot = RedisHot(RedisNodes(addresses_of(redis_cluster.nodes)))
    assert await hot.put(key, Entry(10**12, b"wrong"), 600)
    await hot.aclose()
