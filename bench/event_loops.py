"""The relay of quotes or the consumers of orders, alone in a process: ``python -m bench.event_loops relay …``."""

import asyncio
import signal
import sys
from dataclasses import replace
from pathlib import Path
from time import time

import uvloop

from insuretech.contracts.events import EVENTS, OfferReceived
from insuretech.kit.db import Database
from insuretech.kit.events import Event
from insuretech.kit.kafka import Kafka
from insuretech.kit.kafka_consumer import KafkaConsumers
from insuretech.kit.kafka_relay import KafkaRelay
from insuretech.kit.logging import configure_logging
from insuretech.kit.messaging import Reaction
from insuretech.orders.reactions import OrderReactions
from insuretech.orders.repository import OrderStore, TermsCache
from insuretech.orders.tables import messaging as orders_messaging
from insuretech.quotes.tables import messaging as quotes_messaging


def reactions(database: Database, heard: Path) -> list[Reaction]:
    """Those of orders on offers, noting when each effect stands."""
    notes = heard.open("a", encoding="ascii", buffering=1)

    def note(event: Event) -> None:
        if isinstance(event, OfferReceived):
            notes.write(f"{event.offer_id} {time()}\n")

    terms = TermsCache()
    handlers = OrderReactions(lambda connection: OrderStore(connection, terms), follow=lambda _: None)
    return [replace(one, after_commit=note) for one in handlers.all(database, orders_messaging)]


async def main(what: str, address: str, servers: str, heard: str) -> None:
    """Run until ended."""
    kafka = Kafka(servers)
    if what == "relay":
        loop = asyncio.create_task(KafkaRelay(Database("quotes", address), quotes_messaging, kafka).run())
    else:
        mine = reactions(Database("orders", address), Path(heard))
        loop = asyncio.create_task(KafkaConsumers("orders", mine, kafka, known=frozenset(EVENTS)).run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, loop.cancel)
    await loop


if __name__ == "__main__":
    configure_logging("ERROR")
    uvloop.run(main(*sys.argv[1:5]))
