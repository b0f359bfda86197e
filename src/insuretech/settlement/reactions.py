"""What settlement does about policies and payments: each becomes a line the moment it is heard of."""

from collections.abc import Callable

from insuretech.contracts.events import PaymentCaptured, PaymentRefunded, PolicyCancelled, PolicyIssued
from insuretech.kit.db import Connection, Database
from insuretech.kit.events import Envelope
from insuretech.kit.messaging import Reaction
from insuretech.settlement.commands import Bookkeeping
from insuretech.settlement.domain import SettledEvent
from insuretech.settlement.ports import LineStore
from insuretech.settlement.tables import messaging


def line_reaction(
    database: Database, bookkeeping: Bookkeeping, store_on: Callable[[Connection], LineStore]
) -> Reaction:
    """One consumer for all four.

    Events of an order share a key and so arrive in order, but one may come out of the dead letters, or be published
    again, long after its successors: recording does not rely on order.
    """

    async def handle(connection: Connection, event: SettledEvent, envelope: Envelope) -> None:
        await bookkeeping.record(store_on(connection), event, envelope)

    return Reaction(
        consumer="settlement.lines",
        events=(PolicyIssued, PolicyCancelled, PaymentCaptured, PaymentRefunded),
        database=database,
        tables=messaging,
        handle=handle,
    )
