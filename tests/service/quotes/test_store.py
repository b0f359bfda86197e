"""The store in memory and the one on PostgreSQL do the same: what unit tests rely on holds for real."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import msgspec
import pytest
import sqlalchemy as sa

from insuretech.contracts.events import EVENTS, InsurerGaveNoOffer, QuoteCompleted
from insuretech.contracts.money import Money
from insuretech.contracts.text import Text
from insuretech.kit.db import Database
from insuretech.kit.idempotency import Scope, StoredAnswer
from insuretech.kit.ids import new_id
from insuretech.kit.keyring import Keyring
from insuretech.kit.problems import IdempotencyKeyReused
from insuretech.quotes.domain import LineStatus, OfferStatus, QuoteStatus
from insuretech.quotes.ports import (
    AllEnded,
    Answered,
    Ending,
    LateAnswer,
    Line,
    NewOffer,
    NoOfferLine,
    OfferLine,
    Progress,
    Quote,
    QuoteEvent,
    Store,
    Transaction,
    submitted,
)
from insuretech.quotes.queries import ProductCache, QuoteQueries
from insuretech.quotes.repository import statements, transactions
from insuretech.quotes.tables import messaging
from tests.unit.quotes.fake_store import FakeDatabase
from tests.unit.quotes.specimens import NOW, line, product, quote

LONG_AGO = NOW - timedelta(days=1)


@pytest.fixture(params=["memory", "postgresql"])
def store(request: pytest.FixtureRequest) -> Transaction:
    """Both stores, one after the other."""
    if request.param == "memory":
        return FakeDatabase().transaction
    database: Callable[[str], Database] = request.getfixturevalue("database")
    return transactions(database("quotes"), ProductCache())


async def kept(store: Transaction, *insurers: str, engine: object = None) -> tuple[Quote, list[Line]]:
    """A stored quote with queued lines."""
    new = quote()
    new_lines = [line(new, insurer) for insurer in insurers]
    async with store() as transaction:
        await transaction.add_quote(new, new_lines, engine)  # type: ignore[arg-type]
    return new, new_lines


def ending(of: Line, outcome: LineStatus, before: LineStatus = LineStatus.SENT) -> Ending:
    """A line's last step."""
    return Ending(line_id=of.id, insurer=of.insurer, before=before, outcome=outcome, reason=None)


async def moved(store: Store, of: Quote, *endings: Ending) -> set[UUID]:
    """The lines that ended."""
    progress = await store.end_lines(of.id, endings, QuoteStatus.COMPLETED, NOW)
    assert progress is not None
    return set(progress.moved)


def an_offer(of: Line, quote_id: object, **changes: object) -> NewOffer:
    """An offer on a line."""
    offer = NewOffer(
        id=new_id(),
        quote_id=of.quote_id,
        line_id=of.id,
        insurer=of.insurer,
        offer_number="N-1",
        premium=Money(Decimal("5000.10")),
        expires_at=NOW + timedelta(hours=1),
    )
    assert offer.quote_id == quote_id
    return msgspec.structs.replace(offer, **changes)


async def test_a_quote_comes_back_as_it_was_kept(store: Transaction) -> None:
    """After a restart insurers would be asked about something else, or held against another corridor."""
    new, [only] = await kept(store, "one")
    async with store() as transaction:
        assert await transaction.quotes({new.id, new_id()}) == {new.id: new}
        assert await transaction.claim(new_id(), 10, LONG_AGO) == [only]


async def test_a_step_is_taken_once(store: Transaction) -> None:
    """Two processes that end the same line would count it twice and complete the quote too early."""
    engine = new_id()
    new, [one, two] = await kept(store, "one", "two", engine=engine)
    async with store() as transaction:
        ids = [one.id, two.id]
        assert await transaction.mark(new.id, ids, LineStatus.QUEUED, LineStatus.SENT, engine) == set(ids)
        assert await transaction.mark(new.id, ids, LineStatus.QUEUED, LineStatus.SENT, engine) == set()
        assert await transaction.mark(new.id, ids, LineStatus.SENT, LineStatus.PENDING, new_id()) == set()
    endings = [ending(one, LineStatus.DECLINED), ending(two, LineStatus.OFFERED, LineStatus.PENDING)]
    async with store() as transaction:
        assert await moved(transaction, new, *endings) == {one.id}
        assert await moved(transaction, new, *endings) == set()
        assert await transaction.claim(new_id(), 10, LONG_AGO) == [msgspec.structs.replace(two, status=LineStatus.SENT)]


async def test_events_are_numbered_without_gaps_to_the_last(store: Transaction) -> None:
    """A resumed stream would skip an event or never end."""
    new, [one, two, three] = await kept(store, "one", "two", "three")
    queued, closing = LineStatus.QUEUED, QuoteStatus.EXPIRED
    async with store() as transaction:
        two_of_them = [ending(one, LineStatus.UNAVAILABLE, queued), ending(two, LineStatus.OFFERED, queued)]
        first = await transaction.end_lines(new.id, two_of_them, closing, NOW)
        assert first == Progress(
            moved=frozenset({one.id, two.id}), status=QuoteStatus.COLLECTING, last_event=2, offers=1
        )
        again = await transaction.end_lines(new.id, two_of_them, closing, NOW)
        assert again == Progress(moved=frozenset(), status=QuoteStatus.COLLECTING, last_event=2, offers=1)
        last = await transaction.end_lines(new.id, [ending(three, LineStatus.OFFERED, queued)], closing, NOW)
        assert last == Progress(moved=frozenset({three.id}), status=closing, last_event=4, offers=2)
        assert await transaction.end_lines(new.id, two_of_them, closing, NOW) is None


async def test_what_follows_is_kept_of_those_that_moved_alone(database: Callable[[str], Database]) -> None:
    """An offer would be told that is not there, or others hear of one the buyer never saw."""
    store = transactions(database("quotes"), ProductCache())
    new, [one, two] = await kept(store, "one", "two")
    queued = LineStatus.QUEUED
    offer = an_offer(one, new.id)
    told = OfferLine(offer_id=offer.id, insurer="one", premium=offer.premium, expires_at=offer.expires_at)
    facts = (InsurerGaveNoOffer(quote_id=new.id, insurer="one", outcome="declined", reason="“Нет”"),)
    offered = msgspec.structs.replace(
        ending(one, LineStatus.OFFERED, queued), offer=offer, kind="offer", told=told, facts=facts
    )
    reason = Text("Нет", "No")
    no_offer = NoOfferLine(insurer="two", outcome="declined", reason=reason)
    declined = msgspec.structs.replace(
        ending(two, LineStatus.DECLINED, queued), kind="declined", told=no_offer, facts=facts
    )
    late = msgspec.structs.replace(declined, before=LineStatus.PENDING)
    for steps in ([late, offered], [offered], [declined, offered]):
        async with statements(database("quotes"), ProductCache())() as each:
            await each.end_lines(new.id, steps, QuoteStatus.COMPLETED, NOW)
    queries = QuoteQueries(database("quotes"), Keyring.generate(), ProductCache())
    assert await queries.events_after(new.id, 0) == [
        QuoteEvent(sequence=1, kind="offer", data=told),
        QuoteEvent(sequence=2, kind="declined", data=no_offer),
        QuoteEvent(sequence=3, kind="completed", data=AllEnded(status=QuoteStatus.COMPLETED, offers=1)),
    ]
    outbox = messaging.outbox
    async with database("quotes").reading() as connection:
        rows = (await connection.execute(sa.select(outbox).order_by(outbox.c.position))).all()
    assert [msgspec.json.decode(row.payload, type=EVENTS[row.type]) for row in rows] == [
        submitted(new, [one, two]),
        *facts,
        *facts,
        QuoteCompleted(quote_id=new.id, offers=1),
    ]
    assert {(row.topic, row.key) for row in rows} == {("quotes.quote.v1", str(new.id))}


async def test_a_quote_without_lines_is_closed_by_nothing(store: Transaction) -> None:
    """A product without connected insurers would collect for ever."""
    new, _ = await kept(store)
    async with store() as transaction:
        closed = await transaction.end_lines(new.id, [], QuoteStatus.COMPLETED, NOW)
    assert closed == Progress(moved=frozenset(), status=QuoteStatus.COMPLETED, last_event=1, offers=0)


async def test_nothing_of_a_failed_transaction_stays(store: Transaction) -> None:
    """A quote would be half-written: shown, but with nobody asked."""
    new = quote()

    async def half() -> None:
        async with store() as transaction:
            await transaction.add_quote(new, [line(new, "one")], None)
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        await half()
    async with store() as transaction:
        assert await transaction.quotes({new.id}) == {}


async def test_lines_of_the_living_are_left_alone_and_those_of_the_dead_taken_over(store: Transaction) -> None:
    """Two processes would work on one line, or nobody on the lines of a dead one."""
    living, dead, taker = new_id(), new_id(), new_id()
    async with store() as transaction:
        assert not await transaction.beat(living, 60, LONG_AGO)
        assert not await transaction.beat(dead, 0.05, LONG_AGO)
    _, [of_living] = await kept(store, "one", engine=living)
    _, [of_dead] = await kept(store, "one", engine=dead)
    _, [of_nobody] = await kept(store, "one")
    _, [of_unknown] = await kept(store, "one", engine=new_id())
    async with store() as transaction:
        await transaction.mark(of_living.quote_id, [of_living.id], LineStatus.QUEUED, LineStatus.SENT, living)
    await asyncio.sleep(0.1)
    async with store() as transaction:
        assert await transaction.beat(new_id(), 60, LONG_AGO)
        claimed = await transaction.claim(taker, 10, LONG_AGO)
        assert {each.id for each in claimed} == {of_dead.id, of_nobody.id, of_unknown.id}
    async with store() as transaction:
        await transaction.beat(taker, 60, LONG_AGO)
        assert await transaction.claim(new_id(), 10, LONG_AGO) == []


async def test_an_engine_finds_what_it_forgot(store: Transaction) -> None:
    """A line lost by a fault in a living process would never end."""
    engine = new_id()
    async with store() as transaction:
        await transaction.beat(engine, 60, LONG_AGO)
    _, [begun, _] = await kept(store, "one", "two", engine=engine)
    async with store() as transaction:
        await transaction.mark(begun.quote_id, [begun.id], LineStatus.QUEUED, LineStatus.SENT, engine)
        assert await transaction.beat(engine, 60, LONG_AGO)
        assert [each.insurer for each in await transaction.claim(engine, 10, LONG_AGO)] == ["two"]
        past = begun.deadline + timedelta(seconds=1)
        assert await transaction.beat(engine, 60, past)
        overdue = await transaction.claim(engine, 10, past)
        assert {each.insurer for each in overdue} == {"one", "two"}


async def test_claims_are_bounded_and_urgent_ones_first(store: Transaction) -> None:
    """After an outage a process would take on more than it can hold, or begin with those that can wait."""
    new = quote()
    lines = [line(new, f"i{limit}", limit=limit) for limit in (30, 10, 20)]
    async with store() as transaction:
        await transaction.add_quote(new, lines, None)
    async with store() as transaction:
        claimed = await transaction.claim(new_id(), 2, LONG_AGO)
        assert {each.insurer for each in claimed} == {"i10", "i20"}


async def test_a_retired_engine_hands_back_what_is_unfinished(store: Transaction) -> None:
    """At every deployment buyers would wait for a lease to lapse."""
    engine = new_id()
    async with store() as transaction:
        await transaction.beat(engine, 60, LONG_AGO)
    new, [done, open_one] = await kept(store, "one", "two", engine=engine)
    async with store() as transaction:
        await moved(transaction, new, ending(done, LineStatus.UNAVAILABLE, LineStatus.QUEUED))
        await transaction.retire(engine)
        assert [each.id for each in await transaction.claim(new_id(), 10, LONG_AGO)] == [open_one.id]


async def test_only_the_first_late_answer_of_a_given_up_line_is_kept(store: Transaction) -> None:
    """An answered line would be marked late, or the statistics of lateness show the last repetition."""
    new, [answered, given_up] = await kept(store, "one", "two")
    late = LateAnswer(outcome=LineStatus.OFFERED, premium=Money(Decimal("1.00")))
    async with store() as transaction:
        queued = LineStatus.QUEUED
        declined, timed_out = LineStatus.DECLINED, LineStatus.TIMED_OUT
        await moved(transaction, new, ending(answered, declined, queued), ending(given_up, timed_out, queued))
        assert not await transaction.keep_late(answered, late, NOW)
        assert await transaction.keep_late(given_up, late, NOW)
        assert not await transaction.keep_late(given_up, late, NOW)


async def test_offers_are_kept_with_their_life_cycle(store: Transaction) -> None:
    """An offer would come back with another price, or forget which order holds it."""
    new, [only] = await kept(store, "one")
    offer, order = an_offer(only, new.id), new_id()
    async with store() as transaction:
        await transaction.add_offer(offer, NOW)
        found = await transaction.offer(offer.id)
        assert found is not None
        assert (found.premium, found.offer_number, found.cycle.status) == (offer.premium, "N-1", OfferStatus.ACTIVE)
        await transaction.keep_offer(found, found.cycle.reserved(order, NOW))
    async with store() as transaction:
        again = await transaction.offer_of_line(only)
        assert again is not None
        assert (again.cycle.status, again.cycle.order_id, again.cycle.ordered_at) == (OfferStatus.RESERVED, order, NOW)
        assert await transaction.offer(new_id()) is None


async def test_a_line_has_one_current_offer(store: Transaction) -> None:
    """After a change of price the old offer would still be followed."""
    new, [only] = await kept(store, "one")
    old, fresh = an_offer(only, new.id), an_offer(only, new.id, offer_number="N-2")
    async with store() as transaction:
        await transaction.add_offer(old, NOW)
        found = await transaction.offer(old.id)
        assert found is not None
        await transaction.keep_offer(found, found.cycle.repriced())
        await transaction.add_offer(fresh, NOW)
        current = await transaction.offer_of_line(only)
        assert current is not None
        assert current.id == fresh.id


async def test_only_free_offers_past_their_time_expire(store: Transaction) -> None:
    """An offer somebody is paying for would be taken away, or an old one be sold."""
    new, [one, two, three] = await kept(store, "one", "two", "three")
    free, held = an_offer(one, new.id), an_offer(two, new.id)
    later = an_offer(three, new.id, expires_at=NOW + timedelta(hours=3))
    async with store() as transaction:
        for each in (free, held, later):
            await transaction.add_offer(each, NOW)
        found = await transaction.offer(held.id)
        assert found is not None
        await transaction.keep_offer(found, found.cycle.reserved(new_id(), NOW))
        assert await transaction.expire_offers(NOW + timedelta(hours=2), 10) == 1
        statuses = []
        for offer in (free, held, later):
            after = await transaction.offer(offer.id)
            assert after is not None
            statuses.append(after.cycle.status)
        assert statuses == [OfferStatus.EXPIRED, OfferStatus.RESERVED, OfferStatus.ACTIVE]


async def test_a_callback_is_handled_once(store: Transaction) -> None:
    """A repeated callback would be followed every time, or one we failed to follow never again."""
    new, [asked, ended] = await kept(store, "one", "two")
    async with store() as transaction:
        await moved(transaction, new, ending(ended, LineStatus.TIMED_OUT, LineStatus.QUEUED))
        after = msgspec.structs.replace(ended, status=LineStatus.TIMED_OUT)
        digest = b"d" * 32
        assert await transaction.note_callback("two", ended.id, digest, NOW) == (after, True)
        assert await transaction.note_callback("two", ended.id, digest, NOW) == (after, True)
        await transaction.close_callback(ended.id, digest, NOW)
        assert await transaction.note_callback("two", ended.id, digest, NOW) == (after, False)
        assert await transaction.note_callback("two", ended.id, b"e" * 32, NOW) == (after, True)
        assert await transaction.note_callback("one", asked.id, digest, NOW) == (asked, True)
        assert await transaction.note_callback("one", asked.id, digest, NOW) == (asked, False)
        assert await transaction.note_callback("one", ended.id, digest, NOW) is None
        assert await transaction.note_callback("one", new_id(), digest, NOW) is None


async def test_products_change_and_go(store: Transaction) -> None:
    """The old questions would still be asked after a new version, or a withdrawn product still be sold."""
    async with store() as transaction:
        await transaction.put_product(product("one"), NOW)
        await transaction.put_product(product("one", "two", version="2"), NOW)
        found = await transaction.product_on_sale("osago")
        assert found is not None
        assert found.definition == product("one", "two", version="2")
    async with store() as transaction:
        await transaction.put_product(product("three", version="2"), NOW)
        found = await transaction.product_on_sale("osago")
        assert found is not None
        assert found.definition.insurers == ("three",)
        await transaction.withdraw_product("osago")
        assert await transaction.product_on_sale("osago") is None


async def test_requests_are_remembered_with_their_answer(store: Transaction) -> None:
    """A retry would make a second quote."""
    scope = Scope(client="anonymous", route="POST /api/v1/quotes", key="k")
    first, again = quote(), quote()
    answered = Answered(scope=scope, body=b"body", answer=StoredAnswer(201, b"answer"))
    async with store() as transaction:
        assert await transaction.answer(scope, b"body") is None
        assert await transaction.add_quote(first, [line(first, "one")], None, answered)
    async with store() as transaction:
        assert not await transaction.add_quote(again, [line(again, "one")], None, answered)
    async with store() as transaction:
        assert set(await transaction.quotes([first.id, again.id])) == {first.id}
        assert await transaction.answer(scope, b"body") == StoredAnswer(201, b"answer")
        with pytest.raises(IdempotencyKeyReused):
            await transaction.answer(scope, b"other")


@pytest.mark.parametrize("opened", [transactions, statements])
async def test_only_its_own_constraint_says_that_a_key_was_used(
    database: Callable[[str], Database], opened: Callable[[Database, ProductCache], Transaction]
) -> None:
    """A fault of ours would be told the buyer as a request that is being carried out, which they repeat for ever."""
    scope = Scope(client="anonymous", route="POST /api/v1/quotes", key="k")
    new = quote()
    answered = Answered(scope=scope, body=b"body", answer=StoredAnswer(201, b"answer"))
    store = opened(database("quotes"), ProductCache())
    with pytest.raises(sa.exc.IntegrityError):
        async with store() as connected:
            await connected.add_quote(new, [line(new, "one"), line(new, "one")], None, answered)
    async with store() as connected:
        assert await connected.answer(scope, b"body") is None
        assert await connected.add_quote(new, [line(new, "one")], None, answered)
    async with store() as connected:
        other = quote()
        assert not await connected.add_quote(other, [line(other, "one")], None, answered)
