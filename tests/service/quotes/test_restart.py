"""Crashes in the middle, on a real database: everyone ends, nobody is asked twice for the same thing."""

import asyncio
from datetime import timedelta

import sqlalchemy as sa

from insuretech.contracts.insurers import Declined
from insuretech.quotes.engine import EngineSettings
from insuretech.quotes.tables import engines, lines
from tests.service.quotes.conftest import MakeWorld
from tests.service.quotes.world import QUICK, World
from tests.unit.quotes.scripted import HANG, ScriptedDirectory, ScriptedInsurer
from tests.unit.quotes.specimens import offered

FAR = timedelta(days=3650)


class TakesItDownFirst(ScriptedInsurer):
    """An insurer that has the request on its books before it thinks about it, as real ones do."""

    async def _play(self, taken: object) -> None:
        if taken is not None:
            self.known.setdefault(taken, self.pending)  # type: ignore[arg-type]
        await super()._play(taken)  # type: ignore[arg-type]


def crash(world: World) -> None:
    """End everything a process does as SIGKILL would: nothing is handed back."""
    own = {*world._tasks}
    for task in asyncio.all_tasks():
        name = getattr(task.get_coro(), "__qualname__", "")
        if task in own or name.startswith("Engine."):
            task.get_loop().call_soon(task.cancel)
    world.quotes.service.background[0].run.__self__._transaction = _no_database  # type: ignore[attr-defined]


def _no_database() -> None:
    raise ConnectionError("this process is dead")


async def test_nobody_is_asked_twice_after_a_crash(make_world: MakeWorld) -> None:
    """Every crash in the middle would have insurers calculate again what they are already calculating."""
    shared = ScriptedDirectory(
        quick=TakesItDownFirst(offered("5000.00", ttl=FAR)),
        slow=TakesItDownFirst(offered("5100.00", ttl=FAR), delay=0.6),
        thinking=TakesItDownFirst(offered("5200.00", ttl=FAR), pending=60, retry_after=0.02),
        refusing=TakesItDownFirst(Declined(reason="нет"), delay=0.5),
    )
    first: World = make_world(shared)
    await first.sell()
    created = [(await first.submit()).json() for _ in range(5)]
    await asyncio.sleep(0.35)
    crash(first)
    second: World = make_world(shared)
    states = [await second.completed(one) for one in created]
    for state in states:
        outcomes = {line["code"]: line["outcome"] for line in state["insurers"]}
        assert outcomes == {"quick": "offered", "slow": "offered", "thinking": "offered", "refusing": "declined"}
        assert len(state["offers"]) == 3
    for insurer in shared.insurers.values():
        assert set(insurer.requests.values()) == {1}
        assert len(insurer.requests) == 5


async def test_what_was_never_begun_is_begun_by_another(make_world: MakeWorld) -> None:
    """Quotes accepted in the last moment before a crash would wait for ever."""
    shared = ScriptedDirectory(one=ScriptedInsurer(offered(ttl=FAR)))
    first: World = make_world(shared, engine=EngineSettings(room=0))
    await first.sell()
    created = (await first.submit()).json()
    assert (await first.show(created))["insurers"][0]["outcome"] == "queued"
    second: World = make_world(shared)
    assert (await second.completed(created))["insurers"][0]["outcome"] == "offered"


async def test_deadlines_survive_a_restart(make_world: MakeWorld) -> None:
    """A hanging insurer would get a whole new time limit at each restart."""
    shared = ScriptedDirectory(3.0, hanging=ScriptedInsurer(offered(), script=[HANG, HANG]))
    first: World = make_world(shared)
    await first.sell()
    began = asyncio.get_running_loop().time()
    created = (await first.submit()).json()
    await asyncio.sleep(1.5)
    await first.stop()
    second: World = make_world(shared)
    state = await second.completed(created)
    assert state["insurers"][0]["outcome"] == "timed_out"
    assert asyncio.get_running_loop().time() - began < 4.3


async def test_replicas_share_the_work_and_never_a_line(make_world: MakeWorld) -> None:
    """Two replicas would both ask for the same line, or a stopped one keep its lines."""
    shared = ScriptedDirectory(
        one=TakesItDownFirst(offered(ttl=FAR), delay=0.1),
        two=TakesItDownFirst(offered("6000.00", ttl=FAR), pending=5, retry_after=0.05),
    )
    idle = EngineSettings(room=0)
    accepting: World = make_world(shared, engine=idle)
    await accepting.sell()
    created = [(await accepting.submit()).json() for _ in range(12)]
    workers = [make_world(shared, engine=EngineSettings(every=0.02, lease=0.4, claim=3, patience=QUICK.patience))]
    workers += [make_world(shared, engine=EngineSettings(every=0.02, lease=0.4, claim=3, patience=QUICK.patience))]
    await asyncio.sleep(0.25)
    await workers[0].stop()
    for one in created:
        assert (await accepting.completed(one))["status"] == "completed"
    for insurer in shared.insurers.values():
        assert set(insurer.requests.values()) == {1}
        assert len(insurer.requests) == 12
    assert await accepting.rows(sa.select(lines.c.id).where(lines.c.status.in_(("queued", "sent", "pending")))) == []


async def test_a_stopped_process_leaves_no_trace_among_engines(make_world: MakeWorld) -> None:
    """The table of engines would grow with every deployment."""
    world: World = make_world(one=ScriptedInsurer(offered(ttl=FAR)))
    await asyncio.sleep(0.2)
    assert len(await world.rows(sa.select(engines.c.id))) == 1
    await world.stop()
    assert await world.rows(sa.select(engines.c.id)) == []
