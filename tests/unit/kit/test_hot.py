"""Hot storage in memory keeps to the contract of every hot storage, and stays within its bounds."""

from collections.abc import Awaitable, Callable

import pytest

from insuretech.kit.hot import Entry, HotStore, MemoryHot
from tests.unit.kit import hot_contract


@pytest.mark.parametrize(
    "promise",
    [
        hot_contract.newer_entries_win,
        hot_contract.many_are_put_and_got_at_once,
        hot_contract.entries_grow_in_order,
        hot_contract.states_and_turns,
    ],
)
async def test_the_contract(promise: Callable[[HotStore], Awaitable[None]]) -> None:
    """On one machine people would see other things than on many."""
    await promise(MemoryHot())


async def test_any_order_leaves_the_same() -> None:
    """What people see would depend on which of two tasks was quicker."""
    await hot_contract.any_order_leaves_the_same(MemoryHot(), hot_contract.shuffled_orders())


async def test_entries_end_and_turns_pass() -> None:
    """A state nobody keeps true any more would be shown for ever; a sweep would end with the replica that did it."""
    now = 0.0
    hot = MemoryHot(clock=lambda: now)
    await hot.put("a", Entry(1, b""), 10)
    assert await hot.take_turn("p", "sweep", "one", 10)
    now = 9.9
    assert await hot.get("a") is not None
    assert not await hot.take_turn("p", "sweep", "two", 10)
    now = 10.0
    assert await hot.get("a") is None
    assert await hot.take_turn("p", "sweep", "two", 10)


async def test_memory_is_bounded() -> None:
    """A week of orders would fill the machine."""
    hot = MemoryHot(most=3)
    for name in "abc":
        await hot.put(name, Entry(1, b""), 10)
    await hot.get("a")
    await hot.put("d", Entry(1, b""), 10)
    assert [await hot.get(name) is not None for name in "abcd"] == [True, False, True, True]
