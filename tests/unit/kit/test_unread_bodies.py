"""What an answer says about its connection when the body of the request was not read."""

from typing import Any, cast

import pytest
from litestar.types import HTTPScope, Message, ReceiveMessage

from insuretech.kit.bodies import closing_unread

LENGTH = (b"content-length", b"2")
CHUNKED = (b"transfer-encoding", b"chunked")


@pytest.mark.parametrize(
    ("headers", "reads", "closes"),
    [
        ([LENGTH], False, True),
        ([LENGTH], True, False),
        ([CHUNKED], False, True),
        ([CHUNKED], True, False),
        ([(b"content-length", b"0")], False, False),
        ([], False, False),
    ],
)
async def test_a_caller_is_told_that_the_connection_closes(
    headers: list[tuple[bytes, bytes]], reads: bool, closes: bool
) -> None:
    """Otherwise the next request on it is lost without a word, and may have been a purchase."""
    said: list[dict[str, Any]] = []

    async def receive() -> ReceiveMessage:
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def send(message: Message) -> None:
        said.append(cast("dict[str, Any]", message))

    noting, telling = closing_unread(cast("HTTPScope", {"headers": headers}), receive, send)
    if reads:
        await noting()
    await telling({"type": "http.response.start", "status": 404, "headers": [(b"connection", b"keep-alive")]})
    assert ((b"connection", b"close") in said[0]["headers"]) is closes
