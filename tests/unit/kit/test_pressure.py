"""How a process notices that it cannot keep up."""

import asyncio
import time
from contextlib import suppress

from insuretech.kit.pressure import Pressure


async def test_a_loop_that_is_held_up_again_and_again_is_under_pressure_until_it_is_not() -> None:
    """Otherwise a process that cannot keep up goes on to take what it will never finish, or refuses for ever."""
    pressure = Pressure(late=0.15)
    running = asyncio.create_task(pressure.run())
    try:
        await asyncio.sleep(0.25)
        await _low(pressure)
        for _ in range(4):
            time.sleep(0.4)  # noqa: ASYNC251 - this is what a busy processor looks like
            await asyncio.sleep(0.02)
        assert pressure.is_high()
        await _low(pressure)
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def test_a_queue_for_the_database_is_pressure_although_the_loop_has_nothing_to_do() -> None:
    """Callers would wait for a connection until they hang up, and every repeat would stand behind them."""
    waited = 5.0
    pressure = Pressure(queued=0.2, waited=lambda: waited)
    running = asyncio.create_task(pressure.run())
    try:
        async with asyncio.timeout(5):
            while not pressure.is_high():  # noqa: ASYNC110 - a measurement sets no event
                await asyncio.sleep(0.05)
        waited = 0.0
        async with asyncio.timeout(5):
            while pressure.is_high():  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


def test_one_long_wait_for_a_connection_is_no_pressure() -> None:
    """As after the database was away for a moment; people would be sent away when all is well again."""
    pressure = Pressure()
    pressure.note(0, 60)
    assert not pressure.is_high()


async def _low(pressure: Pressure) -> None:
    """Return when there is none; the machine may have other things to do, but not for ever."""
    async with asyncio.timeout(60):
        while pressure.is_high():  # noqa: ASYNC110 - a measurement sets no event
            await asyncio.sleep(0.05)
