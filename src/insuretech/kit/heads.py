"""HEAD requests: what GET would answer, without its body (RFC 9110, 9.3.2)."""

import asyncio
from typing import cast

from litestar.types import ASGIApp, HTTPScope, Message, Receive, ReceiveMessage, Send


async def answer_head(app: ASGIApp, scope: HTTPScope, receive: Receive, send: Send) -> None:
    """Let ``app`` answer GET and send the head of its answer; a stream is told that its reader has left."""
    answered = asyncio.Event()
    asked = False

    async def heard() -> ReceiveMessage:
        nonlocal asked
        if not asked:
            asked = True
            return await receive()
        await answered.wait()
        return {"type": "http.disconnect"}

    async def headless(message: Message) -> None:
        if message["type"] == "http.response.start":
            await send(message)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            answered.set()

    await app(cast("HTTPScope", {**scope, "method": "GET"}), heard, headless)
