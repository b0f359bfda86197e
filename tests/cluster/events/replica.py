"""A relay or a consumer as a process of its own, to be killed: ``python -m tests.cluster.events.replica relay …``."""

import asyncio
import signal
import sys

import uvloop

from insuretech.kit.db import Database
from insuretech.kit.kafka import Kafka
from insuretech.kit.logging import configure_logging
from tests.cluster.events.city import City
from tests.service.kit.town import Town


async def main(what: str, url: str, servers: str, topic: str, instance: str) -> None:
    """Run until SIGTERM, then stop in good order."""
    city = City(Town(Database("documents", url, pool_size=4)), Kafka(servers, instance), topic)
    loop = city.relay() if what == "relay" else city.consumers(city.reaction(), instance=instance)
    task = asyncio.create_task(loop.run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        await city.town.database.dispose()


if __name__ == "__main__":
    configure_logging("INFO")
    uvloop.run(main(*sys.argv[1:6]))
