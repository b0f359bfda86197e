"""The relay to Kafka: one in every replica of a service, sharing the outbox by ranges of keys, in order for each key.

A range is relayed by whoever holds its advisory lock, a lock of the very session that reads the outbox and marks what
was sent: without the session nothing more is read, and the lock is free as soon as its holder is gone. Within a range
one batch is sent after the other, each from the first event that is not marked on. So in the log every event comes
first behind all earlier ones of its key, whoever sent those. Somebody who takes over in the middle sends again what was
sent and not marked; what the one before had still in flight may then arrive late, as a repeat, which receivers drop by
the event's id.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

import asyncpg
import msgspec
import structlog
from prometheus_client import Counter, Gauge, Histogram

from insuretech.kit.db import Database, Session, own_connection
from insuretech.kit.events import Envelope
from insuretech.kit.kafka import Kafka
from insuretech.kit.kafka_producer import LARGEST_EVENT, EventProducer, NotSent
from insuretech.kit.messaging import MessagingTables
from insuretech.kit.outbox_floor import OutboxFloor
from insuretech.kit.ranges import next_step
from insuretech.kit.relay_statements import RANGES, RelayStatements

log = structlog.get_logger(__name__)

RELAYED = Counter("insuretech_events_relayed_total", "Events sent to Kafka and acknowledged, by topic.", ["topic"])
REFUSED = Counter("insuretech_events_refused_total", "Events too large for Kafka, set aside.", ["service"])
DELAY = Histogram(
    "insuretech_relay_delay_seconds",
    "From the moment an event occurred until Kafka had it.",
    ["service"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 5, 30, 300, 3600),
)
WAITING = Gauge("insuretech_relay_backlog", "Events that wait for Kafka; counted up to 100,000.", ["service"])
OLDEST = Gauge("insuretech_relay_lag_seconds", "Age of the oldest event that waits for Kafka.", ["service"])
HELD = Gauge("insuretech_relay_ranges", "Ranges of keys this process relays.", ["service"])
TROUBLE = Counter("insuretech_relay_interruptions_total", "Batches not sent, by service.", ["service"])

_HEARTBEAT_LIMIT = 5.0
_LONGEST_REST = 5.0
_LONG = 5.0
_COUNT_EVERY = 15.0
_PORTION = 2_000_000  # bytes of events that are sent at once


class KafkaRelay:
    """Relays one service's outbox to Kafka, together with its replicas.

    ``interval`` is the seconds between looks at the table and at the other relays when no notification comes; ``batch``
    the most events of a range that are sent at once. A relay whose session has not been heard of for ``stale_after``
    seconds is taken for frozen and its session ended, so that others go on. What Kafka has not acknowledged after
    ``patience`` seconds is sent again by another producer: one may wait for ever for a topic that was made anew. On
    cancellation a batch under way has ``grace`` seconds to end.
    """

    def __init__(
        self,
        database: Database,
        tables: MessagingTables,
        kafka: Kafka,
        *,
        interval: float = 1.0,
        batch: int = 500,
        stale_after: float = 10.0,
        patience: float = 30.0,
        grace: float = 2.0,
    ) -> None:
        self._database = database
        self._service = database.service
        self._kafka = kafka
        self._sql = RelayStatements(tables)
        self._floor = OutboxFloor(tables.outbox)
        self._interval = interval
        self._batch = batch
        self._stale_after = stale_after
        self._patience = patience
        self._grace = grace
        self._wake = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()
        self._held: dict[int, asyncio.Task[None] | None] = {}
        self._producer: EventProducer | None = None
        self._failures = 0

    async def run(self) -> None:
        """Relay until cancelled; survives a database and a Kafka that go away."""
        while True:
            try:
                await self._take_part()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
                log.warning("relay.interrupted", service=self._service, error=type(error).__name__)
            await asyncio.sleep(self._interval)

    async def _take_part(self) -> None:
        connection = await own_connection(self._database)
        try:
            await connection.add_listener(f"{self._service}_outbox", lambda *_: self._wake.set())
            await connection.execute(self._sql.be_present)
            await self._go_on(connection)
        finally:
            await self._let_go(list(self._held))
            HELD.labels(self._service).set(0)
            self._abandon()
            connection.terminate()

    async def _go_on(self, connection: Session) -> None:
        """Take one's share of ranges and send what waits in them, until the session is lost."""
        me: int = connection.get_server_pid()
        clock = asyncio.get_running_loop().time
        next_look, next_count = 0.0, 0.0
        while True:
            self._wake.clear()
            if clock() >= next_look:
                moved = await self._share_out(connection, me)
                next_look = clock() + (0.05 if moved else self._interval)
            if clock() >= next_count:
                await self._count(connection)
                next_count = clock() + _COUNT_EVERY
            if not await self._start_sending(connection):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(max(0.0, next_look - clock())):
                        await self._wake.wait()

    # ------------------------------------------------------------ who relays what

    async def _share_out(self, connection: Session, me: int) -> bool:
        """Give up and take ranges as the others come and go; whether anything moved."""
        present, holders, stale = await self._seen(connection)
        for pid in stale - {me}:
            log.warning("relay.frozen_one_ended", service=self._service, pid=pid)
            await self._ask(connection, self._sql.end_session, pid)
        step = next_step(RANGES, sorted(present - stale | {me}), me, holders)
        for number in step.give_up:
            await self._let_go([number])
            await self._ask(connection, self._sql.unlock, number)
        for number in step.take:
            if (await self._ask(connection, self._sql.try_lock, number))[0]["taken"]:
                self._held[number] = None
        HELD.labels(self._service).set(len(self._held))
        return bool(step.give_up or step.take or stale)

    async def _seen(self, connection: Session) -> tuple[set[int], dict[int, int], set[int]]:
        """Sessions of relays, which range is held by which, and the sessions not heard of for too long."""
        present, holders, stale = set(), {}, set()
        for row in await self._ask(connection, self._sql.locks):
            if row["number"] < RANGES:
                holders[row["number"]] = row["pid"]
            else:
                present.add(row["pid"])
            if (row["silent"] or 0.0) > self._stale_after:
                stale.add(row["pid"])
        return present, holders, stale

    async def _let_go(self, numbers: Sequence[int]) -> None:
        """Let batches under way end, so that nobody need send them again; but not for long."""
        tasks = [task for number in numbers if (task := self._held.pop(number)) is not None]
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=self._grace)
        if late:  # they would reach Kafka whenever it is back, beside those of the next holder
            self._abandon()
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    def _abandon(self) -> None:
        if self._producer is not None:
            self._producer.abandon()
            self._producer = None

    # ------------------------------------------------------------ sending

    async def _start_sending(self, connection: Session) -> bool:
        """Start work on every idle range for which something waits; whether there may be more of it."""
        idle = [number for number, task in self._held.items() if task is None]
        if not idle:
            return False
        limit = self._batch * len(idle)
        if self._floor.is_due(asyncio.get_running_loop().time()):
            self._floor.learn((await self._ask(connection, self._floor.sql))[0])
        rows = await self._ask(connection, self._sql.waiting, idle, limit, self._floor.value)
        waiting: defaultdict[int, list[Envelope]] = defaultdict(list)
        for row in rows:
            waiting[row["range"]].append(_envelope(row))
        for number, envelopes in waiting.items():
            task = asyncio.create_task(self._send(connection, _portion(envelopes, self._batch)))
            self._held[number] = task
            task.add_done_callback(partial(self._ended, number))
        return len(rows) == limit

    def _ended(self, number: int, task: asyncio.Task[None]) -> None:
        if self._held.get(number) is task:
            self._held[number] = None
        if task.cancelled():
            return
        if (error := task.exception()) is None:
            self._wake.set()
        else:  # not woken: it is tried again after the interval
            log.warning("relay.work_failed", service=self._service, error=type(error).__name__, reason=str(error))

    async def _send(self, connection: Session, envelopes: Sequence[Envelope]) -> None:
        fitting = [envelope for envelope in envelopes if len(envelope.payload) <= LARGEST_EVENT]
        if self._producer is None:
            self._producer = EventProducer(self._kafka)
        producer = self._producer
        try:
            await self._acknowledged(producer.send(fitting))
        except NotSent as error:
            await self._rest(producer, error)
            return
        self._failures = 0
        now = datetime.now(UTC)
        for envelope in envelopes:
            if len(envelope.payload) > LARGEST_EVENT:
                await self._set_aside(connection, envelope)
        await self._ask(connection, self._sql.mark, [envelope.id for envelope in envelopes])
        for envelope in fitting:
            RELAYED.labels(envelope.topic).inc()
            DELAY.labels(self._service).observe((now - envelope.occurred_at).total_seconds())

    async def _acknowledged(self, sent: asyncio.Future[None]) -> None:
        """Wait, and say so when it takes long; raises ``NotSent`` when it takes too long."""
        done, _ = await asyncio.wait({sent}, timeout=min(_LONG, self._patience))
        if not done:
            TROUBLE.labels(self._service).inc()
            log.warning("relay.waits_for_kafka", service=self._service)
            done, _ = await asyncio.wait({sent}, timeout=max(0.0, self._patience - _LONG))
        if not done:
            sent.cancel()
            raise NotSent(f"no answer in {self._patience:.0f} s")
        await sent

    async def _rest(self, producer: EventProducer, error: NotSent) -> None:
        """Begin anew with another producer, after a while that grows with every failure."""
        if self._producer is producer:
            log.warning("relay.not_sent", service=self._service, reason=str(error))
            TROUBLE.labels(self._service).inc()
            self._abandon()
            self._failures += 1
        await asyncio.sleep(min(0.2 * 2**self._failures, _LONGEST_REST))

    async def _set_aside(self, connection: Session, envelope: Envelope) -> None:
        """An event that Kafka will never take must not hold up the others."""
        REFUSED.labels(self._service).inc()
        log.error("relay.refused", service=self._service, event_id=str(envelope.id), type=envelope.type)
        letter = msgspec.json.encode(envelope)
        consumer, reason = f"{self._service}.relay", "The event is larger than a record of Kafka may be."
        await self._ask(connection, self._sql.bury, envelope.id, consumer, envelope.type, letter, reason)

    # ------------------------------------------------------------ its own session

    async def _ask(self, connection: Session, sql: str, *values: Any) -> list[asyncpg.Record]:
        """One statement at a time on the session that holds the locks, so that none is run without them."""
        async with self._one_at_a_time, asyncio.timeout(_HEARTBEAT_LIMIT):
            return await connection.fetch(sql, *values)

    async def _count(self, connection: Session) -> None:
        """One of the relays keeps the figures of the backlog: who holds the first range."""
        waiting, oldest = 0, 0.0
        if 0 in self._held:
            row = (await self._ask(connection, self._sql.count))[0]
            waiting, oldest = row["waiting"], row["age"] or 0.0
        WAITING.labels(self._service).set(waiting)
        OLDEST.labels(self._service).set(oldest)


def _envelope(row: asyncpg.Record) -> Envelope:
    values = {name: row[name] for name in Envelope.__struct_fields__ if name != "payload"}
    return Envelope(**values, payload=msgspec.Raw(row["payload"]))


def _portion(envelopes: Sequence[Envelope], most: int) -> list[Envelope]:
    """The first few, by number and size; at least one."""
    some: list[Envelope] = []
    size = 0
    for envelope in envelopes[:most]:
        size += len(envelope.payload)
        if some and size > _PORTION:
            break
        some.append(envelope)
    return some
