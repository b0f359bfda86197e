"""Reading what one has just written, where others must first have heard of it.

A command's answer names the events it wrote in the header ``Insuretech-Position``, as ``<type>/<event id>, …``. A read
that brings the header along is answered when the service asked has handled those of them that concern it, or after a
bounded wait from what it knows. Positions say nothing to those who cannot read them, and a wrong one does no harm.
"""

from collections.abc import Sequence
from contextvars import ContextVar
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from litestar.datastructures import ResponseHeader
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from insuretech.kit.ids import made_at

HEADER = "Insuretech-Position"
DESCRIPTION = (
    "Positions that earlier answers gave in this header, joined with commas: the answer will have heard of those "
    "changes, or was waited for as long as is worth while."
)
GIVEN_HEADERS = (
    ResponseHeader(
        name=HEADER,
        description="Where this change stands in the log; bring it along to read it wherever others must hear of it.",
        documentation_only=True,
        required=False,
    ),
)

_MOST = 8
"""Positions in one header; commands write fewer events."""
_LATELY = timedelta(seconds=10)
_SAFE = {"GET", "HEAD", "OPTIONS", "TRACE"}


class Position(NamedTuple):
    """An event that was written: its type and its id."""

    type: str
    event_id: UUID

    def __str__(self) -> str:
        return f"{self.type}/{self.event_id}"


_written: ContextVar[list[Position] | None] = ContextVar("written", default=None)


def note_written(kind: str, event_id: UUID) -> None:
    """Remember an event for the answer to the request that is being carried out, if any."""
    written = _written.get()
    if written is not None:
        written.append(Position(kind, event_id))


def positions_in(header: str | None) -> list[Position]:
    """What a header names, the last of it; what cannot be read is left out."""
    found = []
    for part in (header or "").split(",")[-_MOST:]:
        kind, _, text = part.strip().partition("/")
        try:
            found.append(Position(kind, UUID(text)))
        except ValueError:
            continue
    return found


def header_of(positions: Sequence[Position]) -> str:
    """The header's value, of the last events of each type."""
    newest = {position.type: position for position in positions}
    return ", ".join(str(position) for position in list(newest.values())[-_MOST:])


def wrote_lately(header: str | None, service: str, now: datetime) -> bool:
    """Whether a header names an event of this service from the last ten seconds: its reader wants no copy of then."""
    return any(
        position.type.startswith(f"{service}.") and is_fresh(position, now, _LATELY)
        for position in positions_in(header)
    )


def is_fresh(position: Position, now: datetime, within: timedelta) -> bool:
    """Whether the event was written within a time of now; ids that are no UUIDv7 tell nothing and count as old."""
    try:
        return abs(now - made_at(position.event_id)) < within
    except OverflowError:
        return False


class Positions:
    """ASGI middleware: adds the header to the answers of commands that wrote events."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("method", "GET") in _SAFE:
            await self._app(scope, receive, send)
            return
        written: list[Position] = []

        async def with_positions(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] < 400 and written:
                value = header_of(written).encode("ascii")
                message["headers"] = [*message["headers"], (HEADER.lower().encode(), value)]
            await send(message)

        token = _written.set(written)
        try:
            await self._app(scope, receive, with_positions)
        finally:
            _written.reset(token)
