"""What becomes of the body of a request that is answered without it."""

import asyncio
from typing import Any, cast

import pytest
from litestar.types import HTTPScope, Message, ReceiveMessage

from insuretech.kit.bodies import reading_out

LENGTH = (b"content-length", b"2")
CHUNKED = (b"transfer-encoding", b"chunked")
EXPECT = (b"expect", b"100-continue")
CLOSE = (b"connection", b"close")


class Caller:
    """Sends a body in pieces, then nothing more; hears what was said."""

    def __init__(self, pieces: list[bytes], *, ends: bool) -> None:
        self._pieces = pieces
        self._ends = ends
        self.said: list[dict[str, Any]] = []

    async def receive(self) -> ReceiveMessage:
        if not self._pieces:
            await asyncio.Event().wait()
        piece = self._pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(self._pieces) or not self._ends}

    async def send(self, message: Message) -> None:
        self.said.append(cast("dict[str, Any]", message))

    @property
    def left(self) -> int:
        """How many pieces nobody has taken."""
        return len(self._pieces)

    async def answered(self, headers: list[tuple[bytes, bytes]], *said: tuple[bytes, bytes]) -> None:
        """Answer without having read."""
        _, telling = reading_out(cast("HTTPScope", {"headers": headers}), self.receive, self.send, seconds=0.05)
        await telling({"type": "http.response.start", "status": 404, "headers": list(said)})


@pytest.mark.parametrize("headers", [[LENGTH], [CHUNKED]])
async def test_a_body_nobody_needs_is_read_out(headers: list[tuple[bytes, bytes]]) -> None:
    """Otherwise the caller is reset while it sends, and never reads that it has to sign in again."""
    caller = Caller([b"x" * 65536] * 8, ends=True)
    await caller.answered(headers, (b"connection", b"keep-alive"))
    assert caller.left == 0
    assert CLOSE not in caller.said[0]["headers"]


@pytest.mark.parametrize(
    ("pieces", "ends"), [([b"{"], False), ([], False), ([b"x" * 65536] * 500, True)], ids=["slow", "none", "endless"]
)
async def test_a_caller_is_told_that_the_connection_closes(pieces: list[bytes], ends: bool) -> None:
    """Otherwise the next request on it is lost without a word, and may have been a purchase."""
    caller = Caller(pieces, ends=ends)
    await caller.answered([LENGTH], (b"connection", b"keep-alive"))
    assert caller.said[0]["headers"] == [CLOSE]


@pytest.mark.parametrize(
    ("headers", "said"), [([LENGTH, EXPECT], []), ([LENGTH], [CLOSE])], ids=["waits to be asked", "given up already"]
)
async def test_a_body_is_not_asked_for_to_be_thrown_away(
    headers: list[tuple[bytes, bytes]], said: list[tuple[bytes, bytes]]
) -> None:
    """Otherwise a caller that asked first sends megabytes for nothing, and a slow one holds its connection twice."""
    caller = Caller([b"{}"], ends=True)
    await caller.answered(headers, *said)
    assert caller.left == 1
    assert caller.said[0]["headers"] == [CLOSE]


@pytest.mark.parametrize("headers", [[(b"content-length", b"0")], []])
async def test_nothing_is_awaited_where_nothing_comes(headers: list[tuple[bytes, bytes]]) -> None:
    """Otherwise each request without a body is slow."""
    caller = Caller([], ends=False)
    async with asyncio.timeout(0.04):
        await caller.answered(headers)
    assert CLOSE not in caller.said[0]["headers"]


async def test_a_body_that_was_read_leaves_the_connection_open() -> None:
    """Otherwise each purchase needs a new connection."""
    caller = Caller([b"{}"], ends=True)
    noting, telling = reading_out(cast("HTTPScope", {"headers": [LENGTH]}), caller.receive, caller.send)
    await noting()
    await telling({"type": "http.response.start", "status": 201, "headers": []})
    assert CLOSE not in caller.said[0]["headers"]
