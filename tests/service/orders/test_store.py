"""What every store of orders must do: the one in memory and the real one pass the same tests."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import URL, Connection

from insuretech.contracts.events import OfferReceived
from insuretech.contracts.money import Money
from insuretech.contracts.payments import Notification
from insuretech.contracts.text import Text
from insuretech.kit.db import Database
from insuretech.kit.idempotency import Scope, StoredAnswer
from insuretech.kit.ids import new_id
from insuretech.kit.problems import IdempotencyKeyReused, RequestInFlight
from insuretech.orders.domain import buying
from insuretech.orders.domain.lifecycle import (
    CLOSED,
    CancellationStatus,
    OrderStatus,
    PaymentStatus,
    PolicyStatus,
    Reason,
)
from insuretech.orders.domain.purchase import (
    AcceptedConsent,
    Cancellation,
    Payment,
    Policy,
    Purchase,
    changed,
    taken_up,
)
from insuretech.orders.policyholders import SealedPolicyholder
from insuretech.orders.ports import Placing, ProductTerms, Stale, Transaction
from insuretech.orders.repository import TermsCache, presence, transactions
from insuretech.orders.tables import messaging, metadata
from insuretech.orders.testing.memory import Memory
from tests.service.orders.world import product

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
LEASE = timedelta(seconds=65)
SECOND = timedelta(seconds=1)
SCOPE = Scope("buyer:1", "POST /api/v1/orders", "key")
PERSON = SealedPolicyholder("k1", b"sealed")


@dataclass
class Storage:
    """A store to test; ``presence`` shows that a worker lives."""

    transaction: Transaction
    presence: Callable[[int], AbstractAsyncContextManager[Any]]


@pytest.fixture(params=["memory", "postgres"])
async def storage(request: pytest.FixtureRequest, database: Callable[[str], Database]) -> AsyncIterator[Storage]:
    """Each store in turn."""
    if request.param == "memory":
        memory = Memory()
        yield Storage(memory.transaction, memory.presence)
    else:
        yield real(database("orders"))


def real(database: Database) -> Storage:
    """The store on PostgreSQL."""
    return Storage(transactions(database, TermsCache()), lambda worker: presence(database, worker))


def offer(insurer: str = "north") -> OfferReceived:
    """A fresh offer."""
    return OfferReceived(
        quote_id=new_id(),
        offer_id=new_id(),
        owner="buyer:1",
        product="osago",
        product_version="1",
        insurer=insurer,
        offer_number="N-1",
        premium=Money(Decimal("8697.22")),
        expires_at=NOW + timedelta(hours=20),
        starts_on=date(2026, 12, 1),
        ends_on=date(2027, 11, 30),
    )


def order_for(it: OfferReceived, *, due: datetime = NOW) -> Purchase:
    """A new order for an offer, due at a moment."""
    placed = buying.place(new_id(), it, (AcceptedConsent("terms", "1"),), NOW).purchase
    return changed(placed, order=changed(placed.order, next_action_at=due))


async def add(storage: Storage, purchase: Purchase) -> Purchase:
    """Keep a new order."""
    async with storage.transaction() as store:
        assert await store.place(placing(purchase), NOW)
    return purchase


def placing(purchase: Purchase, key: str | None = None) -> Placing:
    """The order with what is stored beside it."""
    (event,) = buying.place(purchase.order.id, offer(), (), NOW).events
    scope = Scope("buyer:1", "POST /api/v1/orders", key or str(purchase.order.id))
    return Placing(
        purchase=purchase, person=PERSON, event=event, scope=scope, body=b"body", answer=StoredAnswer(201, b"answer")
    )


async def read(storage: Storage, order_id: UUID) -> Purchase:
    """The order as stored."""
    async with storage.transaction() as store:
        found = await store.purchase(order_id, "buyer:1")
    assert found is not None
    return found


async def save(storage: Storage, before: Purchase, after: Purchase) -> Purchase:
    """Store a change; the order as stored then."""
    async with storage.transaction() as store:
        await store.save(before, after)
    return await read(storage, before.order.id)


async def claim(
    storage: Storage, worker: int = 1, at: datetime = NOW, limit: int = 10, busy: tuple[str, ...] = ()
) -> list[Purchase]:
    """Take up what is due."""
    async with storage.transaction() as store:
        return await store.claim(worker, at, lease=LEASE, limit=limit, busy_insurers=busy)


# ---------------------------------------------------------------- requests that may be repeated


async def test_a_request_has_one_answer(storage: Storage) -> None:
    """A repeated request would have a second effect, or another request the first one's answer."""
    async with storage.transaction() as store:
        assert await store.begin_request(SCOPE, b"body", NOW, locked_for=SECOND) is None
        await store.finish_request(SCOPE, StoredAnswer(201, b"answer"))
    async with storage.transaction() as store:
        again = await store.begin_request(SCOPE, b"body", NOW + timedelta(hours=5), locked_for=SECOND)
        assert again == StoredAnswer(201, b"answer")
    with pytest.raises(IdempotencyKeyReused):
        async with storage.transaction() as store:
            await store.begin_request(SCOPE, b"other", NOW, locked_for=SECOND)


async def test_a_claim_lapses_and_can_be_released(storage: Storage) -> None:
    """After a crash a buyer's key would be blocked for good."""
    async with storage.transaction() as store:
        await store.begin_request(SCOPE, b"body", NOW, locked_for=SECOND)
    with pytest.raises(RequestInFlight):
        async with storage.transaction() as store:
            await store.begin_request(SCOPE, b"body", NOW, locked_for=SECOND)
    async with storage.transaction() as store:
        assert await store.begin_request(SCOPE, b"body", NOW + 2 * SECOND, locked_for=SECOND) is None
        await store.release_request(SCOPE)
        assert await store.begin_request(SCOPE, b"another", NOW, locked_for=SECOND) is None


async def test_what_fails_leaves_nothing(storage: Storage) -> None:
    """A refused request would leave half of itself behind."""
    purchase = order_for(offer())

    async def fail() -> None:
        async with storage.transaction() as store:
            await store.begin_request(SCOPE, b"body", NOW, locked_for=SECOND)
            await store.place(placing(purchase), NOW)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    async with storage.transaction() as store:
        assert await store.begin_request(SCOPE, b"other", NOW, locked_for=SECOND) is None
        assert await store.purchase(purchase.order.id, "buyer:1") is None


# ---------------------------------------------------------------- what can be ordered


async def test_an_offer_comes_with_the_newest_terms(storage: Storage) -> None:
    """A buyer would agree to texts that are no longer in force."""
    it = offer()
    old, new = (_terms(version) for version in ("1", "2"))
    async with storage.transaction() as store:
        assert await store.orderable(it.offer_id) is None
        await store.keep_offers([it])
        await store.keep_offers([msgspec.structs.replace(it, premium=Money(Decimal(1)))])
        found = await store.orderable(it.offer_id)
        assert found is not None
        assert (found.offer, found.terms) == (it, None)
        await store.put_terms(old, NOW)
        await store.put_terms(new, NOW + SECOND)
    async with storage.transaction() as store:
        await store.put_terms(_terms("1", title="late"), NOW - SECOND)  # an old event told once more
        found = await store.orderable(it.offer_id)
        assert found is not None
        assert found.terms == new
        assert await store.terms("osago", "1") == old
        assert await store.terms("osago", "3") is None
        await store.put_terms(_terms("1", title="revised"), NOW + 2 * SECOND)
        found = await store.orderable(it.offer_id)
        assert found is not None
        assert found.terms == _terms("1", title="revised")


def _terms(version: str, title: str = "OSAGO") -> ProductTerms:
    definition = product(version=version)
    return ProductTerms(
        code="osago",
        version=version,
        title=Text(title, title),
        consents=definition.consents,
        cancellation=definition.cancellation,
    )


async def test_a_key_places_one_order(storage: Storage) -> None:
    """The same key with another offer would place a second order."""
    purchase, other = order_for(offer()), order_for(offer())
    async with storage.transaction() as store:
        assert await store.answer(SCOPE, b"body") is None
        assert await store.place(placing(purchase, key="key"), NOW)
    async with storage.transaction() as store:
        assert not await store.place(placing(other, key="key"), NOW)
    async with storage.transaction() as store:
        assert await store.purchase(other.order.id, "buyer:1") is None
        assert await store.answer(SCOPE, b"body") == StoredAnswer(201, b"answer")
        with pytest.raises(IdempotencyKeyReused):
            await store.answer(SCOPE, b"other")


async def test_an_offer_has_one_live_order(storage: Storage) -> None:
    """Two people, or one in two windows, would buy the same offer twice."""
    it = offer()
    first = await add(storage, order_for(it))
    async with storage.transaction() as store:
        assert not await store.place(placing(order_for(it)), NOW)
        assert await store.live_order_of(it.offer_id) == first.order.id
    ended = buying.close_unissued(first, NOW).purchase
    await save(storage, first, ended)
    async with storage.transaction() as store:
        assert await store.live_order_of(it.offer_id) is None
        assert await store.place(placing(order_for(it)), NOW)


# ---------------------------------------------------------------- purchases


def _whole(purchase: Purchase) -> Purchase:
    """The purchase with everything an order can have."""
    order_id = purchase.order.id
    payment = Payment(
        id=new_id(),
        order_id=order_id,
        status=PaymentStatus.CAPTURED,
        method="sbp",
        amount=Money(Decimal("9000.10")),
        return_url="https://example.org/",
        created_at=NOW,
        captured=Money(Decimal("9000.10")),
        refunded=Money(Decimal("0.01")),
        provider_id="p1",
        confirmation_url="https://pay.example.org/",
        held_until=NOW + SECOND,
        reason="insufficient_funds",
        refund_try=2,
    )
    policy = Policy(
        id=new_id(),
        order_id=order_id,
        owner=purchase.order.owner,
        number="XXX 1",
        product="osago",
        insurer="north",
        status=PolicyStatus.CANCEL_REQUESTED,
        premium=Money(Decimal("9000.10")),
        starts_on=date(2026, 12, 1),
        ends_on=date(2027, 11, 30),
        issued_at=NOW,
        verification_code="AAAA-BBBB-CCCC-DDDD",
        ended_on=date(2027, 1, 1),
    )
    cancellation = Cancellation(
        id=new_id(),
        order_id=order_id,
        policy_id=policy.id,
        status=CancellationStatus.REFUSED,
        refund=Money(Decimal("10.20")),
        retained=Money(Decimal("8989.90")),
        cancelled_on=date(2027, 1, 1),
        legal_ground=Text("статья", "article"),
        source="law",
        unverified="the list of reasons",
        created_at=NOW,
        expires_at=NOW + SECOND,
        reason="A claim.",
    )
    order = changed(
        purchase.order,
        status=OrderStatus.ISSUED,
        premium=Money(Decimal("9000.10")),
        previous_premium=Money(Decimal("8697.22")),
        pay_until=NOW + SECOND,
        reason=Reason.CANCELLATION_REFUSED,
        detail="A claim.",
        payment_id=payment.id,
        cancellation_id=cancellation.id,
        ask_first=True,
        attempts=3,
        next_action_at=None,
    )
    return Purchase(order=order, payment=payment, policy=policy, cancellation=cancellation)


async def test_a_purchase_is_read_as_it_was_saved(storage: Storage) -> None:
    """A field would be lost between two steps."""
    before = await add(storage, order_for(offer()))
    after = _whole(before)
    assert after.policy is not None
    assert after.cancellation is not None
    preview = changed(after.cancellation, status=CancellationStatus.PREVIEWED, reason=None, policy_id=None)
    async with storage.transaction() as store:
        await store.add_cancellation(preview)
    async with storage.transaction() as store:
        assert await store.cancellation(preview.id, before.order.id) == preview
        assert await store.cancellation(preview.id, new_id()) is None
        assert await store.sealed(before.order.id) == b"sealed"
    kept = await save(storage, before, changed(after, cancellation=changed(after.cancellation, policy_id=None)))
    expected = changed(after, order=changed(after.order, version=2))
    assert kept == changed(expected, cancellation=changed(after.cancellation, policy_id=None))

    async with storage.transaction() as store:
        assert await store.attach_document(after.policy.id, UUID(int=7))
        assert not await store.attach_document(new_id(), UUID(int=7))
    read_again = await read(storage, before.order.id)
    assert read_again.policy is not None
    assert read_again.policy.document_id == UUID(int=7)


async def test_a_paper_comes_while_somebody_has_the_order(storage: Storage) -> None:
    """Each would wait for what the other has, and the buyer who cancels just then would be told to come again."""
    before = await add(storage, order_for(offer()))
    after = _whole(before)
    assert after.policy is not None
    kept = await save(storage, before, after)
    assert kept.policy is not None

    async def attach() -> None:
        async with storage.transaction() as store:
            assert await store.attach_document(kept_policy, UUID(int=7))

    kept_policy = kept.policy.id
    async with storage.transaction() as store:
        held = await store.purchase(kept.order.id, kept.order.owner)
        assert held is not None
        coming = asyncio.create_task(attach())
        await asyncio.sleep(0.2)
        assert held.policy is not None
        await store.save(held, changed(held, policy=changed(held.policy, premium=Money(Decimal("1.00"), "RUB"))))
    await coming
    read_again = await read(storage, kept.order.id)
    assert read_again.policy is not None
    assert (read_again.policy.document_id, read_again.policy.premium.amount) == (UUID(int=7), Decimal("1.00"))
    without = changed(read_again, policy=changed(read_again.policy, document_id=None, ended_on=None))
    assert (await save(storage, read_again, without)).policy == changed(read_again.policy, ended_on=None)


async def test_a_purchase_changed_meanwhile_is_not_overwritten(storage: Storage) -> None:
    """Two who change an order at once would undo each other."""
    before = await add(storage, order_for(offer()))
    await save(storage, before, changed(before, order=changed(before.order, attempts=1)))
    with pytest.raises(Stale):
        await save(storage, before, changed(before, order=changed(before.order, attempts=2)))
    assert (await read(storage, before.order.id)).order.attempts == 1


async def test_an_order_is_its_owners(storage: Storage) -> None:
    """Somebody else's token would open the order."""
    before = await add(storage, order_for(offer()))
    async with storage.transaction() as store:
        assert await store.purchase(before.order.id, "buyer:2") is None
        assert await store.status(before.order.id, "buyer:2") is None
        assert await store.status(before.order.id, "buyer:1") is OrderStatus.CREATED


# ---------------------------------------------------------------- the process manager


async def test_due_orders_are_taken_up_once_oldest_first(storage: Storage) -> None:
    """Two workers would do the same step, or a late order would wait for ever."""
    moments = [NOW - 2 * SECOND, NOW - 3 * SECOND, NOW + SECOND]
    purchases = [await add(storage, order_for(offer(), due=due)) for due in moments]
    first = await claim(storage, limit=1)
    assert [one.order.id for one in first] == [purchases[1].order.id]
    rest = await claim(storage, worker=2)
    assert [one.order.id for one in rest] == [purchases[0].order.id]
    assert await claim(storage) == []
    assert first[0].order == taken_up(purchases[1].order, NOW, interrupted=False)
    assert first[0] == await read(storage, first[0].order.id)


async def test_taking_up_is_what_the_rules_say(storage: Storage) -> None:
    """The SQL and the rules would come to differ, and an issue be sent without asking first."""
    waiting = {}
    for status, ask_first in itertools.product(OrderStatus, (True, False)):
        before = await add(storage, order_for(offer()))
        order = changed(before.order, status=status, ask_first=ask_first, attempts=4, stage_at=NOW - SECOND)
        waiting[before.order.id] = await save(storage, before, changed(before, order=order))
    taken = await claim(storage, limit=100)
    assert {one.order.id for one in taken} == set(waiting)
    for mine in taken:
        assert mine.order == taken_up(waiting[mine.order.id].order, NOW, interrupted=False)
    later, first = NOW + LEASE + SECOND, {one.order.id: one for one in taken}
    for mine in await claim(storage, worker=2, at=later, limit=100):
        assert mine.order == taken_up(first.pop(mine.order.id).order, later, interrupted=True)
    assert first == {}


async def test_a_busy_insurer_holds_up_nobody_else(storage: Storage) -> None:
    """A hanging insurer would take every worker."""
    slow = await add(storage, order_for(offer("slow")))
    quick = await add(storage, order_for(offer("quick")))
    assert [one.order.id for one in await claim(storage, busy=("slow",))] == [quick.order.id]
    ending = changed(slow.order, status=OrderStatus.COMPENSATING)
    await save(storage, slow, changed(slow, order=ending))
    assert len(await claim(storage, busy=("slow",))) == 1


async def test_leases_of_the_dead_are_free_at_once(storage: Storage) -> None:
    """After a crash every order in work would wait for a minute."""
    await add(storage, order_for(offer()))
    async with AsyncExitStack() as alive:
        await alive.enter_async_context(storage.presence(7))
        assert len(await claim(storage, worker=7)) == 1
        async with storage.transaction() as store:
            assert await store.free_dead_leases(8, NOW) == 0
    async with storage.transaction() as store:
        assert await store.free_dead_leases(7, NOW) == 0
        assert await store.free_dead_leases(8, NOW) == 1
    (mine,) = await claim(storage, worker=8)
    assert mine.order.ask_first


async def test_saving_ends_the_lease(storage: Storage) -> None:
    """An order would rest for a minute between two steps."""
    await add(storage, order_for(offer()))
    (mine,) = await claim(storage)
    await save(storage, mine, mine)
    (again,) = await claim(storage, worker=2)
    assert not again.order.ask_first


async def test_a_notification_makes_its_order_due(storage: Storage) -> None:
    """A buyer back from the payment page would wait for the next look."""
    before = await add(storage, order_for(offer()))
    whole = _whole(before)
    assert whole.payment is not None
    waiting = changed(whole.order, status=OrderStatus.AWAITING_PAYMENT, next_action_at=NOW + 30 * SECOND)
    waiting = changed(waiting, cancellation_id=None)
    before = await save(storage, before, Purchase(order=waiting, payment=whole.payment))
    notice = Notification(payment_id="p1", event="payment.succeeded")
    async with storage.transaction() as store:
        assert not await store.notified(changed(notice, payment_id="p2"), NOW)
        assert await store.notified(notice, NOW)
    async with storage.transaction() as store:
        assert not await store.notified(notice, NOW)
        assert await store.notified(notice, NOW + 2 * SECOND)
    (mine,) = await claim(storage, at=NOW + 2 * SECOND)
    assert mine.order.attempts == 1
    async with storage.transaction() as store:
        assert await store.notified(changed(notice, event="refund.succeeded"), NOW + 2 * SECOND)
    with pytest.raises(Stale):  # whoever looked before the notification came may have looked too early
        await save(storage, mine, mine)


# ---------------------------------------------------------------- the real one only


async def test_workers_at_once_never_share_an_order(database: Callable[[str], Database]) -> None:
    """Under load the same step would be done twice."""
    storage = real(database("orders"))
    for _ in range(20):
        await add(storage, order_for(offer()))
    taken = await asyncio.gather(*(claim(storage, worker=worker, limit=8) for worker in range(4)))
    ids = [one.order.id for batch in taken for one in batch]
    assert len(ids) == len(set(ids))
    ids += [one.order.id for one in await claim(storage, limit=20)]
    assert len(set(ids)) == len(ids) == 20


async def test_the_tables_are_as_their_picture(admin_url: URL) -> None:
    """A query would use a column or lean on an index that the migrations do not make."""

    def differences(connection: Connection) -> list[Any]:
        options = {"include_schemas": True, "include_name": lambda name, kind, _: kind != "schema" or name == "orders"}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))

    ours = {table.name for table in metadata.sorted_tables} - {
        messaging.outbox.name,
        messaging.inbox.name,
        messaging.dead_letters.name,
        messaging.idempotency_keys.name,
    }
    administrator = Database("orders", admin_url)
    async with administrator.reading() as connection:
        found = await connection.run_sync(differences)
    await administrator.dispose()
    tables = [getattr(one[1], "table", one[1]) for one in found]
    assert [one for one, table in zip(found, tables, strict=True) if getattr(table, "name", "") in ours] == []


async def test_partial_indexes_know_the_same_statuses_as_the_rules(database: Callable[[str], Database]) -> None:
    """A new way to end would leave its offer blocked for ever."""
    storage = real(database("orders"))
    for status in OrderStatus:
        it = offer()
        before = await add(storage, order_for(it))
        await save(storage, before, changed(before, order=changed(before.order, status=status)))
        async with storage.transaction() as store:
            assert (await store.live_order_of(it.offer_id) is None) == (status in CLOSED)
            assert await store.place(placing(order_for(it)), NOW) == (status in CLOSED)
