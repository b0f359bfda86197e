"""What orders do when others publish something: keep copies of offers and products, learn of printed documents."""

from collections.abc import Callable, Sequence
from uuid import UUID

from insuretech.contracts.events import DocumentReady, OfferReceived, ProductPublished
from insuretech.kit.db import Connection, Database
from insuretech.kit.events import Envelope, Event
from insuretech.kit.messaging import MessagingTables, Reaction
from insuretech.orders.ports import ProductTerms, Store


class PolicyNotHeardOf(Exception):
    """A document speaks of a policy we do not have; it becomes a dead letter with this reason."""


class OrderReactions:
    """The handlers; ``store`` opens the store on the connection of a reaction, ``follow`` hears of printed orders."""

    def __init__(self, store: Callable[[Connection], Store], follow: Callable[[UUID], None]) -> None:
        self._store = store
        self._follow = follow

    async def on_offer(self, connection: Connection, event: OfferReceived, _: Envelope) -> None:
        await self.on_offers(connection, [event])

    async def on_offers(self, connection: Connection, events: Sequence[OfferReceived]) -> None:
        """What an insurer's answer to a quote costs us most often: all that arrive together in one statement."""
        await self._store(connection).keep_offers(events)

    async def on_product(self, connection: Connection, event: ProductPublished, envelope: Envelope) -> None:
        """A product that is withdrawn stays: quotes already given stand."""
        definition = event.definition
        terms = ProductTerms(
            code=definition.code,
            version=definition.version,
            title=definition.title,
            consents=definition.consents,
            cancellation=definition.cancellation,
        )
        await self._store(connection).put_terms(terms, envelope.occurred_at)

    async def on_document(self, connection: Connection, event: DocumentReady, _: Envelope) -> None:
        if not await self._store(connection).attach_document(event.policy_id, event.document_id):
            raise PolicyNotHeardOf(str(event.policy_id))

    def _printed(self, event: Event) -> None:
        if isinstance(event, DocumentReady):
            self._follow(event.order_id)

    def all(self, database: Database, tables: MessagingTables) -> tuple[Reaction, ...]:
        """The consumers, as the relay wants them."""
        return (
            Reaction("orders.offers", (OfferReceived,), database, tables, self.on_offer, handle_all=self.on_offers),
            Reaction("orders.products", (ProductPublished,), database, tables, self.on_product),
            Reaction(
                "orders.documents", (DocumentReady,), database, tables, self.on_document, after_commit=self._printed
            ),
        )
