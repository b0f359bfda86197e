"""A stop waits for open requests, but not for ever."""

import asyncio
from typing import Any

from insuretech.kit.open_requests import OpenRequests


async def call(requests: OpenRequests) -> list[dict[str, Any]]:
    """Make one request; what was sent for it."""
    sent: list[dict[str, Any]] = []

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope: Any = {"type": "http"}
    await requests(scope, receive, send)
    return sent


async def test_a_request_under_way_is_finished() -> None:
    """Otherwise a buyer who pays while we stop gets an error for a payment that was made."""

    async def app(_: Any, __: Any, send: Any) -> None:
        await asyncio.sleep(0.02)
        await send({"type": "http.response.start", "status": 200, "headers": []})

    requests = OpenRequests(app)
    calling = asyncio.create_task(call(requests))
    await asyncio.sleep(0)
    assert len(requests) == 1

    await requests.finish(limit=5)

    assert [message["status"] for message in await calling] == [200]
    assert len(requests) == 0


async def test_a_request_that_hangs_is_told_to_come_back() -> None:
    """Otherwise Ctrl-C waits for as long as the slowest caller likes."""

    async def app(*_: Any) -> None:
        await asyncio.sleep(60)

    requests = OpenRequests(app)
    calling = asyncio.create_task(call(requests))
    await asyncio.sleep(0)

    await requests.finish(limit=0.01)

    start, end = await calling
    assert start["status"] == 503
    assert (b"retry-after", b"5") in start["headers"]
    assert not end["more_body"]


async def test_an_answer_that_has_begun_is_only_cut_off() -> None:
    """Otherwise a second status line is written into the middle of a live stream."""

    async def app(_: Any, __: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.sleep(60)

    requests = OpenRequests(app)
    calling = asyncio.create_task(call(requests))
    await asyncio.sleep(0)

    await requests.finish(limit=0.01)

    assert [message["type"] for message in await calling] == ["http.response.start"]
