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
        assert not pressure.is_high()
        for _ in range(4):
            time.sleep(0.4)  # noqa: ASYNC251 - this is what a busy processor looks like
            await asyncio.sleep(0.02)
        assert pressure.is_high()
        async with asyncio.timeout(5):
            while pressure.is_high():  # noqa: ASYNC110 - a measurement sets no event
                await asyncio.sleep(0.05)
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
