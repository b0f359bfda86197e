"""Events on a real PostgreSQL: at least once on the way, once in effect, in order for each aggregate."""

import asyncio
import random
import statistics
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from insuretech.kit.db import Database
from insuretech.kit.dead_letters import dead_letters, replay
from insuretech.kit.events import Envelope
from insuretech.kit.messaging import Outbox, Reaction
from insuretech.kit.outbox import until_delivered
from insuretech.kit.relay import LocalRelay, deliver, deliver_together
from tests.service.kit.town import ResidentMoved, Town, all_moves, messaging
from tests.system.running import strain


@asynccontextmanager
async def running(*relays: LocalRelay) -> AsyncIterator[None]:
    """Relays at work."""
    tasks = [asyncio.create_task(relay.run()) for relay in relays]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task


async def test_every_consumer_gets_every_event_once_and_in_order(town: Town) -> None:
    """Otherwise an order follows an offer that was never made, or is paid before it is placed."""
    await town.publish(*all_moves(residents=7, each=30))
    await town.relay(town.consumer("register"), town.consumer("post office")).drain()
    expected = {f"r{who}": list(range(30)) for who in range(7)}
    assert await town.seen("register") == await town.seen("post office") == expected
    assert await town.unpublished() == 0


async def test_what_was_rolled_back_is_never_told(town: Town) -> None:
    """Otherwise others act on something that did not happen."""

    async def publish_and_fail() -> None:
        async with town.database.transaction() as connection:
            move = ResidentMoved(resident="r", number=1)
            await Outbox(messaging.outbox).publish(connection, [move], datetime.now(UTC))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await publish_and_fail()
    await town.relay(town.consumer()).drain()
    assert await town.seen() == {}


@pytest.mark.parametrize("seed", range(5))
async def test_repeats_and_disorder_between_aggregates_change_nothing(town: Town, seed: int) -> None:
    """Otherwise a redelivery, which every log promises, would charge or print twice.

    The relay played here hands events of one aggregate over in order and everything else as it likes: it mixes
    aggregates, repeats what it has delivered before at any later moment, and does two things at once.
    """
    chance = random.Random(seed)
    await town.publish(*all_moves(residents=5, each=8))
    reaction = town.consumer()
    waiting: dict[str, list[Envelope]] = {}
    for envelope in await town.envelopes():
        waiting.setdefault(envelope.key, []).append(envelope)
    delivered: list[Envelope] = []
    while waiting:
        key = chance.choice(list(waiting))
        envelope = waiting[key].pop(0)
        if not waiting[key]:
            del waiting[key]
        again = chance.sample(delivered, min(len(delivered), chance.randint(0, 3)))
        delivered.append(envelope)
        await asyncio.gather(*(deliver(reaction, one, attempts=1, backoff=0) for one in [envelope, *again, envelope]))
    assert await town.seen() == {f"r{who}": list(range(8)) for who in range(5)}
    assert sorted(town.committed) == sorted((f"r{who}", number) for who in range(5) for number in range(8))


async def test_a_consumer_that_fails_for_a_while_is_tried_again(town: Town) -> None:
    """Otherwise a moment's trouble loses an event; and what it wrote before failing must not stay."""
    tries = 0

    async def fail_twice(_: AsyncConnection, __: ResidentMoved) -> None:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise RuntimeError("not yet")

    await town.publish(ResidentMoved(resident="r", number=1))
    await town.relay(town.consumer(meddle=fail_twice), attempts=3).drain()
    assert await town.seen() == {"r": [1]}
    assert await dead_letters(town.database, messaging) == []


async def test_what_no_attempt_can_handle_goes_aside_with_its_reason_and_stops_nobody(town: Town) -> None:
    """Otherwise one poisonous event holds up all purchases behind it."""

    async def choke(_: AsyncConnection, event: ResidentMoved) -> None:
        if event.resident == "poison":
            raise ValueError("indigestible: \0 \ud800 " + "x" * 5000)

    moves = [ResidentMoved(resident="poison", number=1), *all_moves(3, 3), ResidentMoved(resident="poison", number=2)]
    await town.publish(*moves)
    await town.relay(town.consumer(meddle=choke), town.consumer("other"), attempts=2).drain()
    assert await town.seen() == {f"r{who}": [0, 1, 2] for who in range(3)}
    assert (await town.seen("other"))["poison"] == [1, 2], "the other consumer is not concerned"
    letters = await dead_letters(town.database, messaging)
    assert {(letter.consumer, letter.attempts, letter.type) for letter in letters} == {
        ("register", 2, "town.resident.v1.moved")
    }
    assert len(letters) == 2
    assert letters[0].reason.startswith("ValueError: indigestible: ")
    assert await town.unpublished() == 0


async def test_one_bad_event_of_many_takes_none_with_it(town: Town) -> None:
    """Otherwise events that share a transaction are lost, or take effect twice, with the one that cannot be handled."""

    async def refuse_the_fifth(_: AsyncConnection, move: ResidentMoved) -> None:
        if move.number == 5:
            raise ValueError("no fives")

    await town.publish(*all_moves(residents=2, each=12))
    await town.relay(town.consumer(meddle=refuse_the_fifth)).drain()

    rest = [number for number in range(12) if number != 5]
    assert await town.seen() == {"r0": rest, "r1": rest}
    assert sorted(town.committed) == sorted((f"r{who}", number) for who in range(2) for number in rest)
    assert len(await dead_letters(town.database, messaging)) == 2


async def test_events_of_many_aggregates_share_transactions_where_their_consumer_takes_many(town: Town) -> None:
    """A thousand offers a second would be a thousand commits a second, and the machine busy with nothing else."""
    await town.publish(*(ResidentMoved(resident=f"r{n}", number=number) for number in (1, 2) for n in range(40)))
    await town.relay(town.gatherer()).drain()
    assert await town.seen() == {f"r{n}": [1, 2] for n in range(40)}
    assert len(town.together) <= 4


async def test_an_event_that_comes_twice_in_one_batch_has_its_effect_once(town: Town) -> None:
    """What was sent again after an outage of Kafka lies beside its first copy: a policy would be settled twice."""
    await town.publish(*all_moves(residents=2, each=3))
    told = await town.envelopes()
    assert await deliver_together(town.consumer(), [*told[:4], *told])
    assert await town.seen() == {"r0": [0, 1, 2], "r1": [0, 1, 2]}
    assert len(town.committed) == 6


async def test_one_bad_event_among_many_aggregates_stops_its_own_alone(town: Town) -> None:
    """One offer that cannot be stored would keep all others from being ordered."""

    async def refuse(_: AsyncConnection, event: ResidentMoved) -> None:
        if (event.resident, event.number) == ("r3", 1):
            raise ValueError("no such street")

    await town.publish(*(ResidentMoved(resident=f"r{n}", number=number) for number in (1, 2) for n in range(10)))
    await town.relay(town.gatherer(meddle=refuse)).drain()
    assert await town.seen() == {f"r{n}": [2] if n == 3 else [1, 2] for n in range(10)}


async def test_dead_letters_are_replayed_in_the_order_they_occurred(town: Town) -> None:
    """Otherwise mending a consumer would not bring back what it missed, or bring it back upside down."""
    broken = True

    async def maybe(_: AsyncConnection, __: ResidentMoved) -> None:
        if broken:
            raise RuntimeError("broken")

    reaction = town.consumer(meddle=maybe)
    await town.publish(*(ResidentMoved(resident="r", number=number) for number in range(5)))
    await town.relay(reaction, attempts=1).drain()
    letters = await dead_letters(town.database, messaging)
    assert await replay(letters, [reaction]) == [], "still broken"
    assert {letter.attempts for letter in await dead_letters(town.database, messaging)} == {2}
    broken = False
    assert len(await replay(letters, [reaction])) == 5
    assert await replay(letters, [reaction]) != [], "a second replay is harmless"
    assert await town.seen() == {"r": [0, 1, 2, 3, 4]}
    assert await dead_letters(town.database, messaging) == []


async def test_an_event_whose_payload_is_broken_goes_aside(town: Town) -> None:
    """Otherwise a faulty producer stops its consumers."""
    await town.publish(ResidentMoved(resident="r", number=1))
    async with town.database.transaction() as connection:
        await connection.execute(sa.update(messaging.outbox).values(payload=b'{"resident": 7}'))
    await town.relay(town.consumer(), attempts=2).drain()
    (letter,) = await dead_letters(town.database, messaging)
    assert letter.reason.startswith("ValidationError: ")


async def test_a_restart_goes_on_where_it_stopped(town: Town) -> None:
    """Otherwise a crash loses what was on its way, or delivers it twice."""
    await town.publish(*all_moves(residents=4, each=20))
    seen = asyncio.Event()

    async def slowly(_: AsyncConnection, event: ResidentMoved) -> None:
        if event.number == 5:
            seen.set()
        await asyncio.sleep(0.002)

    async with running(town.relay(town.consumer(meddle=slowly))):
        await asyncio.wait_for(seen.wait(), 60)
    assert await town.unpublished() > 0, "it was stopped in the middle"
    async with running(town.relay(town.consumer())):
        await town.quiet()
    assert await town.seen() == {f"r{who}": list(range(20)) for who in range(4)}


async def test_only_one_relay_works_and_the_next_takes_over(town: Town) -> None:
    """Otherwise two processes deliver the same events side by side, out of order."""
    at_once, most = 0, 0

    async def count(_: AsyncConnection, __: ResidentMoved) -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.001)
        at_once -= 1

    first, second = town.relay(town.consumer(meddle=count)), town.relay(town.consumer(meddle=count))
    async with running(second):
        async with running(first):
            for number in range(30):
                await town.publish(ResidentMoved(resident="r", number=number))
            await town.quiet()
        await town.publish(ResidentMoved(resident="r", number=30))
        await town.quiet()
    assert most == 1
    assert await town.seen() == {"r": list(range(31))}


async def test_a_relay_that_lost_its_connection_comes_back(town: Town, admin_url: sa.engine.URL) -> None:
    """Otherwise a restart of the database stops all events until somebody notices."""
    async with running(town.relay(town.consumer())):
        await town.publish(ResidentMoved(resident="r", number=1))
        await town.quiet()
        admin = Database("documents", admin_url)
        async with admin.transaction() as connection:
            await connection.execute(
                sa.text(
                    "select pg_terminate_backend(pid) from pg_stat_activity "
                    "where datname = current_database() and pid <> pg_backend_pid()"
                )
            )
        await admin.dispose()
        await asyncio.sleep(0.1)
        again = Town(Database("documents", town.database.url, pool_size=2))
        await again.publish(ResidentMoved(resident="r", number=2))
        await again.quiet()
        assert await again.seen() == {"r": [1, 2]}
        await again.database.dispose()


async def test_while_the_database_is_away_nothing_is_given_up(town: Town, admin_url: sa.engine.URL) -> None:
    """Otherwise a restart of the database that takes seconds turns purchases into dead letters."""
    away = Database("documents", admin_url.set(database="nowhere", username="documents"))
    there = town.consumer()
    gone = Reaction("elsewhere", (ResidentMoved,), away, messaging, there.handle)
    await town.publish(ResidentMoved(resident="r", number=1))
    async with running(town.relay(there, gone, attempts=2)):
        await asyncio.sleep(0.3)
    assert await town.unpublished() == 1
    assert await dead_letters(town.database, messaging) == []
    await away.dispose()
    async with running(town.relay(there)):
        await town.quiet()
    assert await town.seen() == {"r": [1]}


async def test_a_commit_wakes_the_relay_at_once(town: Town) -> None:
    """Otherwise every step of a purchase waits for the next look at the table."""
    got = asyncio.Event()

    async def note(_: AsyncConnection, __: ResidentMoved) -> None:
        got.set()

    delays = []
    async with running(town.relay(town.consumer(meddle=note), interval=30)):
        await town.publish(ResidentMoved(resident="r", number=-1))
        await asyncio.wait_for(got.wait(), 60)
        for number in range(20):
            got.clear()
            began = time.monotonic()
            await town.publish(ResidentMoved(resident="r", number=number))
            await asyncio.wait_for(got.wait(), 25)
            delays.append(time.monotonic() - began)
    assert statistics.median(delays) < 0.1 * strain(), "by notification it takes milliseconds, by polling 30 s"


async def test_an_event_nobody_reacts_to_is_done_with(town: Town) -> None:
    """Otherwise the outbox fills with events for services that are not there."""
    await town.publish(ResidentMoved(resident="r", number=1))
    await town.relay().drain()
    assert await town.unpublished() == 0


async def test_one_slow_aggregate_does_not_hold_up_the_others(town: Town) -> None:
    """Otherwise one hanging purchase stops all."""
    release = asyncio.Event()

    async def hang(_: AsyncConnection, event: ResidentMoved) -> None:
        if event.resident == "r0":
            await release.wait()

    await town.publish(*all_moves(residents=5, each=3))
    async with running(town.relay(town.consumer(meddle=hang))):
        async with asyncio.timeout(60):
            while set(await town.seen()) != {"r1", "r2", "r3", "r4"}:  # noqa: ASYNC110 - a table sets no event
                await asyncio.sleep(0.01)
        release.set()
        await town.quiet()
    assert (await town.seen())["r0"] == [0, 1, 2]


async def test_errors_do_not_show_what_was_stored(database: Callable[[str], Database]) -> None:
    """Otherwise personal data come to the logs and dead letters by way of error messages."""
    with pytest.raises(sa.exc.DBAPIError) as caught:
        async with database("documents").reading() as connection:
            await connection.execute(sa.text("select :name / 0").bindparams(name=7041776))
    assert "7041776" not in str(caught.value)


async def test_a_start_can_wait_for_what_it_announced(town: Town) -> None:
    """Otherwise the first buyer after a start is told that the product is not sold."""
    await town.publish(*all_moves(residents=3, each=5))
    async with running(town.relay(town.consumer())):
        assert await until_delivered(town.database, messaging, limit=10)
        assert await town.seen() == {f"r{who}": list(range(5)) for who in range(3)}
    assert await until_delivered(town.database, messaging, limit=10), "nothing waits"


async def test_a_start_does_not_wait_for_ever(town: Town) -> None:
    """Otherwise one stuck event keeps the marketplace closed."""
    await town.publish(ResidentMoved(resident="r", number=1))
    assert not await until_delivered(town.database, messaging, limit=0.05)
