"""Serves an ASGI application over HTTP/1.1 on the running loop: Uvicorn's protocol, and limits for heads of requests.

Uvicorn's own server takes the process's signals and asks every tenth of a second whether to stop. Our processes have a
life of their own (``compose/hosting.py``), so that only its protocol is used.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from email.utils import formatdate

from litestar.types import ASGIApp
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

_BACKLOG = 4096  # connections that may wait to be accepted
_DATE_INTERVAL = 1.0
_HELD = 256 * 1024  # bytes of an answer that wait for what follows


@dataclass(frozen=True)
class ConnectionLimits:
    """What callers may take: connections at once, bytes of a head, seconds for it, seconds between requests.

    A live quote holds one connection. Whatever stands in front of us must drop idle connections sooner than we do, or
    it sends requests into connections that we are about to close; that is a minute at most for those we know.
    """

    connections: int = 8192
    head_bytes: int = 64 * 1024
    head_seconds: float = 30.0
    idle_seconds: int = 75


class HttpServer:
    """Serves from ``listen`` until ``close``."""

    def __init__(self, app: ASGIApp, limits: ConnectionLimits | None = None) -> None:
        self._limits = limits or ConnectionLimits()
        self._state = ServerState()
        self._listening: asyncio.Server | None = None
        self._dating: asyncio.Task[None] | None = None
        self._config = Config(
            app,
            interface="asgi3",
            http=HttpToolsProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=self._limits.idle_seconds,
        )
        self._config.load()

    async def listen(self, host: str, port: int) -> None:
        """Take connections from now on; raises ``OSError`` where the address cannot be had."""
        self._tell_date()
        loop = asyncio.get_running_loop()
        self._listening = await loop.create_server(self._connection, host, port, backlog=_BACKLOG)
        self._dating = asyncio.create_task(self._keep_date())

    def close(self) -> None:
        """Take no more connections, hang up where nothing is asked, and elsewhere once it is answered."""
        if self._listening is not None:
            self._listening.close()
        if self._dating is not None:
            self._dating.cancel()
        for connection in list(self._state.connections):
            connection.shutdown()

    async def break_off(self) -> None:
        """End what is still open."""
        tasks = list(self._state.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _connection(self) -> asyncio.Protocol:
        return _Connection(self._config, self._state, self._limits)

    async def _keep_date(self) -> None:
        while True:
            await asyncio.sleep(_DATE_INTERVAL)
            self._tell_date()

    def _tell_date(self) -> None:
        """An origin server that has a clock says when it answered (RFC 9110, 6.6.1)."""
        self._state.default_headers = [(b"date", formatdate(usegmt=True).encode("ascii"))]


@contextlib.asynccontextmanager
async def serving(app: ASGIApp, port: int, limits: ConnectionLimits | None = None) -> AsyncIterator[None]:
    """Serve an application to this machine while the block runs; whatever is open at its end is broken off."""
    server = HttpServer(app, limits)
    await server.listen("127.0.0.1", port)
    try:
        yield
    finally:
        server.close()
        await server.break_off()


class _Connection(HttpToolsProtocol):
    """A connection that cannot fill the memory with a head, nor hold its place without ever finishing one."""

    def __init__(self, config: Config, state: ServerState, limits: ConnectionLimits) -> None:
        super().__init__(config, state, app_state={})
        self._limits = limits
        self._head = 0
        self._in_head = False
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as there
        corked = Corked(transport, self.loop)
        super().connection_made(corked)  # type: ignore[arg-type]  # all of a transport that Uvicorn uses
        if len(self.connections) > self._limits.connections:
            self._refuse(503, b"retry-after: 1\r\n")
        else:  # nothing is asked yet, as when browsers and proxies open connections beforehand
            self.timeout_keep_alive_task = self.loop.call_later(
                self._limits.idle_seconds, self.timeout_keep_alive_handler
            )

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        super().data_received(data)
        if not self._in_head:
            return
        self._head += len(data)
        if self._head > self._limits.head_bytes:
            self._refuse(431)
        elif self._deadline is None:
            self._deadline = self.loop.call_later(self._limits.head_seconds, self._refuse, 408)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head, self._in_head = 0, True

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._head_is_there()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_is_there()
        super().connection_lost(exc)

    def _head_is_there(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _refuse(self, status: int, more: bytes = b"") -> None:
        """Say why, unless that would break into the answer before it, and hang up."""
        self._head_is_there()
        last: RequestResponseCycle | None = self.cycle
        if last is None or last.response_complete:
            self.transport.write(STATUS_LINE[status] + more + b"content-length: 0\r\nconnection: close\r\n\r\n")
        self.transport.close()


class Corked:
    """A transport on which what is written in one turn of the loop leaves together.

    Uvicorn writes the head of an answer and its body one by one, and uvloop sends each by a system call of its own: a
    fifth of the time of a short answer.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held: list[bytes] = []
        self._size = 0
        self.is_closing = transport.is_closing
        self.get_extra_info = transport.get_extra_info
        self.pause_reading = transport.pause_reading
        self.resume_reading = transport.resume_reading

    def write(self, data: bytes) -> None:
        """Send at the end of this turn, or now where much is held: callers must come to feel a slow reader."""
        if not self._held:
            self._loop.call_soon(self._flush)
        self._held.append(data)
        self._size += len(data)
        if self._size >= _HELD:
            self._flush()

    def close(self) -> None:
        """Send what is held and hang up."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        held, self._held, self._size = self._held, [], 0
        if held and not self._transport.is_closing():
            self._transport.write(b"".join(held))
