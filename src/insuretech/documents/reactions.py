"""What documents do about policies: print them when issued, stamp them when ended early."""

from collections.abc import Callable

from insuretech.contracts.events import PolicyCancelled, PolicyIssued
from insuretech.documents.commands import PolicyDocuments
from insuretech.documents.ports import DocumentStore
from insuretech.documents.tables import messaging
from insuretech.kit.db import Connection, Database
from insuretech.kit.events import Envelope
from insuretech.kit.messaging import Reaction


def policy_reaction(
    database: Database, documents: PolicyDocuments, store_on: Callable[[Connection], DocumentStore]
) -> Reaction:
    """One consumer for both, so that the stamp comes after what it is put on."""

    async def handle(connection: Connection, event: PolicyIssued | PolicyCancelled, _: Envelope) -> None:
        store = store_on(connection)
        if isinstance(event, PolicyIssued):
            await documents.print_issued(store, event.policy_id)
        else:
            await documents.print_cancelled(store, event.policy_id, event.cancelled_on)

    return Reaction(
        consumer="documents.policies",
        events=(PolicyIssued, PolicyCancelled),
        database=database,
        tables=messaging,
        handle=handle,
    )
