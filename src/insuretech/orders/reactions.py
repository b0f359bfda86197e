"""What orders do when others publish something: keep copies of offers and products, learn of printed documents."""

from insuretech.contracts.events import DocumentReady, OfferReceived, ProductPublished
from insuretech.kit.db import Connection, Database
from insuretech.kit.events import Envelope
from insuretech.kit.messaging import Reaction
from insuretech.orders.ports import ProductTerms
from insuretech.orders.repository import OrderStore, TermsCache
from insuretech.orders.tables import messaging


class PolicyNotHeardOf(Exception):
    """A document speaks of a policy we do not have; it becomes a dead letter with this reason."""


def reactions(database: Database, terms_known: TermsCache) -> tuple[Reaction, ...]:
    """All consumers of this service."""

    async def keep_offer(connection: Connection, event: OfferReceived, _: Envelope) -> None:
        await OrderStore(connection, terms_known).keep_offer(event)

    async def keep_terms(connection: Connection, event: ProductPublished, envelope: Envelope) -> None:
        definition = event.definition
        terms = ProductTerms(
            code=definition.code,
            version=definition.version,
            title=definition.title,
            consents=definition.consents,
            cancellation=definition.cancellation,
        )
        await OrderStore(connection, terms_known).put_terms(terms, envelope.occurred_at)

    async def attach_document(connection: Connection, event: DocumentReady, _: Envelope) -> None:
        if not await OrderStore(connection, terms_known).attach_document(event.policy_id, event.document_id):
            raise PolicyNotHeardOf(str(event.policy_id))

    return (
        Reaction("orders.offers", (OfferReceived,), database, messaging, keep_offer),
        Reaction("orders.products", (ProductPublished,), database, messaging, keep_terms),
        Reaction("orders.documents", (DocumentReady,), database, messaging, attach_document),
    )
