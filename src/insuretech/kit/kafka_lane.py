"""Handling the records of one partition: in order, several at once where that works, aside what cannot be handled."""

import asyncio
from base64 import b64encode
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from uuid import NAMESPACE_OID, uuid5

import msgspec
import structlog
from confluent_kafka import Message
from prometheus_client import Counter, Histogram

from insuretech.kit.dead_letter_records import DeadLetterRecords
from insuretech.kit.events import Envelope
from insuretech.kit.kafka import Kafka, RecordInvalid, envelope_of
from insuretech.kit.messaging import Reaction
from insuretech.kit.relay import bury, deliver, deliver_together

log = structlog.get_logger(__name__)

DELAY = Histogram(
    "insuretech_event_delay_seconds",
    "From the moment an event occurred until a service had handled it.",
    ["service"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 5, 30, 300, 3600),
)
WAITS = Counter("insuretech_consumer_waits_total", "Times a partition waited for the database.", ["service"])

_LONGEST_WAIT = 5.0


@dataclass(frozen=True)
class Pace:
    """How hard to try and how much to do at once.

    A failing reaction gets ``attempts``, the second after ``backoff`` seconds, doubled after each; ``together`` records
    share a transaction at most; ``parallel`` transactions run at once, so that requests find connections too.
    """

    attempts: int = 5
    backoff: float = 0.1
    together: int = 50
    parallel: int = 4


USUAL_PACE = Pace()


class Handling:
    """What a service does with records, whatever partition they come from."""

    def __init__(
        self,
        service: str,
        reactions: Sequence[Reaction],
        kafka: Kafka,
        known: frozenset[str],
        pace: Pace,
    ) -> None:
        self.service = service
        self.pace = pace
        self._reactions = reactions
        self._known = known
        self._slots = asyncio.Semaphore(pace.parallel)
        self._letters = DeadLetterRecords(kafka, service)
        self._types = [frozenset(event.type_name() for event in reaction.events) for reaction in reactions]

    async def handle(self, messages: Sequence[Message]) -> None:
        """Every reaction on every record, in order; raises what the database says while it is away."""
        envelopes = [envelope for message in messages if (envelope := await self._read(message)) is not None]
        for reaction, types in zip(self._reactions, self._types, strict=True):
            mine = [envelope for envelope in envelopes if envelope.type in types]
            for start in range(0, len(mine), self.pace.together):
                await self._react(reaction, mine[start : start + self.pace.together])
        now = datetime.now(UTC)
        for envelope in envelopes:
            DELAY.labels(self.service).observe((now - envelope.occurred_at).total_seconds())

    async def _read(self, message: Message) -> Envelope | None:
        """The event of a record, or None when it went aside."""
        try:
            envelope = envelope_of(message)
        except RecordInvalid as error:
            await self._set_aside(_as_found(message), str(error))
            return None
        if self._known and envelope.type not in self._known:
            await self._set_aside(envelope, "This version knows no event of this type.")
            return None
        return envelope

    async def _react(self, reaction: Reaction, envelopes: Sequence[Envelope]) -> None:
        if len(envelopes) > 1:
            async with self._slots:
                if await deliver_together(reaction, envelopes):
                    return
        by_key: defaultdict[str, list[Envelope]] = defaultdict(list)
        for envelope in envelopes:
            by_key[envelope.key].append(envelope)
        async with asyncio.TaskGroup() as tasks:
            for following in by_key.values():
                tasks.create_task(self._one_by_one(reaction, following))

    async def _one_by_one(self, reaction: Reaction, envelopes: Sequence[Envelope]) -> None:
        for envelope in envelopes:
            async with self._slots:
                attempts, backoff = self.pace.attempts, self.pace.backoff
                await deliver(reaction, envelope, attempts=attempts, backoff=backoff, buried=self._letters.send)

    async def _set_aside(self, envelope: Envelope, reason: str) -> None:
        """A record that concerns no reaction in particular goes aside under the service's own name."""
        some = self._reactions[0]
        await bury(some.database, some.tables, self.service, envelope, reason, 1)
        await self._letters.send(self.service, envelope, reason)


class Lane:
    """The records of one partition, waiting and under way.

    ``next_offset`` is the first that is not handled yet; ``paused`` is for whoever fills the lane.
    """

    def __init__(self, handling: Handling) -> None:
        self._handling = handling
        self._waiting: deque[Message] = deque()
        self._more = asyncio.Event()
        self._stopping = False
        self._task = asyncio.create_task(self._run())
        self._told: int | None = None
        self.next_offset: int | None = None
        self.paused = False

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def put(self, message: Message) -> None:
        self._waiting.append(message)
        self._more.set()

    def take_progress(self) -> int | None:
        """The offset to go on from, if it moved since this was asked last."""
        offset = self.next_offset
        if offset is None or offset == self._told:
            return None
        self._told = offset
        return offset

    async def stop(self, grace: float) -> None:
        """Begin nothing new; what is under way has ``grace`` seconds to end."""
        self._stopping = True
        self._more.set()
        await asyncio.wait({self._task}, timeout=grace)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            if not self._waiting:
                self._more.clear()
                await self._more.wait()
            if self._stopping:
                return
            some = list(islice(self._waiting, self._handling.pace.together * 2))
            await self._until_handled(some)
            for _ in some:
                self._waiting.popleft()

    async def _until_handled(self, messages: Sequence[Message]) -> None:
        """Try until the database lets us; failures of the records themselves have ended among the dead letters."""
        pause = 0.25
        while True:
            try:
                await self._handling.handle(messages)
            except Exception as error:  # noqa: BLE001 - whatever it is: this partition waits, the others go on
                reason = type(error.exceptions[0] if isinstance(error, ExceptionGroup) else error).__name__
                log.warning("consumer.waits", service=self._handling.service, error=reason)
                WAITS.labels(self._handling.service).inc()
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_WAIT)
            else:
                self.next_offset = (messages[-1].offset() or 0) + 1
                return


def _as_found(message: Message) -> Envelope:
    """A record that is no event, as one that can be put aside: its id follows from its place, its value is kept."""
    place = f"{message.topic()}/{message.partition()}/{message.offset()}"
    _, milliseconds = message.timestamp()
    key, value = message.key(), message.value()
    found = {"place": place, "key": b64encode(key or b"").decode(), "value": b64encode(value or b"").decode()}
    return Envelope(
        id=uuid5(NAMESPACE_OID, place),
        type="unreadable",
        topic=message.topic() or "",
        key=(key or b"").decode("utf-8", "replace").replace("\0", ""),
        occurred_at=datetime.fromtimestamp(max(milliseconds, 0) / 1000, UTC),
        trace_id="",
        payload=msgspec.Raw(msgspec.json.encode(found)),
    )
