"""A settlement service on a real PostgreSQL, with a clock that is told the time."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import msgspec
import sqlalchemy as sa

from insuretech.connectors.directory import open_directory
from insuretech.contracts.events import EVENTS, PaymentCaptured, PaymentRefunded, PolicyCancelled, PolicyIssued
from insuretech.contracts.money import Money
from insuretech.kit.clock import FixedClock
from insuretech.kit.db import Database
from insuretech.kit.events import Envelope, Event
from insuretech.kit.http import OutgoingClient
from insuretech.kit.ids import new_id
from insuretech.kit.keyring import Keyring
from insuretech.kit.live import LiveHub
from insuretech.kit.platform import Platform
from insuretech.kit.relay import deliver
from insuretech.kit.settings import Settings
from insuretech.settlement import queries
from insuretech.settlement.app import Settlement, build
from insuretech.settlement.domain import Line, SettledEvent
from insuretech.settlement.tables import lines, messaging

OCTOBER = date(2026, 10, 1)
NOVEMBER = date(2026, 11, 1)
IN_OCTOBER = datetime(2026, 10, 5, 12, 0, tzinfo=UTC)
AFTER_OCTOBER = datetime(2026, 11, 1, 6, 0, tzinfo=UTC)
AFTER_NOVEMBER = datetime(2026, 12, 1, 6, 0, tzinfo=UTC)


class World:
    """The service with its surroundings; its books are those of ``database``."""

    def __init__(self, database: Database, home: Path, http: OutgoingClient, settings: Settings | None = None) -> None:
        self.database = database
        self.clock = FixedClock(IN_OCTOBER)
        self.keyring = Keyring.generate()
        self.settings = settings or Settings(home=home, public_url="https://example.org")
        self.platform = Platform(self.settings, self.clock, self.keyring, http, LiveHub(), lambda _: self.database)
        self.settlement: Settlement = build(self.platform, insurers=open_directory(self.platform))

    async def hear(self, event: Event, at: datetime = IN_OCTOBER, event_id: UUID | None = None) -> bool:
        """Let the service handle an event once; False when it could not."""
        return await deliver(self.settlement.service.reactions[0], envelope(event, at, event_id), attempts=1, backoff=0)

    async def hear_all(self, events: Sequence[SettledEvent], at: datetime = IN_OCTOBER) -> None:
        for event in events:
            assert await self.hear(event, at)

    async def lines(self) -> list[Line]:
        """All lines in the order they were recorded."""
        statement = sa.select(*(lines.c[name] for name in Line.__struct_fields__)).order_by(lines.c.id)
        async with self.database.reading() as connection:
            return [queries.line_from(row) for row in (await connection.execute(statement)).mappings()]

    async def announced(self) -> list[Event]:
        """The events settlement told of so far."""
        statement = sa.select(messaging.outbox.c.type, messaging.outbox.c.payload).order_by(messaging.outbox.c.position)
        async with self.database.reading() as connection:
            rows = (await connection.execute(statement)).all()
        return [msgspec.json.decode(row.payload, type=EVENTS[row.type]) for row in rows]

    async def execute(self, statement: str) -> None:
        """Say something to the database as the service itself."""
        async with self.database.transaction() as connection:
            await connection.execute(sa.text(statement))


def envelope(event: Event, at: datetime = IN_OCTOBER, event_id: UUID | None = None) -> Envelope:
    """An event on its way."""
    return Envelope(
        id=event_id or new_id(),
        type=event.type_name(),
        topic=event.topic,
        key=event.key,
        occurred_at=at,
        trace_id="0" * 31 + "1",
        payload=msgspec.Raw(msgspec.json.encode(event)),
    )


def issued(
    premium: str = "8697.22", insurer: str = "bystra", product: str = "osago", order_id: UUID | None = None
) -> PolicyIssued:
    """What orders tell when an insurer has concluded the contract."""
    order_id = order_id or new_id()
    return PolicyIssued(
        order_id=order_id,
        policy_id=new_id(),
        offer_id=new_id(),
        quote_id=new_id(),
        number=f"BYS-{str(order_id)[-6:]}",
        owner="buyer:1",
        product=product,
        insurer=insurer,
        premium=Money(Decimal(premium)),
        starts_on=date(2026, 10, 9),
        ends_on=date(2027, 10, 8),
        verification_code="code",
    )


def captured(policy: PolicyIssued) -> PaymentCaptured:
    """The premium was taken."""
    return PaymentCaptured(order_id=policy.order_id, payment_id=policy.order_id, amount=policy.premium)


def refunded(policy: PolicyIssued, amount: str | None = None, *, voided: bool = False) -> PaymentRefunded:
    """Money went back; all of it unless an amount is given."""
    money = policy.premium if amount is None else Money(Decimal(amount))
    return PaymentRefunded(order_id=policy.order_id, payment_id=policy.order_id, amount=money, voided=voided)


def cancelled(policy: PolicyIssued, refund: str | None = None) -> PolicyCancelled:
    """The policy ended early."""
    money = policy.premium if refund is None else Money(Decimal(refund))
    day = IN_OCTOBER.date() + timedelta(days=3)
    return PolicyCancelled(
        order_id=policy.order_id, policy_id=policy.policy_id, number=policy.number, refund=money, cancelled_on=day
    )
