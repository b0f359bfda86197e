"""Reading what one has just written, and never reading less than one has read before.

An answer names in the header ``Insuretech-Position`` what its reader knows by now: the events that a command wrote, as
``<type>/<event id>``, and the versions of what was shown, as ``<kind>/<id>@<version>``, after what the request itself
brought along. So whoever sends the last such header with each request needs to keep nothing else. A read that brings it
is answered when the service asked has handled those events that concern it, or after a bounded wait from what it knows,
and never from a copy older than the versions named. Positions say nothing to those who cannot read them, and a wrong
one does no harm.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from litestar.datastructures import ResponseHeader
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from insuretech.kit.ids import made_at

HEADER = "Insuretech-Position"
DESCRIPTION = (
    "The last value that an answer had in this header: this answer will then have heard of what its reader did and saw "
    "before, or was waited for as long as is worth while, and shows nothing in an earlier state."
)
GIVEN_HEADERS = (
    ResponseHeader(
        name=HEADER,
        description=(
            "What the reader of this answer knows by now, with what the request brought along. Keep the last value of "
            "any answer and send it with each request: what was done shows wherever others must hear of it, and "
            "nothing is shown in an earlier state than before."
        ),
        documentation_only=True,
        required=False,
    ),
)

MOST = 16
"""Positions in one header; who goes about more than so many things at once may see the first of them as they were."""
_KIND = re.compile(r"[a-z0-9_.-]{1,60}")
_NEWEST = 2**62
_HEADER = HEADER.lower().encode()


class Position(NamedTuple):
    """An event that was written, by its type and id; or with a version, a thing that was shown, by its kind and id."""

    type: str
    id: UUID
    version: int | None = None

    def __str__(self) -> str:
        return f"{self.type}/{self.id}" if self.version is None else f"{self.type}/{self.id}@{self.version}"


_noted: ContextVar[list[Position] | None] = ContextVar("noted", default=None)


def note_written(kind: str, event_id: UUID) -> None:
    """Remember an event for the answer to the request that is being carried out, if any."""
    _note(Position(kind, event_id))


def note_shown(kind: str, thing: UUID, version: int) -> None:
    """Remember which version of a thing the answer to this request shows or makes."""
    _note(Position(kind, thing, version))


def _note(position: Position) -> None:
    noted = _noted.get()
    if noted is not None:
        noted.append(position)


@contextmanager
def noted_if_done() -> Iterator[None]:
    """What is noted within counts once this has ended well: a transaction that fails has written nothing."""
    before = _noted.get()
    if before is None:
        yield
        return
    within: list[Position] = []
    _noted.set(within)
    try:
        yield
    finally:
        _noted.set(before)
    before += within


def positions_in(header: str | None) -> list[Position]:
    """What a header names, the last of it; what cannot be read is left out."""
    found = (_position(part.strip()) for part in (header or "").split(",")[-MOST:])
    return [position for position in found if position is not None]


def _position(text: str) -> Position | None:
    kind, _, rest = text.partition("/")
    thing, at, version = rest.partition("@")
    try:
        position = Position(kind, UUID(thing), int(version) if at else None)
    except ValueError:
        return None
    known = _KIND.fullmatch(kind) and 0 <= (position.version or 0) <= _NEWEST
    return position if known else None


def header_of(positions: Iterable[Position]) -> str:
    """The header's value: of each type of event the last, of each thing the newest version; the last ``MOST``."""
    newest: dict[tuple[str, UUID | None], Position] = {}
    for position in positions:
        key = (position.type, None if position.version is None else position.id)
        before = newest.pop(key, position)
        newest[key] = position if position.version is None else max(before, position, key=lambda one: one.version or 0)
    return ", ".join(str(position) for position in list(newest.values())[-MOST:])


def version_in(header: str | None, kind: str, thing: UUID) -> int:
    """The newest version of a thing that a header names; 0 when it names none."""
    named = (one.version or 0 for one in positions_in(header) if (one.type, one.id) == (kind, thing))
    return max(named, default=0)


def is_fresh(position: Position, now: datetime, within: timedelta) -> bool:
    """Whether the event was written within a time of now; ids that are no UUIDv7 tell nothing and count as old."""
    try:
        return abs(now - made_at(position.id)) < within
    except OverflowError:
        return False


class Positions:
    """ASGI middleware: adds the header to answers that have something to name."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        noted: list[Position] = []

        async def with_positions(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] < 400 and noted:
                value = header_of([*_brought(scope), *noted]).encode("ascii")
                message["headers"] = [*message["headers"], (_HEADER, value)]
            await send(message)

        token = _noted.set(noted)
        try:
            await self._app(scope, receive, with_positions)
        finally:
            _noted.reset(token)


def _brought(scope: Scope) -> Sequence[Position]:
    """What a request says that its sender knows."""
    for name, value in scope.get("headers", ()):
        if name == _HEADER:
            return positions_in(value.decode("latin-1"))
    return ()
