"""Knows which requests are open, so that a stop can wait for them for a while and then end them."""

import asyncio
from contextlib import suppress

from litestar.types import ASGIApp, Message, Receive, Scope, Send


class OpenRequests:
    """ASGI middleware for the very outside of the application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._open: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        task, started = asyncio.current_task(), False

        async def noting_the_start(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        if task is not None:
            self._open.add(task)
        try:
            await self._app(scope, receive, noting_the_start)
        except asyncio.CancelledError:
            # Ours at a stop: nobody above waits for it.
            if not started:
                with suppress(asyncio.CancelledError):
                    await _say_that_we_stop(send)
        finally:
            self._open.discard(task)

    def __len__(self) -> int:
        return len(self._open)

    async def finish(self, limit: float) -> None:
        """Return when none is open; requests still open after ``limit`` seconds are cancelled and answered with 503."""
        if self._open:
            await asyncio.wait(self._open, timeout=limit)
        for task in self._open:
            task.cancel()
        if self._open:
            await asyncio.wait(self._open, timeout=limit)


async def _say_that_we_stop(send: Send) -> None:
    headers = [(b"content-length", b"0"), (b"retry-after", b"5"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
