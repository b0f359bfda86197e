"""Projections: true to their source in any order of events, and no burden to it when hot storage is away."""

import asyncio
import random
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insuretech.kit import generations, projections
from insuretech.kit.clock import FixedClock
from insuretech.kit.hot import Entry, Growth, HotAway, HotStore, MemoryHot
from insuretech.kit.projections import Projection, RebuildUnderWay

NOW = datetime(2026, 11, 22, tzinfo=UTC)


class Ledger:
    """A source in memory that counts what it is asked."""

    def __init__(self) -> None:
        self.rows: dict[str, list[bytes]] = {}
        self.loads: list[list[str]] = []
        self.takes = 0.0

    def change(self, name: str) -> Entry:
        """One more version of a name."""
        self.rows.setdefault(name, []).append(f"{name}{len(self.rows.get(name, ()))}\n".encode())
        return self.entry(name)

    def entry(self, name: str) -> Entry:
        return Entry(len(self.rows[name]), b"".join(self.rows[name]))

    async def load(self, names: Collection[str]) -> Mapping[str, Entry]:
        self.loads.append(list(names))
        found = {name: self.entry(name) for name in names if name in self.rows}
        await asyncio.sleep(self.takes)
        return found

    async def changed(self, since: datetime) -> Mapping[str, int]:  # noqa: ARG002 - all of it, whenever
        return {name: len(rows) for name, rows in self.rows.items()}

    async def everything(self) -> AsyncIterator[Sequence[str]]:
        names = list(self.rows)
        for start in range(0, len(names), 3):
            yield names[start : start + 3]
            await asyncio.sleep(0)


class Failing(MemoryHot):
    """Hot storage that can be taken away, with what it held."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False

    def __getattribute__(self, name: str):  # type: ignore[no-untyped-def]
        if name in _CALLS and object.__getattribute__(self, "away"):
            raise HotAway
        return super().__getattribute__(name)


_CALLS = {"get", "get_many", "put", "put_many", "grow", "versions", "state", "set_state", "take_turn"}


def projection(hot: HotStore, ledger: Ledger, *, complete: bool = False) -> Projection:
    """A replica's view of the one projection."""
    return Projection("test.rows", hot, ledger, FixedClock(NOW), ttl=600, complete=complete, doubting=not complete)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generations, "SETTLING", 0.02)


async def test_a_read_comes_from_the_source_once_and_then_from_hot_storage() -> None:
    """Every page view would cost the database a query."""
    ledger, hot = Ledger(), MemoryHot()
    ledger.change("a")
    rows = projection(hot, ledger)
    assert await rows.read("a") == ledger.entry("a")
    await rows.settled()
    assert await rows.read("a") == ledger.entry("a")
    assert await rows.read("unknown") is None
    assert ledger.loads == [["a"], ["unknown"]]


async def test_a_read_that_must_not_be_older_goes_to_the_source() -> None:
    """A buyer would see the order as it was before they paid."""
    ledger, hot = Ledger(), MemoryHot()
    rows = projection(hot, ledger)
    await rows.put({"a": ledger.change("a")})
    newest = ledger.change("a")
    assert (await rows.read("a")) == Entry(1, b"a0\n")
    assert await rows.read("a", at_least=2) == newest


async def test_a_load_that_was_begun_before_is_not_enough_for_who_has_seen_more() -> None:
    """Redis is away, a slow load is under way, the buyer pays, looks, and is shown the order as that load found it."""
    ledger, hot = Ledger(), Failing()
    ledger.change("a")
    ledger.takes = 0.2
    hot.away = True
    rows = projection(hot, ledger)
    others = asyncio.create_task(rows.read("a"))
    await asyncio.sleep(0.05)
    newest = ledger.change("a")
    assert await rows.read("a", at_least=newest.version) == newest
    assert await others == Entry(1, b"a0\n")
    assert await rows.read("a", at_least=99) == newest, "what is not there cannot be shown"


async def test_what_was_announced_is_read_from_the_source_until_it_comes() -> None:
    """A process dies between its commit and its projection, and for seconds a buyer's order is as it was before."""
    ledger, hot = Ledger(), MemoryHot()
    rows = projection(hot, ledger)
    await rows.put({"a": ledger.change("a")})
    await rows.announce("a", 2)
    assert await rows.read("a") == Entry(1, b"a0\n"), "not committed yet; this load must not bring the old one back"
    await rows.settled()
    newest = ledger.change("a")  # and the process dies
    assert (await rows.check(patience=0)).differences == []
    assert await rows.read("a") == newest
    await rows.settled()
    ledger.loads.clear()
    assert await rows.read("a") == newest
    assert ledger.loads == [], "from hot storage again"
    assert (await rows.check(patience=0)).differences == []


async def test_an_announcement_without_a_change_ends_by_itself() -> None:
    """A change that was taken back would send every reader to the database from then on."""
    now = 0.0
    ledger, hot = Ledger(), MemoryHot(clock=lambda: now)
    rows = projection(hot, ledger)
    await rows.put({"a": ledger.change("a")})
    await rows.announce("a", 2)
    now = projections.COMING + 1
    assert await rows.read("a") == ledger.entry("a")
    await rows.settled()
    ledger.loads.clear()
    assert await rows.read("a") == ledger.entry("a")
    assert ledger.loads == []


async def test_after_hot_storage_was_away_reads_come_from_the_source_until_all_is_put_right() -> None:
    """Redis fails over while a buyer pays: the new master still says unpaid, and they pay again."""
    ledger, hot = Ledger(), Failing()
    rows = projection(hot, ledger)
    for name in "ab":
        await rows.put({name: ledger.change(name)})
    hot.away = True
    await rows.announce("a", 2)
    await rows.put({"a": ledger.change("a")})
    ledger.change("b")  # by somebody else, who could not put it either
    hot.away = False
    ledger.loads.clear()
    assert await rows.read("a") == ledger.entry("a")
    assert ledger.loads == [["a"]]
    await hot.take_turn("test.rows", "sweep", "another replica", 600)
    whole = asyncio.Event()
    sweeping = asyncio.create_task(rows.keep_true(every=60, healed=whole.set))
    await asyncio.wait_for(whole.wait(), 5)
    sweeping.cancel()
    ledger.loads.clear()
    for name in "ab":
        assert await rows.read(name) == ledger.entry(name)
    assert ledger.loads == [], "from hot storage again"


async def test_a_sweep_that_had_begun_before_does_not_end_the_doubt() -> None:
    """What was missed while it ran may be what it had already passed."""
    ledger, hot = Ledger(), Failing()
    rows = projection(hot, ledger)
    await rows.put({"a": ledger.change("a")})
    ledger.change("a")
    ledger.takes = 0.3
    sweeping = asyncio.create_task(rows.sweep())
    await asyncio.sleep(0.1)
    hot.away = True
    await rows.put({"b": ledger.change("b")})
    hot.away = False
    await sweeping
    assert rows.in_doubt


async def test_changes_are_stored_while_nothing_can_be_announced() -> None:
    """Redis away would stop all payments."""
    hot = Failing()
    hot.away = True
    await projection(hot, Ledger()).announce("a", 2)


async def test_without_hot_storage_a_crowd_costs_one_load_for_each_name() -> None:
    """When Redis dies at noon, the database would die of all the readers it had been spared."""
    ledger, hot = Ledger(), Failing()
    for name in "abc":
        ledger.change(name)
    ledger.takes = 0.01
    hot.away = True
    rows = projection(hot, ledger)
    found = await asyncio.gather(*(rows.read(name) for _ in range(500) for name in "abc"))
    assert {entry.value for entry in found if entry} == {b"a0\n", b"b0\n", b"c0\n"}
    assert sorted(ledger.loads) == [["a"], ["b"], ["c"]]


async def test_loads_of_many_names_take_turns() -> None:
    """Reads would take all connections, and purchases would wait for one."""
    ledger, hot = Ledger(), Failing()
    hot.away = True
    at_once = most = 0
    plain = ledger.load

    async def counted(names: Collection[str]) -> Mapping[str, Entry]:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        try:
            return await plain(names)
        finally:
            at_once -= 1

    ledger.load = counted  # type: ignore[method-assign]
    ledger.takes = 0.001
    rows = projection(hot, ledger)
    await asyncio.gather(*(rows.read(str(number)) for number in range(40)))
    assert most <= 4


async def test_a_caller_who_hangs_up_does_not_spoil_it_for_others() -> None:
    """One impatient visitor would give everybody else an error."""
    ledger, hot = Ledger(), MemoryHot()
    ledger.change("a")
    ledger.takes = 0.02
    rows = projection(hot, ledger)
    first, second = asyncio.create_task(rows.read("a")), asyncio.create_task(rows.read("a"))
    await asyncio.sleep(0.005)
    first.cancel()
    assert await second == ledger.entry("a")
    assert len(ledger.loads) == 1


@settings(max_examples=100)
@given(st.data())
def test_any_order_and_repetition_of_events_leaves_the_same(data: st.DataObject) -> None:
    """What a buyer sees would depend on which of two replicas was quicker."""
    ledger = Ledger()
    entries = [(name, ledger.change(name)) for name in data.draw(st.lists(st.sampled_from("abc"), max_size=12))]
    puts = [("put", *one) for one in entries]
    growths = [
        ("grow", name, Growth(entry.version - 1, entry.version, ledger.rows[name][entry.version - 1]))
        for name, entry in entries
    ]
    begun = [("put", name, Entry(0, b"")) for name in ledger.rows]
    reads = [("read", name, None) for name in ledger.rows]
    steps = data.draw(st.permutations([*growths, *begun, *reads, *data.draw(st.permutations(puts))]))
    again = data.draw(st.lists(st.sampled_from(steps), max_size=10)) if steps else []

    async def play() -> None:
        hot = MemoryHot()
        rows = projection(hot, ledger)
        for what, name, value in [*steps, *again]:
            if what == "put":
                await rows.put({name: value})  # type: ignore[dict-item]
            elif what == "grow":
                await rows.grow(name, value)  # type: ignore[arg-type]
            else:
                await rows.read(name)
        await rows.settled()
        for name in ledger.rows:
            assert (await rows.read(name)) == ledger.entry(name)
        assert (await rows.check(patience=0)).differences == []

    asyncio.run(play())


async def test_a_sweep_puts_right_what_was_missed_while_hot_storage_was_away() -> None:
    """After an outage people would see states of before it until these end by themselves."""
    ledger, hot = Ledger(), Failing()
    rows = projection(hot, ledger)
    for name in "abc":
        assert await rows.put({name: ledger.change(name)})
    await rows.sweep()
    hot.away = True
    assert not await rows.put({"b": ledger.change("b")})
    with pytest.raises(HotAway):
        await rows.sweep()
    hot.away = False
    assert [one.kind for one in (await rows.check(patience=0)).differences] == ["behind"]
    assert await rows.sweep() == 1
    assert (await rows.check(patience=0)).differences == []
    assert await rows.sweep() == 0


async def test_a_complete_projection_gets_what_it_never_had() -> None:
    """A product would be missing from the pages for as long as nobody changes it."""
    ledger, hot = Ledger(), MemoryHot()
    ledger.change("a")
    rows = projection(hot, ledger, complete=True)
    assert [one.kind for one in (await rows.check(patience=0)).differences] == ["missing"]
    assert await rows.sweep() == 1
    assert (await rows.check(patience=0)).differences == []


async def test_only_one_replica_sweeps() -> None:
    """Ten replicas would ask the database the same ten times over."""
    ledger, hot = Ledger(), MemoryHot()
    ledger.change("a")
    calls = 0
    plain = ledger.changed

    async def counted(since: datetime) -> Mapping[str, int]:
        nonlocal calls
        calls += 1
        return await plain(since)

    ledger.changed = counted  # type: ignore[method-assign]
    loops = [asyncio.create_task(projection(hot, ledger).keep_true(every=0.02)) for _ in range(3)]
    await asyncio.sleep(0.11)
    for loop in loops:
        loop.cancel()
    await asyncio.gather(*loops, return_exceptions=True)
    assert 2 <= calls <= 6


async def test_a_check_names_what_differs() -> None:
    """A projection gone wrong would look like one in good health."""
    ledger, hot = Ledger(), MemoryHot()
    rows = projection(hot, ledger)
    for name in "abcd":
        await rows.put({name: ledger.change(name)})
    await rows.put({"ghost": Entry(1, b"ghost")})
    ledger.change("a")
    await hot.put("{test.rows:b}:1.0", Entry(1, b"other"), 60)
    await hot.put("{test.rows:c}:1.0", Entry(9, b"c"), 60)
    checked = await rows.check(patience=0)
    assert {one.name: one.kind for one in checked.differences} == {
        "a": "behind",
        "b": "differs",
        "c": "ahead",
        "ghost": "unknown to its source",
    }
    assert checked.entries == 5


async def test_reads_and_changes_go_on_during_a_rebuild() -> None:
    """A rebuild would have to wait for the night, or lose what happened meanwhile."""
    ledger, hot = Ledger(), MemoryHot()
    here, there = projection(hot, ledger), projection(hot, ledger)
    for number in range(20):
        await here.put({f"n{number}": ledger.change(f"n{number}")})
    await hot.put("{test.rows:n3}:1.0", Entry(1, b"damaged"), 60)
    chance, stop = random.Random(3), asyncio.Event()

    async def live() -> None:
        while not stop.is_set():
            name = f"n{chance.randrange(20)}"
            await there.put({name: ledger.change(name)})
            found = await there.read(name)
            assert found is not None
            assert found.version >= ledger.entry(name).version - 1
            await asyncio.sleep(0.001)

    living = asyncio.create_task(live())
    assert await here.rebuild() == 20
    stop.set()
    await living
    assert (await here.check(patience=0)).differences == []
    assert (await there.check(patience=0)).differences == []
    assert [key async for keys in hot.keys("test.rows", "1.0") for key in keys] == [], "the old generation is gone"
    assert await there.read("n3") == ledger.entry("n3")


async def test_two_rebuilds_do_not_meet_and_a_dead_one_is_cleared_away() -> None:
    """Two operators at once would leave a projection that nobody fills."""
    ledger, hot = Ledger(), MemoryHot()
    ledger.change("a")
    here, there = projection(hot, ledger), projection(hot, ledger)
    await hot.set_state("test.rows", {"active": "0", "building": "1"})
    await hot.put("{test.rows:left}:1.1", Entry(1, b""), 60)
    one = asyncio.create_task(here.rebuild())
    await asyncio.sleep(0.005)
    with pytest.raises(RebuildUnderWay):
        await there.rebuild()
    assert await one == 1
    assert [key async for keys in hot.keys("test.rows", "1.1") for key in keys] == []
    assert await hot.state("test.rows") == {"active": "2", "building": ""}


async def test_what_was_lost_is_healed_in_portions_however_many_grow_at_once() -> None:
    """Redis that comes back empty would have every process ask the database for every quote that is open."""
    ledger, hot = Ledger(), MemoryHot()
    rows = projection(hot, ledger)
    names = [f"row {number}" for number in range(300)]
    for name in 2 * names:
        ledger.change(name)
    await asyncio.gather(*(rows.grow(name, Growth(1, 2, b"the second\n")) for name in names))
    assert len(ledger.loads) == 2
    assert [await rows.read(name) for name in names] == [ledger.entry(name) for name in names]
    assert len(ledger.loads) == 2, "what was healed is read from hot storage"
