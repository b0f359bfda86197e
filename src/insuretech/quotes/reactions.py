"""What quotes do when the catalogue changes a product and when orders use an offer."""

from collections.abc import Callable

from insuretech.contracts.events import OrderClosed, OrderPlaced, PolicyIssued, ProductPublished, ProductWithdrawn
from insuretech.kit.clock import Clock
from insuretech.kit.db import Connection, Database
from insuretech.kit.events import Envelope
from insuretech.kit.messaging import MessagingTables, Reaction
from insuretech.quotes.commands import consume_offer, release_offer, reserve_offer
from insuretech.quotes.ports import Store


class QuoteReactions:
    """The handlers; ``store`` opens the store on the connection of a reaction."""

    def __init__(self, store: Callable[[Connection], Store], clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def on_product(
        self, connection: Connection, event: ProductPublished | ProductWithdrawn, envelope: Envelope
    ) -> None:
        store = self._store(connection)
        if isinstance(event, ProductPublished):
            await store.put_product(event.definition, envelope.occurred_at)
        else:
            await store.withdraw_product(event.code)

    async def on_order(
        self, connection: Connection, event: OrderPlaced | OrderClosed | PolicyIssued, envelope: Envelope
    ) -> None:
        store = self._store(connection)
        match event:
            case OrderPlaced():
                await reserve_offer(store, event.offer_id, event.order_id, envelope.occurred_at)
            case OrderClosed():
                now = self._clock.now()
                await release_offer(store, event.offer_id, event.order_id, envelope.occurred_at, now)
            case PolicyIssued():
                await consume_offer(store, event.offer_id, event.order_id)

    def all(self, database: Database, tables: MessagingTables) -> tuple[Reaction, ...]:
        """Both consumers, as the relay wants them."""
        return (
            Reaction("quotes.products", (ProductPublished, ProductWithdrawn), database, tables, self.on_product),
            Reaction("quotes.offers", (OrderPlaced, OrderClosed, PolicyIssued), database, tables, self.on_order),
        )
