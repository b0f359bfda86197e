"""What the live stream of each quote has told, in hot storage, so that a stream may begin or go on at any replica.

An entry's version is the number of its last event. Its value is lines: whose quote it is, then an event each. An
insurer's own words may repeat the answers, which are personal data, and so such an event is encrypted.
"""

import asyncio
import base64
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from insuretech.kit.clock import Clock
from insuretech.kit.hot import Entry, Growth, HotStore
from insuretech.kit.keyring import CiphertextInvalid, Keyring
from insuretech.kit.projections import Projection
from insuretech.quotes.domain import is_plain
from insuretech.quotes.ports import NoOfferLine, QuoteEvent
from insuretech.quotes.queries import QuoteQueries

KEPT_FOR = 3600.0
"""Seconds after the last event; by then nearly nobody looks any more, and who does is served by the database."""

_decoder = msgspec.json.Decoder(QuoteEvent)
_SEALED = b"!"


class History(msgspec.Struct, frozen=True, kw_only=True):
    """The events of a quote so far, in order."""

    owner: str
    events: tuple[QuoteEvent, ...]

    @property
    def last_event(self) -> int:
        return self.events[-1].sequence if self.events else 0

    @property
    def over(self) -> bool:
        """Whether nothing follows."""
        return bool(self.events) and self.events[-1].kind == "completed"


class Wire:
    """Events as lines, as they are stored and sent to other replicas."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def lines(self, quote_id: UUID, events: Sequence[QuoteEvent]) -> bytes:
        return b"".join(self._line(quote_id, event) for event in events)

    def events(self, quote_id: UUID, lines: bytes) -> tuple[QuoteEvent, ...]:
        """Raises ``CiphertextInvalid`` when it takes a key we do not have."""
        return tuple(self._event(quote_id, line) for line in lines.splitlines())

    def _line(self, quote_id: UUID, event: QuoteEvent) -> bytes:
        encoded = msgspec.json.encode(event)
        if isinstance(event.data, NoOfferLine) and not is_plain(event.data.reason):
            encoded = _SEALED + base64.b64encode(self._keyring.encrypt(encoded, _context(quote_id)))
        return encoded + b"\n"

    def _event(self, quote_id: UUID, line: bytes) -> QuoteEvent:
        if line.startswith(_SEALED):
            line = self._keyring.decrypt(base64.b64decode(line[1:]), _context(quote_id))
        return _decoder.decode(line)


class Histories:
    """The projection ``quotes.offers``."""

    def __init__(self, hot: HotStore, queries: QuoteQueries, keyring: Keyring, clock: Clock) -> None:
        self.wire = Wire(keyring)
        source = _Source(queries, self.wire, clock)
        self.projection = Projection("quotes.offers", hot, source, clock, ttl=KEPT_FOR, same=self._same)

    async def read(self, quote_id: UUID, at_least: int = 0) -> History | None:
        """What was told up to now, or shortly before; events up to ``at_least`` are surely there."""
        entry = await self.projection.read(str(quote_id), at_least)
        if entry is None:
            return None
        try:
            return self._history(quote_id, entry.value)
        except CiphertextInvalid:
            entry = await self.projection.read(str(quote_id), entry.version + 1)  # from the source, in the clear
            return None if entry is None else self._history(quote_id, entry.value)

    def begin(self, quote_id: UUID, owner: str) -> None:
        """A quote was submitted and has told nothing yet."""
        self.projection.put_soon({str(quote_id): Entry(0, _first_line(owner))})

    def add(self, quote_id: UUID, first: int, last: int, lines: bytes) -> asyncio.Task[None]:
        """Events of one commit, by the numbers of the first and the last; done when they can be read."""
        return self.projection.grow_soon(str(quote_id), Growth(first - 1, last, lines))

    def _history(self, quote_id: UUID, value: bytes) -> History:
        owner, _, lines = value.partition(b"\n")
        return History(owner=owner.decode(), events=self.wire.events(quote_id, lines))

    def _same(self, name: str, one: bytes, other: bytes) -> bool:
        """Encrypting twice gives two ciphertexts of the same."""
        return one == other or self._history(UUID(name), one) == self._history(UUID(name), other)


class _Source:
    """The database, as the projection sees it."""

    def __init__(self, queries: QuoteQueries, wire: Wire, clock: Clock) -> None:
        self._queries = queries
        self._wire = wire
        self._clock = clock

    async def load(self, names: Collection[str]) -> Mapping[str, Entry]:
        found = await self._queries.told([UUID(name) for name in names])
        return {
            str(quote_id): Entry(told.last_event, _first_line(told.owner) + self._wire.lines(quote_id, told.events))
            for quote_id, told in found.items()
        }

    async def changed(self, since: datetime) -> Mapping[str, int]:
        return {str(quote_id): last for quote_id, last in (await self._queries.told_since(since)).items()}

    async def everything(self) -> AsyncIterator[Sequence[str]]:
        since = self._clock.now() - timedelta(seconds=KEPT_FOR)
        async for some in self._queries.submitted_since(since):
            yield [str(quote_id) for quote_id in some]


def _first_line(owner: str) -> bytes:
    return owner.encode() + b"\n"


def _context(quote_id: UUID) -> str:
    return f"quotes.history:{quote_id}"
