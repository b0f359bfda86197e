"""Live messages reach those who listen, and tell those who fall behind."""

import asyncio

import pytest

from insuretech.kit.live import CLOSED, LAGGED, LiveHub


async def test_listeners_of_a_channel_get_its_messages_in_order() -> None:
    """Otherwise offers appear on somebody else's page, or not at all."""
    hub = LiveHub()
    with hub.subscribe("quote:1") as one, hub.subscribe("quote:1") as two, hub.subscribe("quote:2") as other:
        hub.publish("quote:1", "a")
        hub.publish("quote:1", "b")
        assert [await one.next(1), await one.next(1)] == ["a", "b"]
        assert [await two.next(1), await two.next(1)] == ["a", "b"]
        assert await other.next(0.01) is None


async def test_a_message_wakes_a_listener_that_waits() -> None:
    """Otherwise an offer would be seen only when the wait is over."""
    hub = LiveHub()
    with hub.subscribe("quote:1") as one:
        waiting = asyncio.create_task(one.next(30))
        await asyncio.sleep(0)
        hub.publish("quote:1", "a")
        assert await asyncio.wait_for(waiting, 20) == "a"


async def test_who_falls_behind_is_told_once_and_goes_on() -> None:
    """Otherwise a slow phone silently misses offers, or its queue fills the memory."""
    hub = LiveHub(queue_size=3)
    with hub.subscribe("quote:1") as slow:
        for number in range(5):
            hub.publish("quote:1", number)
        assert await slow.next(1) is LAGGED
        assert await slow.next(0.01) is None, "what is left of the gap must not be taken for the whole"
        hub.publish("quote:1", "later")
        assert await slow.next(1) == "later"


@pytest.mark.parametrize("full", [False, True])
async def test_closing_tells_everyone_also_those_who_lag(full: bool) -> None:
    """Otherwise a stop waits for streams that never end."""
    hub = LiveHub(queue_size=2)
    with hub.subscribe("quote:1") as one:
        for number in range(5 if full else 0):
            hub.publish("quote:1", number)
        waiting = asyncio.create_task(one.next(30)) if not full else None
        await asyncio.sleep(0)
        hub.close()
        if waiting is not None:
            assert await asyncio.wait_for(waiting, 20) is CLOSED
        assert await one.next(30) is CLOSED
        assert await one.next(30) is CLOSED


async def test_who_comes_after_the_close_is_told_at_once() -> None:
    """Otherwise a page opened during a stop holds the process up until it is killed."""
    hub = LiveHub()
    hub.close()
    with hub.subscribe("quote:1") as late:
        assert await asyncio.wait_for(late.next(30), 20) is CLOSED


async def test_what_nobody_listens_to_costs_nothing() -> None:
    """Otherwise every quote ever asked for stays in memory."""
    hub = LiveHub()
    hub.publish("quote:1", "unheard")
    with hub.subscribe("quote:1") as one:
        assert hub.listeners() == 1
        assert await one.next(0.01) is None
    assert hub.listeners() == 0
    assert not hub._channels


async def test_a_listener_that_breaks_off_is_forgotten() -> None:
    """Otherwise closed browser windows go on collecting messages."""
    hub = LiveHub()

    def listen_and_break() -> None:
        with hub.subscribe("quote:1"):
            raise ConnectionError

    with pytest.raises(ConnectionError):
        listen_and_break()
    assert hub.listeners() == 0


async def test_listeners_may_leave_and_come_while_a_message_goes_out() -> None:
    """Otherwise one closing page makes the message fail for all the others."""
    hub = LiveHub()
    with hub.subscribe("quote:1") as staying:
        for number in range(50):
            with hub.subscribe("quote:1"):
                hub.publish("quote:1", number)
            assert await staying.next(1) == number
