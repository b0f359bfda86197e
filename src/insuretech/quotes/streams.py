"""Live streams of quotes: events as they come, resumed by number, without loss or repetition.

A stream holds no connection and looks nothing up by itself once it has begun: events reach it through the hub of its
process, those that another process wrote through the bridge between hubs. One look a second for all streams together
catches what the bridge lost.
"""

import asyncio
import sys
from collections import Counter as Tally
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager, suppress
from uuid import UUID

import msgspec
import structlog
from prometheus_client import Counter, Gauge

from insuretech.contracts.text import Language
from insuretech.kit.keyring import CiphertextInvalid
from insuretech.kit.live import CLOSED, LAGGED, LiveHub
from insuretech.quotes.history import Histories
from insuretech.quotes.ports import QuoteEvent
from insuretech.quotes.queries import QuoteQueries
from insuretech.quotes.views import Views

log = structlog.get_logger(__name__)

STREAMS = Gauge("insuretech_quote_streams", "Open live streams of quotes.")
BACKLOGS = Counter(
    "insuretech_quote_stream_backlogs_total", "Times a stream read events from the table, by why.", ["why"]
)

HEARTBEAT = 15.0
"""Seconds of silence after which a comment is sent, so that proxies keep the connection."""
LOOK_AROUND = 1.0
_RETRY = b"retry: 1000\n\n"
_COMMENT = b":\n\n"


class Told(msgspec.Struct, frozen=True):
    """Events of one commit, at least one, in order."""

    events: tuple[QuoteEvent, ...]


class Behind(msgspec.Struct, frozen=True):
    """Told to streams: the table holds events up to this number."""

    last_event: int


class QuoteStreams:
    """The streams open in this process."""

    def __init__(
        self,
        hub: LiveHub,
        queries: QuoteQueries,
        histories: Histories,
        views: Views,
        heartbeat: float = HEARTBEAT,
    ) -> None:
        self._hub = hub
        self._queries = queries
        self._histories = histories
        self._views = views
        self._heartbeat = heartbeat
        self._open: Tally[UUID] = Tally()
        self._known: dict[UUID, int] = {}
        hub.understand(_KIND, self._heard)

    def tell(self, quote_id: UUID, events: Sequence[QuoteEvent]) -> None:
        """Hand events of one commit to whoever listens, here at once, at other replicas when the history has them.

        Who begins to listen just now and reads the history before they are in it hears afterwards that it is behind.
        """
        if events:
            channel, first, last = _channel(quote_id), events[0].sequence, events[-1].sequence
            lines = self._histories.wire.lines(quote_id, events)
            self._hub.publish(channel, Told(tuple(events)))
            added = self._histories.add(quote_id, first, last, lines)
            added.add_done_callback(lambda _: self._hub.publish(channel, Behind(last), quote_id.bytes + lines))

    def _heard(self, wire: bytes) -> Told | Behind:
        """What another replica has told."""
        quote_id = UUID(bytes=wire[:16])
        try:
            return Told(self._histories.wire.events(quote_id, wire[16:]))
        except CiphertextInvalid:
            return Behind(sys.maxsize)

    async def stream(self, quote_id: UUID, after: int, language: Language) -> AsyncIterator[bytes]:
        """Events numbered above ``after`` as server-sent events, ending with the last one of the quote."""
        with self._counted(quote_id), self._hub.subscribe(_channel(quote_id)) as subscription:
            yield _RETRY
            why, message = "start", LAGGED
            while message is not CLOSED:
                if events := await self._news(quote_id, after, message, why):
                    yield b"".join(self._views.event(event, language) for event in events)
                    if events[-1].kind == "completed":
                        return
                    after = events[-1].sequence
                why = "catch_up"
                message = await subscription.next(self._heartbeat)
                if message is None:
                    yield _COMMENT

    async def _news(self, quote_id: UUID, after: int, message: object, why: str) -> Sequence[QuoteEvent]:
        """What a message of the hub brings beyond ``after``; read from the table where it leaves a gap."""
        match message:
            case Told(events) if events[0].sequence <= after + 1:
                return [event for event in events if event.sequence > after]
            case Behind(last_event) if last_event <= after:
                return []
            case None:
                return []
        BACKLOGS.labels(why).inc()
        if why == "start":
            # Should the history be behind, the next look tells; it has to tell anew, also what it told others before.
            self._known.pop(quote_id, None)
            history = await self._histories.read(quote_id, after)
            return [event for event in history.events if event.sequence > after] if history else []
        return await self._queries.events_after(quote_id, after)

    @contextmanager
    def _counted(self, quote_id: UUID) -> Iterator[None]:
        self._open[quote_id] += 1
        STREAMS.inc()
        try:
            yield
        finally:
            STREAMS.dec()
            self._open[quote_id] -= 1
            if not self._open[quote_id]:
                del self._open[quote_id]

    async def run(self) -> None:
        """Look for what other processes wrote, for all open streams with one statement a second."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_AROUND):
                    await self._hub.gap.wait()
            self._hub.gap.clear()
            await self.look_around()

    async def look_around(self) -> None:
        """Tell streams how far the table is where that is news."""
        found = await self._queries.last_events(list(self._open)) if self._open else {}
        for quote_id, last_event in found.items():
            if last_event > self._known.get(quote_id, 0):
                self._hub.publish(_channel(quote_id), Behind(last_event))
        self._known = dict(found)


_KIND = "quote"


def _channel(quote_id: UUID) -> str:
    return f"{_KIND}:{quote_id}"
