"""The same request twice has one effect and one answer, on a real PostgreSQL."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from insuretech.kit.db import Database
from insuretech.kit.idempotency import LOCKED_FOR, IdempotencyKeys, Scope, StoredAnswer
from insuretech.kit.problems import IdempotencyKeyReused, RequestInFlight
from tests.service.kit.town import messaging, metadata

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SCOPE = Scope("buyer:1", "POST /api/v1/orders", "k-1")
BODY, OTHER = b'{"offer_id": 1}', b'{"offer_id": 2}'
KEYS = IdempotencyKeys(messaging.idempotency_keys)
orders = sa.Table("test_orders", metadata, sa.Column("row", sa.BigInteger, sa.Identity(always=True), primary_key=True))


@pytest.fixture
async def database(database: Callable[[str], Database]) -> AsyncIterator[Database]:
    """One service's database, with a table for effects."""
    one = Database("documents", database("documents").url, pool_size=20)
    async with one.transaction() as connection:
        await connection.run_sync(orders.create)
    yield one
    await one.dispose()


async def begin(
    database: Database, scope: Scope = SCOPE, body: bytes = BODY, now: datetime = NOW
) -> StoredAnswer | None:
    """Claim a key in a transaction of its own."""
    async with database.transaction() as connection:
        return await KEYS.begin(connection, scope, body, now)


async def finish(database: Database, answer: StoredAnswer, scope: Scope = SCOPE) -> None:
    """Store the answer in a transaction of its own."""
    async with database.transaction() as connection:
        await KEYS.finish(connection, scope, answer)


async def place_order(database: Database, body: bytes = BODY) -> StoredAnswer:
    """A request as a service handles it: claim, effect and answer in one transaction."""
    async with database.transaction() as connection:
        before = await KEYS.begin(connection, SCOPE, body, NOW)
        if before is not None:
            return before
        row = (await connection.execute(sa.insert(orders).returning(orders.c.row))).scalar_one()
        await asyncio.sleep(0.02)
        answer = StoredAnswer(201, b'{"order": %d}' % row)
        await KEYS.finish(connection, SCOPE, answer)
        return answer


async def count(database: Database) -> int:
    """How many effects there were."""
    async with database.reading() as connection:
        return int((await connection.execute(sa.select(sa.func.count()).select_from(orders))).scalar_one())


async def test_twenty_at_once_have_one_effect(database: Database) -> None:
    """Otherwise an impatient click, or a retrying client, buys the policy twice."""
    outcomes = await asyncio.gather(*(place_order(database) for _ in range(20)), return_exceptions=True)
    kinds = Counter(type(outcome) for outcome in outcomes)
    assert await count(database) == 1
    assert set(kinds) <= {StoredAnswer, RequestInFlight}
    answers = {outcome.body for outcome in outcomes if isinstance(outcome, StoredAnswer)}
    assert len(answers) == 1
    assert (await place_order(database)).body in answers


async def test_the_first_answer_is_given_again_to_the_byte(database: Database) -> None:
    """Otherwise a client whose connection broke learns nothing of the order it has placed."""
    answer = StoredAnswer(201, b'{"id": "\xd1\x8f"}\x00')
    assert await begin(database) is None
    await finish(database, answer)
    assert await begin(database) == answer


async def test_another_body_under_the_same_key_is_refused(database: Database) -> None:
    """Otherwise a client with a broken key generator is told that its second order was placed."""
    assert await begin(database) is None
    with pytest.raises(IdempotencyKeyReused):
        await begin(database, body=OTHER)
    await finish(database, StoredAnswer(201, b"{}"))
    with pytest.raises(IdempotencyKeyReused):
        await begin(database, body=OTHER)
    assert IdempotencyKeyReused.status == 422


async def test_a_request_still_being_worked_on_is_told_so(database: Database) -> None:
    """Otherwise the repetition starts the work a second time, or is told of a success that may not come."""
    assert await begin(database) is None
    with pytest.raises(RequestInFlight):
        await begin(database)
    assert RequestInFlight.status == 409


async def test_one_that_is_not_committed_yet_is_not_waited_for(database: Database) -> None:
    """Otherwise each repetition holds a connection until the first request ends, and the pool runs dry."""
    async with database.transaction() as connection:
        assert await KEYS.begin(connection, SCOPE, BODY, NOW) is None
        async with asyncio.timeout(30):
            with pytest.raises(RequestInFlight):
                await begin(database)
    with pytest.raises(RequestInFlight):
        await begin(database)


async def test_what_was_rolled_back_can_be_asked_again_at_once(database: Database) -> None:
    """Otherwise a refused order blocks its key."""
    with pytest.raises(ZeroDivisionError):
        await _begin_and_fail(database)
    assert await begin(database) is None


async def _begin_and_fail(database: Database) -> None:
    async with database.transaction() as connection:
        await KEYS.begin(connection, SCOPE, BODY, NOW)
        raise ZeroDivisionError


async def test_a_claim_left_by_a_crash_lapses(database: Database) -> None:
    """Otherwise a buyer whose request met our crash can never pay under that key."""
    assert await begin(database) is None
    soon, late = NOW + LOCKED_FOR - timedelta(seconds=1), NOW + LOCKED_FOR + timedelta(seconds=1)
    with pytest.raises(RequestInFlight):
        await begin(database, now=soon)
    with pytest.raises(IdempotencyKeyReused):
        await begin(database, body=OTHER, now=late)
    assert await begin(database, now=late) is None
    with pytest.raises(RequestInFlight):
        await begin(database, now=late)


async def test_a_lapsed_claim_is_taken_up_by_one(database: Database) -> None:
    """Otherwise all waiting repetitions begin the work at the same moment."""
    assert await begin(database) is None
    late = NOW + LOCKED_FOR + timedelta(seconds=1)
    outcomes = await asyncio.gather(*(begin(database, now=late) for _ in range(10)), return_exceptions=True)
    assert outcomes.count(None) == 1
    assert sum(isinstance(outcome, RequestInFlight) for outcome in outcomes) == 9


async def test_a_finished_request_does_not_lapse(database: Database) -> None:
    """Otherwise a repetition a minute later buys again."""
    answer = StoredAnswer(201, b"{}")
    await begin(database)
    await finish(database, answer)
    assert await begin(database, now=NOW + timedelta(hours=71)) == answer


async def test_a_given_up_claim_is_free_at_once_and_an_answer_is_never_given_up(database: Database) -> None:
    """Otherwise a request that had no effect blocks its key for half a minute, or a done one is done again."""
    await begin(database)
    async with database.transaction() as connection:
        await KEYS.release(connection, SCOPE)
    assert await begin(database) is None
    await finish(database, StoredAnswer(201, b"{}"))
    async with database.transaction() as connection:
        await KEYS.release(connection, SCOPE)
    assert await begin(database) is not None


@pytest.mark.parametrize(
    "other",
    [
        Scope("buyer:2", SCOPE.route, SCOPE.key),
        Scope(SCOPE.client, "POST /api/v1/orders/2/payment", SCOPE.key),
        Scope(SCOPE.client, SCOPE.route, "k-2"),
    ],
)
async def test_keys_belong_to_one_client_and_one_route(database: Database, other: Scope) -> None:
    """Otherwise a stranger with the same key is given a buyer's order."""
    await begin(database)
    await finish(database, StoredAnswer(201, b"{}"))
    assert await begin(database, scope=other) is None


async def test_keys_past_their_retention_are_forgotten(database: Database) -> None:
    """Otherwise the table grows for ever; and none may go before the 48 h we promise."""
    await begin(database)
    async with database.transaction() as connection:
        assert await KEYS.drop_old(connection, NOW + timedelta(hours=49)) == 0
        assert await KEYS.drop_old(connection, NOW + timedelta(hours=73)) == 1
    assert await begin(database) is None
