"""The pages follow the products."""

from collections.abc import Callable

from insuretech.catalogue.commands import ProductDesk
from insuretech.catalogue.ports import Store
from insuretech.catalogue.tables import messaging
from insuretech.contracts.events import ProductPublished, ProductWithdrawn
from insuretech.kit.db import Connection, Database
from insuretech.kit.events import Envelope, Event
from insuretech.kit.messaging import Reaction


def page_reaction(
    database: Database, desk: ProductDesk, store_on: Callable[[Connection], Store], wake: Callable[[], None]
) -> Reaction:
    """Build the pages anew after every change; ``wake`` is called once they stand."""

    async def handle(connection: Connection, _: Event, __: Envelope) -> None:
        await desk.build_pages_in(store_on(connection))

    return Reaction(
        consumer="catalogue.pages",
        events=(ProductPublished, ProductWithdrawn),
        database=database,
        tables=messaging,
        handle=handle,
        after_commit=lambda _: wake(),
    )
