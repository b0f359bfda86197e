"""Records that cannot be handled go aside and stop nobody; what failed for a while is tried again in its order."""

import asyncio
import json
from collections import Counter
from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import Consumer, Producer
from sqlalchemy.ext.asyncio import AsyncConnection
from structlog.testing import capture_logs

from insuretech.kit.db import Database
from insuretech.kit.dead_letters import DeadLetter, dead_letters, replay
from insuretech.kit.kafka import headers_of
from insuretech.kit.kafka_lane import Pace
from insuretech.kit.kafka_silence import Brokers, Span
from insuretech.kit.messaging import Outbox
from insuretech.kit.topics import dead_letter_topic
from insuretech.kit.tracing import continue_trace, current_trace_id
from tests.cluster.events.city import City, running
from tests.cluster.events.test_through_kafka import in_order
from tests.service.kit.town import ResidentMoved, messaging

Headers = list[tuple[str, str | bytes | None]]


async def letters_of(city: City) -> list[DeadLetter]:
    """What went aside and waits."""
    return await dead_letters(city.town.database, messaging)


async def test_a_poisonous_event_goes_aside_and_can_be_replayed(city: City) -> None:
    """Otherwise one purchase that cannot be handled stops all others of its partition, or is lost."""
    poisonous = True

    async def choke(_: AsyncConnection, move: ResidentMoved) -> None:
        if poisonous and move.resident == "r3" and move.number == 2:
            raise ValueError("indigestible")

    reaction = city.reaction(meddle=choke)
    await city.publish(residents=10, numbers=range(5))
    async with running(city.relay(), city.consumers(reaction)):
        await city.until_noted(49)
        (letter,) = await letters_of(city)
        assert (letter.consumer, letter.envelope.key, letter.attempts) == ("register", "r3", 3)
        assert letter.reason == "ValueError: indigestible"
    rest = in_order(10, 5) | {"r3": [0, 1, 3, 4]}
    assert await city.town.seen() == rest
    (record,) = city.records(dead_letter_topic(city.service))
    headers = headers_of(record)
    assert record.key() == b"r3"
    assert json.loads(record.value() or b"") == {"resident": "r3", "number": 2}
    assert (headers["consumer"], headers["reason"]) == (b"register", b"ValueError: indigestible")
    assert headers["id"].decode() == str(letter.event_id)
    poisonous = False
    assert await replay([letter], [reaction]) == [letter.id]
    assert (await city.town.seen())["r3"] == [0, 1, 3, 4, 2]
    assert await letters_of(city) == []


async def test_the_brokers_tell_how_far_each_partition_goes(city: City) -> None:
    """Otherwise nobody notices that records stay behind, and the lag that is told is made up."""
    producer = Producer({"bootstrap.servers": city.kafka.servers})
    for _ in range(3):
        producer.produce(city.topic, key=b"r0", value=b"{}")
    assert producer.flush(20) == 0
    (partition,) = {record.partition() or 0 for record in city.records(city.topic)}
    brokers, spans = Brokers(city.kafka), None

    async def told() -> bool:
        nonlocal spans
        spans = brokers.answer()
        return spans is not None

    brokers.ask([(city.topic, partition)])
    await city.until(told)
    assert spans == {(city.topic, partition): Span(0, 3)}
    assert brokers.answer() is None


async def test_who_was_taken_for_another_begins_anew(city: City) -> None:
    """Otherwise a replica whose name was used by a second one for a moment is deaf until somebody starts it again."""
    double = Consumer(
        {
            "bootstrap.servers": city.kafka.servers,
            "group.id": f"insuretech.{city.service}",
            "group.instance.id": "register-1",
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": 6000,
        }
    )
    await city.publish(residents=4, numbers=range(2))
    with capture_logs() as lines:
        async with running(city.relay(), city.consumers(city.reaction(), instance="register-1")):
            await city.until_seen(4, 2)
            double.subscribe([city.topic])
            await city.until(lambda: _interrupted(double, lines), limit=60)
            await asyncio.to_thread(double.close)
            await city.publish(residents=4, numbers=range(2, 4))
            await city.until_seen(4, 4, limit=60)
    assert await city.town.seen() == in_order(4, 4)


async def _interrupted(double: Consumer, lines: list[MutableMapping[str, Any]]) -> bool:
    """Whether the one that was there has noticed; the second one has to be heard of by the brokers meanwhile."""
    await asyncio.to_thread(double.poll, 0.1)
    return any(line["event"] == "consumer.interrupted" and "fenced" in line["reason"] for line in lines)


async def test_what_is_no_event_of_ours_goes_aside_at_once(city: City) -> None:
    """Otherwise a faulty or foreign producer stops everybody who listens to its topic."""
    producer = Producer({"bootstrap.servers": city.kafka.servers})
    whole: Headers = [("id", b"01900000-0000-7000-8000-000000000001"), ("occurred_at", b"2026-01-01T00:00:00+00:00")]
    foreign: list[tuple[Headers, bytes | None]] = [
        ([], b"\xff\xfe not even text"),
        ([("id", b"no id"), ("type", f"{city.topic}.moved".encode()), whole[1]], b"{}"),
        ([*whole, ("type", f"{city.topic}.flown".encode())], b"{}"),  # of a version to come
        ([*whole, ("type", f"{city.topic}.moved".encode())], None),
    ]
    for headers, value in foreign:
        producer.produce(city.topic, key=b"r0", value=value, headers=headers)
    assert producer.flush(20) == 0
    await city.publish(residents=5, numbers=range(5))
    async with running(city.relay(), city.consumers(city.reaction())):
        await city.until_seen(5, 5)
        await city.until(lambda: _as_many_letters(city, 4))
    assert await city.town.seen() == in_order(5, 5)
    letters = await letters_of(city)
    assert Counter(letter.consumer for letter in letters) == {city.service: 4}
    reasons = sorted(letter.reason for letter in letters)
    assert reasons[0].startswith("The record has no header")
    assert reasons[1] == "The record has no value."
    assert reasons[2].startswith("The record's key or headers cannot be read")
    assert reasons[3] == "This version knows no event of this type."


async def _as_many_letters(city: City, number: int) -> bool:
    return len(await letters_of(city)) == number


async def test_a_passing_failure_is_tried_again_in_order(city: City) -> None:
    """Otherwise a moment's trouble loses an event, or lets the next one of its order overtake it."""
    tries: Counter[tuple[str, int]] = Counter()

    async def stumble(_: AsyncConnection, move: ResidentMoved) -> None:
        tries[move.resident, move.number] += 1
        if move.number == 3 and tries[move.resident, move.number] < 4:
            raise RuntimeError("not now")

    await city.publish(residents=8, numbers=range(6))
    patient = Pace(attempts=5, backoff=0.01)
    async with running(city.relay(), city.consumers(city.reaction(meddle=stumble), pace=patient)):
        await city.until_seen(8, 6)
    assert await city.town.seen() == in_order(8, 6)
    assert await letters_of(city) == []


async def test_while_the_database_is_away_nothing_goes_aside(city: City) -> None:
    """Otherwise a restart of the database turns a minute's purchases into dead letters."""
    here = city.town.database.url
    away = Database("documents", here.set(database="nowhere"))
    there, elsewhere = city.reaction(), city.reaction("elsewhere")
    stranded = type(elsewhere)(elsewhere.consumer, elsewhere.events, away, messaging, elsewhere.handle)
    await city.publish(residents=4, numbers=range(5))
    async with running(city.relay(), city.consumers(there, stranded)):
        await city.until_seen(4, 5)
        await asyncio.sleep(1)
    assert await letters_of(city) == []
    await away.dispose()
    async with running(city.consumers(there, elsewhere)):
        await city.until_seen(4, 5, "elsewhere")
    assert await city.town.seen("elsewhere") == in_order(4, 5)
    assert await city.town.seen() == in_order(4, 5), "and what was done before is not done again"


async def test_an_event_too_large_for_kafka_goes_aside_and_the_next_follow(city: City) -> None:
    """Otherwise one monstrous event holds up a part of all orders for good."""
    huge = city.moved(resident="r0" + "x" * 1_100_000, number=0)
    async with city.town.database.transaction() as connection:
        await Outbox(messaging.outbox).publish(connection, [huge], datetime.now(UTC))
    await city.publish(residents=6, numbers=range(3))
    async with running(city.relay(), city.consumers(city.reaction())):
        await city.until_seen(6, 3)
        await city.town.quiet()
    (letter,) = await letters_of(city)
    assert (letter.consumer, letter.reason) == (
        "documents.relay",
        "The event is larger than a record of Kafka may be.",
    )


async def test_the_trace_of_a_request_goes_on_in_who_reacts(city: City) -> None:
    """Otherwise nobody can follow a purchase through the services that had a part in it."""
    traces = []

    async def note(_: AsyncConnection, __: ResidentMoved) -> None:
        traces.append(current_trace_id())

    continue_trace("a" * 32)
    await city.publish(residents=1, numbers=range(1))
    continue_trace("b" * 32)
    await city.publish(residents=1, numbers=range(1, 2))
    continue_trace("")
    async with running(city.relay(), city.consumers(city.reaction(meddle=note))):
        await city.until_seen(1, 2)
    assert traces == ["a" * 32, "b" * 32]
    assert [headers_of(record)["traceparent"][3:35] for record in city.records()] == [b"a" * 32, b"b" * 32]
