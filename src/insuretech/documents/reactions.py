"""What documents do about policies: note that they are to be printed when issued, and stamped when ended early.

Nothing is printed here: an object storage or a service that is away for two hours must not end in dead letters.
"""

from collections.abc import Callable

from insuretech.contracts.events import PolicyCancelled, PolicyIssued
from insuretech.documents.domain import WantedPrint
from insuretech.documents.ports import DocumentStore
from insuretech.documents.tables import messaging
from insuretech.kit.clock import Clock
from insuretech.kit.db import Connection, Database
from insuretech.kit.events import Envelope, Event
from insuretech.kit.messaging import Reaction


def policy_reaction(
    database: Database,
    store_on: Callable[[Connection], DocumentStore],
    clock: Clock,
    wake: Callable[[], None],
) -> Reaction:
    """One consumer for both kinds of news; ``wake`` is called once a print stands in the table."""

    async def handle(connection: Connection, event: PolicyIssued | PolicyCancelled, _: Envelope) -> None:
        cancelled_on = event.cancelled_on if isinstance(event, PolicyCancelled) else None
        wanted = WantedPrint(
            policy_id=event.policy_id,
            number=event.number,
            state="in_force" if cancelled_on is None else "cancelled",
            cancelled_on=cancelled_on,
            wanted_at=clock.now(),
        )
        await store_on(connection).want(wanted)

    def after_commit(_: Event) -> None:
        wake()

    return Reaction(
        consumer="documents.policies",
        events=(PolicyIssued, PolicyCancelled),
        database=database,
        tables=messaging,
        handle=handle,
        after_commit=after_commit,
    )
