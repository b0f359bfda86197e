"""Closes October in a process of its own that may be killed: ``python closing_process.py DATABASE HOME``."""

import asyncio
import sys
from pathlib import Path

from sqlalchemy.engine import make_url

from insuretech.kit.db import Database
from insuretech.kit.http import new_client
from tests.service.settlement.world import AFTER_OCTOBER, OCTOBER, World


async def _close(address: str, home: Path) -> None:
    database = Database("settlement", make_url(address), pool_size=2)
    async with new_client() as http:
        world = World(database, home, http)
        world.clock.at = AFTER_OCTOBER
        sys.stdout.write("closing\n")
        sys.stdout.flush()
        await world.settlement.bookkeeping.close("bystra", OCTOBER)
        sys.stdout.write("closed\n")
        sys.stdout.flush()
    await database.dispose()


if __name__ == "__main__":
    asyncio.run(_close(sys.argv[1], Path(sys.argv[2])))
