"""Everything orders write, in SQL. Orders change by version; work is claimed with SKIP LOCKED under a lease."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from insuretech.contracts.events import OfferReceived
from insuretech.contracts.money import Money
from insuretech.contracts.payments import Notification
from insuretech.kit.db import Connection, Database
from insuretech.kit.events import Event
from insuretech.kit.idempotency import IdempotencyKeys, Scope, StoredAnswer, answered_row, key_was_used
from insuretech.kit.messaging import Outbox, outbox_row
from insuretech.kit.positions import note_written
from insuretech.orders.domain.lifecycle import CancellationStatus, OrderStatus
from insuretech.orders.domain.purchase import Cancellation, Purchase
from insuretech.orders.domain.steps import ASKS_INSURER
from insuretech.orders.policyholders import SealedPolicyholder
from insuretech.orders.ports import Orderable, Placing, ProductTerms, Stale, Store
from insuretech.orders.rows import (
    cancellation_of,
    cancellation_row,
    order_row,
    payment_row,
    policy_row,
    purchase_of,
)
from insuretech.orders.statements import (
    CHANGING,
    CLAIM,
    FREE_DEAD,
    KEEP_OFFERS,
    LOCK,
    ORDERABLE,
    PLACE,
    PRESENCE,
    PURCHASES,
    SAVE_CANCELLATION,
    SAVE_ORDER,
    SAVE_PAYMENT,
    SAVE_POLICY,
    TAKEN,
    bound,
)
from insuretech.orders.tables import (
    LIVE_ORDER,
    cancellations,
    messaging,
    notifications,
    orders,
    payments,
    policies,
    policyholders,
    products,
)

"""How long our copy of an offer outlives the offer."""
PREVIEWS_KEPT_FOR = timedelta(days=30)
REPEATED_WITHIN = timedelta(seconds=1)
NOTIFICATIONS_KEPT_FOR = timedelta(days=90)


Announce = Callable[[Purchase], Awaitable[None]]
"""Hears of a purchase, as it is, before it is stored in its next version."""


class TermsCache:
    """Terms read before, by version and moment of publication, under which their content never changes."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, datetime], ProductTerms] = {}

    async def get(self, connection: Connection, code: str, version: str, published_at: datetime) -> ProductTerms:
        key = (code, version, published_at)
        if key not in self._known:
            statement = sa.select(products.c.terms).where(products.c.code == code, products.c.version == version)
            terms = msgspec.json.decode((await connection.execute(statement)).scalar_one(), type=ProductTerms)
            while len(self._known) >= 64:
                self._known.pop(next(iter(self._known)))
            self._known[key] = terms
        return self._known[key]


class OrderStore:
    """The store over one connection, in the transaction of its caller; ``announce`` hears before a purchase changes."""

    def __init__(self, connection: Connection, terms_known: TermsCache, announce: Announce | None = None) -> None:
        self._connection = connection
        self._terms = terms_known
        self._announce = announce

    # ------------------------------------------------------------ requests that may be repeated

    async def begin_request(
        self, scope: Scope, body: bytes, now: datetime, *, locked_for: timedelta
    ) -> StoredAnswer | None:
        return await _KEYS.begin(self._connection, scope, body, now, locked_for=locked_for)

    async def finish_request(self, scope: Scope, answer: StoredAnswer) -> None:
        await _KEYS.finish(self._connection, scope, answer)

    async def release_request(self, scope: Scope) -> None:
        await _KEYS.release(self._connection, scope)

    async def answer(self, scope: Scope, body: bytes) -> StoredAnswer | None:
        return await _KEYS.answer(self._connection, scope, body)

    # ------------------------------------------------------------ what can be ordered

    async def orderable(self, offer_id: UUID) -> Orderable | None:
        row = await ORDERABLE.first(self._connection, {"offer_id": offer_id})
        if row is None:
            return None
        terms = None
        if row["in_force"] is not None:
            terms = await self._terms.get(self._connection, row["product"], row["in_force"], row["published_at"])
        offer = OfferReceived(
            quote_id=row["quote_id"],
            offer_id=row["id"],
            owner=row["owner"],
            product=row["product"],
            product_version=row["product_version"],
            insurer=row["insurer"],
            offer_number=row["offer_number"],
            premium=Money(row["premium"], row["currency"]),
            expires_at=row["expires_at"],
            starts_on=row["starts_on"],
            ends_on=row["ends_on"],
        )
        return Orderable(offer=offer, terms=terms)

    async def keep_offers(self, told: Sequence[OfferReceived]) -> None:
        rows = [_offer_row(offer) for offer in told]
        await self._connection.execute(KEEP_OFFERS, {column: [row[column] for row in rows] for column in rows[0]})

    async def put_terms(self, terms: ProductTerms, published_at: datetime) -> None:
        statement = pg.insert(products).values(
            code=terms.code, version=terms.version, published_at=published_at, terms=msgspec.json.encode(terms)
        )
        statement = statement.on_conflict_do_update(
            index_elements=["code", "version"],
            set_={"published_at": statement.excluded.published_at, "terms": statement.excluded.terms},
            where=products.c.published_at <= statement.excluded.published_at,
        )
        await self._connection.execute(statement)

    async def terms(self, code: str, version: str) -> ProductTerms | None:
        statement = sa.select(products.c.published_at).where(products.c.code == code, products.c.version == version)
        published_at = (await self._connection.execute(statement)).scalar_one_or_none()
        return None if published_at is None else await self._terms.get(self._connection, code, version, published_at)

    # ------------------------------------------------------------ purchases

    async def place(self, placing: Placing, now: datetime) -> bool:
        row = order_row(placing.purchase.order)
        values = bound({**row, "key_id": placing.person.key_id, "sealed": placing.person.sealed})
        event = outbox_row(placing.event, now)
        values.update((f"event_{name}", value) for name, value in event.items())
        key = answered_row(placing.scope, placing.body, placing.answer, now)
        values.update((f"key_{name}", value) for name, value in key.items())
        try:
            placed = await PLACE.first(self._connection, values) is not None
        except sa.exc.IntegrityError as error:
            if not key_was_used(error):
                raise
            return False
        if placed:
            note_written(event["type"], event["id"])
        return placed

    async def live_order_of(self, offer_id: UUID) -> UUID | None:
        statement = sa.select(orders.c.id).where(orders.c.offer_id == offer_id, LIVE_ORDER)
        found: UUID | None = (await self._connection.execute(statement)).scalar_one_or_none()
        return found

    async def purchase(self, order_id: UUID, owner: str) -> Purchase | None:
        if (await self._connection.execute(LOCK, {"_id": order_id, "_owner": owner})).first() is None:
            return None
        (row,) = await PURCHASES.all(self._connection, {"ids": [order_id]})
        return purchase_of(row)

    async def status(self, order_id: UUID, owner: str) -> OrderStatus | None:
        statement = sa.select(orders.c.status).where(orders.c.id == order_id, orders.c.owner == owner)
        found = (await self._connection.execute(statement)).scalar_one_or_none()
        return None if found is None else OrderStatus(found)

    async def save(self, before: Purchase, after: Purchase) -> None:
        if self._announce is not None:
            await self._announce(before)
        row = {**order_row(after.order), "version": before.order.version}
        values = {f"_{name}": row[name] for name in ("id", "version", *CHANGING)}
        if await SAVE_ORDER.first(self._connection, values) is None:
            raise Stale
        if after.payment is not None and after.payment != before.payment:
            await self._connection.execute(SAVE_PAYMENT, bound(payment_row(after.payment)))
        if after.policy is not None and after.policy != before.policy:
            await self._connection.execute(SAVE_POLICY, bound(policy_row(after.policy)))
        if after.cancellation is not None and after.cancellation != before.cancellation:
            await self._connection.execute(SAVE_CANCELLATION, _changes_of(after.cancellation))

    async def sealed(self, order_id: UUID) -> bytes:
        statement = sa.select(policyholders.c.sealed).where(policyholders.c.order_id == order_id)
        found: bytes = (await self._connection.execute(statement)).scalar_one()
        return found

    # ------------------------------------------------------------ cancellations

    async def add_cancellation(self, preview: Cancellation) -> None:
        await self._connection.execute(sa.insert(cancellations).values(cancellation_row(preview)))

    async def cancellation(self, cancellation_id: UUID, order_id: UUID) -> Cancellation | None:
        statement = sa.select(cancellations).where(
            cancellations.c.id == cancellation_id, cancellations.c.order_id == order_id
        )
        row = (await self._connection.execute(statement)).mappings().first()
        return None if row is None else cancellation_of({**row})

    # ------------------------------------------------------------ the process manager

    async def claim(
        self, worker: int, now: datetime, *, lease: timedelta, limit: int, busy_insurers: Collection[str]
    ) -> list[Purchase]:
        values = {"now": now, "until": now + lease, "worker": worker, "most": limit, "busy": list(busy_insurers)}
        taken = [row["id"] for row in await CLAIM.all(self._connection, values)]
        if not taken:
            return []
        return [purchase_of(row) for row in await TAKEN.all(self._connection, {"ids": taken, "worker": worker})]

    async def free_dead_leases(self, worker: int, now: datetime) -> int:
        values = {"now": now, "worker": worker, "presence": PRESENCE}
        return (await self._connection.execute(FREE_DEAD, values)).rowcount

    async def notified(self, notification: Notification, now: datetime) -> bool:
        ours = sa.select(payments.c.order_id).where(payments.c.provider_id == notification.payment_id)
        order_id = (await self._connection.execute(ours)).scalar_one_or_none()
        if order_id is None:
            return False
        noted = pg.insert(notifications).values(
            provider_id=notification.payment_id, event=notification.event, received_at=now
        )
        # Only what is repeated at once is a repetition: a forged early notice must not silence the genuine one.
        noted = noted.on_conflict_do_update(
            index_elements=["provider_id", "event"],
            set_={"received_at": now},
            where=notifications.c.received_at <= now - REPEATED_WITHIN,
        )
        if (await self._connection.execute(noted)).rowcount == 0:
            return False
        # Whoever is looking that payment up just now may have looked too early: the look is taken from them.
        due = (
            sa.update(orders)
            .where(orders.c.id == order_id, orders.c.next_action_at.is_not(None))
            .where(orders.c.status.not_in([status.value for status in ASKS_INSURER]))
            .values(next_action_at=now, attempts=0, version=orders.c.version + 1, lease_by=None, lease_until=None)
            .values(changed_at=sa.func.now())
        )
        return (await self._connection.execute(due)).rowcount == 1

    # ------------------------------------------------------------ documents

    async def attach_document(self, policy_id: UUID, document_id: UUID) -> bool:
        # The order first, as everybody locks it: who took the policy first would wait for who has the order, and be
        # waited for. Without a new version, which would stop whoever works on the order.
        order_id = sa.select(policies.c.order_id).where(policies.c.id == policy_id).scalar_subquery()
        seen = sa.update(orders).where(orders.c.id == order_id).values(changed_at=sa.func.now())
        if (await self._connection.execute(seen)).rowcount == 0:
            return False
        attached = sa.update(policies).where(policies.c.id == policy_id).values(document_id=document_id)
        await self._connection.execute(attached)
        return True

    async def publish(self, events: Sequence[Event], now: datetime) -> None:
        await _OUTBOX.publish(self._connection, events, now)


_KEYS = IdempotencyKeys(messaging.idempotency_keys)
_OUTBOX = Outbox(messaging.outbox)


def _changes_of(cancellation: Cancellation) -> dict[str, Any]:
    return {
        "_id": cancellation.id,
        "_status": cancellation.status.value,
        "_reason": cancellation.reason,
    }


def _offer_row(offer: OfferReceived) -> dict[str, Any]:
    return {
        "id": offer.offer_id,
        "quote_id": offer.quote_id,
        "owner": offer.owner,
        "product": offer.product,
        "product_version": offer.product_version,
        "insurer": offer.insurer,
        "offer_number": offer.offer_number,
        "premium": offer.premium.amount,
        "currency": offer.premium.currency,
        "expires_at": offer.expires_at,
        "starts_on": offer.starts_on,
        "ends_on": offer.ends_on,
    }


def transactions(
    database: Database, terms_known: TermsCache, announce: Announce | None = None
) -> Callable[[], AbstractAsyncContextManager[Store]]:
    """Opens transactions of this database as stores."""

    @asynccontextmanager
    async def transaction() -> AsyncIterator[Store]:
        async with database.transaction() as connection:
            yield OrderStore(connection, terms_known, announce)

    return transaction


def statements(
    database: Database, terms_known: TermsCache, announce: Announce | None = None
) -> Callable[[], AbstractAsyncContextManager[Store]]:
    """Opens connections of this database as stores on which every statement is a transaction of its own."""

    @asynccontextmanager
    async def connected() -> AsyncIterator[Store]:
        async with database.reading() as connection:
            yield OrderStore(connection, terms_known, announce)

    return connected


@asynccontextmanager
async def presence(database: Database, worker: int) -> AsyncIterator[Callable[[], Any]]:
    """Show that a worker lives for as long as this is open: its session holds a lock that dies with it.

    Gives a coroutine function that raises when the session has been lost.
    """
    async with database.reading() as connection:
        await connection.execute(
            sa.text("select pg_advisory_lock(:presence, :worker)").bindparams(presence=PRESENCE, worker=worker)
        )

        async def still_there() -> None:
            await connection.execute(sa.text("select 1"))

        try:
            yield still_there
        finally:
            await connection.invalidate()  # ends the session, and with it the lock


async def forget_old(database: Database, now: datetime) -> None:
    """Delete what is past its retention, but for what goes with its partition."""
    async with database.transaction() as connection:
        await connection.execute(
            sa.delete(cancellations).where(
                cancellations.c.status == CancellationStatus.PREVIEWED.value,
                cancellations.c.expires_at < now - PREVIEWS_KEPT_FOR,
            )
        )
        await connection.execute(
            sa.delete(notifications).where(notifications.c.received_at < now - NOTIFICATIONS_KEPT_FOR)
        )
        await _KEYS.drop_old(connection, now)


async def reseal(
    database: Database, current_key: str, resealed: Callable[[UUID, bytes], SealedPolicyholder], *, batch: int = 200
) -> int:
    """Encrypt under the current key whatever lies under an older one; the number of rows changed."""
    total = 0
    stale = (
        sa.select(policyholders.c.order_id, policyholders.c.sealed)
        .where(policyholders.c.key_id != current_key)
        .limit(batch)
        .with_for_update(skip_locked=True)
    )
    while True:
        async with database.transaction() as connection:
            rows = (await connection.execute(stale)).all()
            for row in rows:
                person = resealed(row.order_id, row.sealed)
                await connection.execute(
                    sa.update(policyholders)
                    .where(policyholders.c.order_id == row.order_id)
                    .values(key_id=person.key_id, sealed=person.sealed)
                )
        total += len(rows)
        if len(rows) < batch:
            return total
