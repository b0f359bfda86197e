"""The relay of one machine: hands events from a service's outbox straight to the reactions of all services.

Delivery is at least once; events of one key arrive in order; a key that is being worked on waits without holding up
others. A reaction that keeps failing gets ``attempts`` tries, then the event goes to its dead letters with the reason.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import Any

import asyncpg
import msgspec
import sqlalchemy as sa
import structlog
from prometheus_client import Counter, Gauge
from sqlalchemy.dialects import postgresql as pg

from insuretech.kit.db import Connection, Database, own_connection
from insuretech.kit.direct import Direct
from insuretech.kit.events import Envelope, Event
from insuretech.kit.ids import new_id
from insuretech.kit.messaging import MessagingTables, Reaction, first_receipt, first_receipts
from insuretech.kit.outbox_floor import OutboxFloor
from insuretech.kit.tracing import continue_trace

log = structlog.get_logger(__name__)

DELIVERED = Counter("insuretech_events_delivered_total", "Events handled, by consumer.", ["consumer"])
DEAD = Counter("insuretech_dead_letters_total", "Events given up on, by consumer.", ["consumer"])
WAITING = Gauge("insuretech_outbox_waiting", "Events read from the outbox and not yet delivered.", ["service"])

_BATCH = 200
_REACTION_LIMIT = 60.0
"""Seconds after which a transaction counts as failed: longer than another process may hold what it needs."""
_LINGERS = 5
_TOGETHER = 50
"""Events that share a transaction at most, and keys: a long one makes others wait."""


class LocalRelay:
    """Relays one service's outbox inside this process.

    Only one relay per service is active at a time: it holds a session advisory lock, others wait for it.
    ``interval`` is the seconds between looks at the table when no notification comes, ``backoff`` the seconds before
    the second attempt of a failing reaction (doubled after each). Once notified it waits until nothing more was written
    for ``linger`` seconds, ``_LINGERS`` times at most: what is done for one request writes events several times within
    milliseconds, and each round costs several statements in the very moment in which a person waits for that request.
    """

    def __init__(
        self,
        database: Database,
        tables: MessagingTables,
        reactions: Sequence[Reaction],
        *,
        attempts: int = 5,
        interval: float = 1.0,
        backoff: float = 0.1,
        linger: float = 0.01,
        parallel_keys: int = 64,
    ) -> None:
        self._database = database
        self._next, self._published = _statements(tables.outbox)
        self._floor = OutboxFloor(tables.outbox)
        self._attempts = attempts
        self._interval = interval
        self._backoff = backoff
        self._linger = linger
        self._slots = asyncio.Semaphore(parallel_keys)
        self._wake = asyncio.Event()
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._passed_over = False
        self._by_type: defaultdict[str, list[Reaction]] = defaultdict(list)
        for reaction in reactions:
            for event in reaction.events:
                self._by_type[event.type_name()].append(reaction)

    async def run(self) -> None:
        """Relay until cancelled; survives a database that goes away."""
        while True:
            try:
                await self._relay_while_leader()
            except (OSError, sa.exc.SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                log.warning("relay.interrupted", service=self._database.service, error=type(error).__name__)
                await asyncio.sleep(self._interval)

    async def _relay_while_leader(self) -> None:
        connection = await own_connection(self._database)
        try:
            schema = self._database.service
            await connection.execute("select pg_advisory_lock(hashtext($1))", f"relay:{schema}")
            await connection.add_listener(f"{schema}_outbox", lambda *_: self._wake.set())
            while not connection.is_closed():
                if await self._start() < _BATCH:
                    await self._news()
                self._wake.clear()
        finally:
            for task in self._busy.values():
                task.cancel()
            await asyncio.gather(*self._busy.values(), return_exceptions=True)
            connection.terminate()

    async def _news(self) -> None:
        """Wait until something may be there to be relayed."""
        with contextlib.suppress(TimeoutError):  # not wait_for: before 3.12 it may lose a cancellation
            async with asyncio.timeout(self._interval):
                await self._wake.wait()
        for _ in range(_LINGERS if self._wake.is_set() else 0):
            self._wake.clear()
            await asyncio.sleep(self._linger)
            if not self._wake.is_set():
                return

    async def relay_once(self) -> bool:
        """Start work on what waits; False when there was nothing to start."""
        return await self._start() > 0

    async def _start(self) -> int:
        """Start work on what waits, ``_BATCH`` events at most; how many there were."""
        self._passed_over = bool(self._busy)
        events = await self._waiting()
        by_key: defaultdict[str, list[Envelope]] = defaultdict(list)
        for envelope in events:
            by_key[envelope.key].append(envelope)
        brief = [key for key, envelopes in by_key.items() if self._are_brief(envelopes)]
        for start in range(0, len(brief) if len(brief) > 1 else 0, _TOGETHER):
            together = {key: by_key.pop(key) for key in brief[start : start + _TOGETHER]}
            await self._begin(together, self._deliver_keys(together))
        for key, envelopes in by_key.items():
            await self._begin({key: envelopes}, self._deliver_key(envelopes))
        return len(events)

    async def _begin(self, by_key: Mapping[str, Sequence[Envelope]], work: Coroutine[Any, Any, None]) -> None:
        await self._slots.acquire()
        task = asyncio.create_task(work)
        events = sum(len(envelopes) for envelopes in by_key.values())
        self._busy |= dict.fromkeys(by_key, task)
        WAITING.labels(self._database.service).inc(events)
        task.add_done_callback(partial(self._finished, list(by_key), events))

    async def drain(self) -> None:
        """Deliver everything that waits; for tests and for replaying."""
        while await self.relay_once() or self._busy:
            await asyncio.gather(*self._busy.values())
            await asyncio.sleep(0)

    def _finished(self, keys: Sequence[str], events: int, task: asyncio.Task[None]) -> None:
        for key in keys:
            self._busy.pop(key, None)
        self._slots.release()
        WAITING.labels(self._database.service).dec(events)
        if task.cancelled():
            return
        if (error := task.exception()) is None:
            if self._passed_over:  # a look while a key is busy says nothing of its events
                self._wake.set()
        else:  # not woken: what was interrupted is tried again after the interval
            log.warning("relay.delivery_interrupted", service=self._database.service, error=type(error).__name__)

    async def _waiting(self) -> list[Envelope]:
        async with self._database.reading() as connection:
            if self._floor.is_due(asyncio.get_running_loop().time()):
                self._floor.learn((await connection.execute(sa.text(self._floor.sql))).mappings().one())
            values = {"busy": list(self._busy), "floor": self._floor.value}
            rows = await self._next.all(connection, values)
        return [Envelope(**{**row, "payload": msgspec.Raw(row["payload"])}) for row in rows]

    async def _deliver_key(self, envelopes: list[Envelope]) -> None:
        for kind, following in groupby(envelopes, attrgetter("type")):
            alike = list(following)
            for reaction in self._by_type[kind]:
                await self._deliver_alike(reaction, alike)
        await self._note_published(envelopes)

    def _are_brief(self, envelopes: Sequence[Envelope]) -> bool:
        """Whether whoever reacts to them takes many at once, so that events of other keys do not wait for them."""
        kinds = {envelope.type for envelope in envelopes}
        return all(reaction.handle_all is not None for kind in kinds for reaction in self._by_type.get(kind, ()))

    async def _deliver_keys(self, by_key: Mapping[str, list[Envelope]]) -> None:
        """Events of several keys, for each reaction in one transaction; key by key where that fails."""
        envelopes = [envelope for one in by_key.values() for envelope in one]
        reactions = {reaction.consumer: reaction for one in envelopes for reaction in self._by_type.get(one.type, ())}
        for reaction in reactions.values():
            types = {event.type_name() for event in reaction.events}
            alike = [envelope for envelope in envelopes if envelope.type in types]
            for start in range(0, len(alike), _TOGETHER):
                if not await deliver_together(reaction, alike[start : start + _TOGETHER]):
                    async with asyncio.TaskGroup() as each:
                        for one in by_key.values():
                            each.create_task(self._deliver_key(one))
                    return
        await self._note_published(envelopes)

    async def _note_published(self, envelopes: Sequence[Envelope]) -> None:
        async with self._database.reading() as connection:
            await self._published.all(connection, {"ids": [envelope.id for envelope in envelopes]})

    async def _deliver_alike(self, reaction: Reaction, envelopes: list[Envelope]) -> None:
        """Events of one kind that follow each other: in one transaction if that works, else one by one."""
        for start in range(0, len(envelopes), _TOGETHER):
            some = envelopes[start : start + _TOGETHER]
            if len(some) > 1 and await deliver_together(reaction, some):
                continue
            for envelope in some:
                await deliver(reaction, envelope, attempts=self._attempts, backoff=self._backoff)


def _statements(outbox: sa.Table) -> tuple[Direct, Direct]:
    """What waits from the ``floor`` on of other keys than the ``busy`` ones, and that ``ids`` have been delivered."""
    busy, floor = sa.bindparam("busy", type_=pg.ARRAY(sa.Text)), sa.bindparam("floor", type_=sa.BigInteger)
    ids = sa.bindparam("ids", type_=pg.ARRAY(pg.UUID(as_uuid=True)))
    waiting = (
        sa.select(*(outbox.c[name] for name in Envelope.__struct_fields__))
        .where(outbox.c.published_at.is_(None), outbox.c.position >= floor, outbox.c.key != sa.all_(busy))
        .order_by(outbox.c.position)
        .limit(_BATCH)
    )
    published = sa.update(outbox).where(outbox.c.id == sa.any_(ids)).values(published_at=sa.func.now())
    return Direct(waiting), Direct(published)


Buried = Callable[[str, Envelope, str], Awaitable[None]]
"""Told of consumer, event and reason when an event was given up on."""


async def deliver(
    reaction: Reaction, envelope: Envelope, *, attempts: int, backoff: float, buried: Buried | None = None
) -> bool:
    """Run one reaction on one event; False when it ended among the dead letters.

    While the reaction's database is away failures prove nothing: the error is raised and the event stays in the outbox.
    """
    continue_trace(envelope.trace_id)
    reason = ""
    for attempt in range(attempts):
        if attempt:
            await asyncio.sleep(backoff * 2 ** (attempt - 1))
        try:
            async with asyncio.timeout(_REACTION_LIMIT):
                await _react(reaction, envelope)
        except Exception as error:  # noqa: BLE001 - whatever a reaction raises, the others must go on
            await reaction.database.ping()
            reason = f"{type(error).__name__}: {error}"
            log.warning("reaction.failed", consumer=reaction.consumer, event_id=str(envelope.id), attempt=attempt + 1)
        else:
            DELIVERED.labels(reaction.consumer).inc()
            return True
    await bury(reaction.database, reaction.tables, reaction.consumer, envelope, reason, attempts)
    if buried is not None:
        await buried(reaction.consumer, envelope, reason)
    return False


async def deliver_together(reaction: Reaction, envelopes: Sequence[Envelope]) -> bool:
    """Run one reaction on several events in one transaction: a commit is what an event costs most.

    False when that failed and nothing was done; which event is at fault shows when each is tried alone.
    """
    told: list[Event] = []
    try:
        async with asyncio.timeout(_REACTION_LIMIT), reaction.database.transaction() as connection:
            by_id = {envelope.id: envelope for envelope in envelopes}  # a repeat may follow in the very same batch
            fresh = await first_receipts(connection, reaction.tables.inbox, reaction.consumer, list(by_id))
            new = [envelope for event_id, envelope in by_id.items() if event_id in fresh]
            for _, alike in groupby(new, attrgetter("type")):
                told += await _react_to_alike(reaction, connection, list(alike))
    except Exception as error:  # noqa: BLE001 - whatever it is, the same happens again to the event alone
        log.info("reaction.failed_together", consumer=reaction.consumer, error=type(error).__name__)
        return False
    DELIVERED.labels(reaction.consumer).inc(len(envelopes))
    if reaction.after_commit is not None:
        for event in told:
            reaction.after_commit(event)
    return True


async def _react_to_alike(reaction: Reaction, connection: Connection, envelopes: Sequence[Envelope]) -> Sequence[Event]:
    """Events of one type that follow each other, in the caller's transaction."""
    events = []
    for envelope in envelopes:
        continue_trace(envelope.trace_id)
        events.append(event := reaction.decode(envelope))
        if reaction.handle_all is None:
            await reaction.handle(connection, event, envelope)
    if reaction.handle_all is not None:
        await reaction.handle_all(connection, events)
    return events


async def _react(reaction: Reaction, envelope: Envelope) -> None:
    event = reaction.decode(envelope)
    async with reaction.database.transaction() as connection:
        fresh = await first_receipt(connection, reaction.tables.inbox, reaction.consumer, envelope.id)
        if fresh:
            await reaction.handle(connection, event, envelope)
    if fresh and reaction.after_commit is not None:
        reaction.after_commit(event)


async def bury(
    database: Database, tables: MessagingTables, consumer: str, envelope: Envelope, reason: str, attempts: int
) -> None:
    """Put an event aside with the reason, for a person to look at and perhaps replay."""
    table = tables.dead_letters
    row = {
        "id": new_id(),
        "consumer": consumer,
        "event_id": envelope.id,
        "type": envelope.type,
        "envelope": msgspec.json.encode(envelope),
        "reason": _storable(reason)[:2000],
        "attempts": attempts,
    }
    statement = pg.insert(table).values(row)
    statement = statement.on_conflict_do_update(
        index_elements=["consumer", "event_id"],
        set_={"reason": row["reason"], "attempts": table.c.attempts + attempts, "replayed_at": None},
    )
    async with database.transaction() as connection:
        await connection.execute(statement)
    DEAD.labels(consumer).inc()
    log.error("event.buried", consumer=consumer, event_id=str(envelope.id), type=envelope.type)


def _storable(text: str) -> str:
    """A text PostgreSQL takes: without U+0000 and halves of surrogate pairs."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
