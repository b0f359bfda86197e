"""What every hot storage has to do; run against the one in memory and against a real Redis Cluster."""

import random
from collections.abc import Sequence

from insuretech.kit.hot import Entry, Growth, HotStore, entry_key, name_in

PROJECTION = "kit.contract"


def key(name: str, generation: str = "1.0") -> str:
    """Where an entry of the contract's own projection lies."""
    return entry_key(PROJECTION, name, generation)


async def newer_entries_win(hot: HotStore) -> None:
    """An old state that arrives late would be shown for hours."""
    assert await hot.get(key("a")) is None
    assert await hot.put(key("a"), Entry(3, b"three"), 60)
    assert not await hot.put(key("a"), Entry(2, b"two"), 60)
    assert await hot.get(key("a")) == Entry(3, b"three")
    assert await hot.put(key("a"), Entry(3, b"three"), 60), "a repetition changes nothing and is no failure"
    assert await hot.put(key("a"), Entry(10, b"\x00ten\xff"), 60)
    assert await hot.get(key("a")) == Entry(10, b"\x00ten\xff")
    await hot.drop([key("a"), key("nothing")])
    assert await hot.get(key("a")) is None


async def many_are_put_and_got_at_once(hot: HotStore) -> None:
    """A rebuild or a sweep of thousands would take minutes, or mix their values up."""
    names = [f"n{number}" for number in range(450)]
    await hot.put(key("n7"), Entry(100, b"newer"), 60)
    await hot.put_many({key(name): Entry(5, name.encode()) for name in names}, 60)
    found = await hot.get_many([key(name) for name in [*names, "unknown"]])
    expected = {name: Entry(5, name.encode()) for name in names} | {"n7": Entry(100, b"newer")}
    assert found == [*(expected[name] for name in names), None]
    assert await hot.versions([key("n7"), key("n8"), key("unknown")]) == [100, 5, None]
    held = [name_in(each) async for keys in hot.keys(PROJECTION, "1.0") for each in keys]
    assert set(names) <= set(held)
    await hot.put(key("n8", "1.1"), Entry(1, b"other generation"), 60)
    assert [name_in(each) async for keys in hot.keys(PROJECTION, "1.1") for each in keys] == ["n8"]
    await hot.drop([key(name) for name in names])
    await hot.drop([key("n8", "1.1")])


async def entries_grow_in_order(hot: HotStore) -> None:
    """A live stream would miss offers, or tell some twice."""
    assert not await hot.grow(key("g"), Growth(0, 1, b"1"), 60), "there is nothing yet to append to"
    assert await hot.put(key("g"), Entry(0, b"owner\n"), 60)
    assert await hot.grow(key("g"), Growth(0, 2, b"1\n2\n"), 60)
    assert await hot.grow(key("g"), Growth(0, 2, b"1\n2\n"), 60), "a repetition is no failure"
    assert not await hot.grow(key("g"), Growth(4, 5, b"5\n"), 60), "what is missing has to be got elsewhere"
    assert await hot.get(key("g")) == Entry(2, b"owner\n1\n2\n")
    assert await hot.grow(key("g"), Growth(2, 3, b"3\n"), 60)
    assert await hot.get(key("g")) == Entry(3, b"owner\n1\n2\n3\n")
    await hot.drop([key("g")])


async def any_order_leaves_the_same(hot: HotStore, orders: Sequence[Sequence[int]]) -> None:
    """What people see would depend on which of two processes was quicker."""
    for number, versions in enumerate(orders):
        name = f"o{number}"
        for version in versions:
            await hot.put(key(name), Entry(version, b"v%d" % version), 60)
        assert await hot.get(key(name)) == Entry(max(versions), b"v%d" % max(versions))
    await hot.drop([key(f"o{number}") for number in range(len(orders))])


def shuffled_orders(count: int = 30) -> list[list[int]]:
    """Versions in random orders with repetitions."""
    chance = random.Random(7)
    return [chance.choices(range(1, 12), k=20) for _ in range(count)]


async def states_and_turns(hot: HotStore) -> None:
    """Every replica would sweep at once, or readers would look into a generation that is gone."""
    assert await hot.state(PROJECTION) == {}
    await hot.set_state(PROJECTION, {"active": "1", "building": ""})
    await hot.set_state(PROJECTION, {"active": "2"})
    assert await hot.state(PROJECTION) == {"active": "2", "building": ""}
    assert await hot.take_turn(PROJECTION, "sweep", "one", 30)
    assert not await hot.take_turn(PROJECTION, "sweep", "two", 30)
    assert await hot.take_turn(PROJECTION, "sweep", "one", 0.001)
