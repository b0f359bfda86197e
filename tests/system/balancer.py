"""A load balancer as small as a test needs: it asks the probes, and leads requests to replicas that are ready.

What it does when a replica fails is what ours in production are told to do: a request that was surely not begun goes to
another replica, any other only where it merely reads.
"""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count

import aiohttp
from aiohttp import web

from insuretech.compose.addresses import service_of

CHECK_EVERY = 0.2
_PROBE_LIMIT = 20.0  # seconds; who died refuses at once, who is slow shares a busy machine
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "content-encoding", "host"}


@dataclass
class Server:
    """One replica as the balancer knows it."""

    service: str
    address: str
    ready: bool = False
    taken: int = 0
    """Requests it was given."""


@dataclass
class Balancer:
    """Serves on a port of its own in a thread of its own; ``X-Replica: 2`` asks for the second of a service.

    ``pinned`` does so for all paths that begin so.
    """

    port: int
    servers: list[Server] = field(default_factory=list)
    pinned: dict[str, str] = field(default_factory=dict)
    _turns: "count[int]" = field(default_factory=count)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> "Balancer":
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(10)

    def of(self, service: str) -> list[Server]:
        return [server for server in self.servers if server.service == service]

    async def _serve(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._lead)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        async with aiohttp.ClientSession(auto_decompress=False) as self._http:
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", self.port).start()
            checking = asyncio.create_task(self._check())
            await asyncio.to_thread(self._stop.wait)
            checking.cancel()
            await runner.cleanup()

    async def _check(self) -> None:
        while True:
            await asyncio.gather(*(self._probe(server) for server in list(self.servers)))
            await asyncio.sleep(CHECK_EVERY)

    async def _probe(self, server: Server) -> None:
        limit = aiohttp.ClientTimeout(total=_PROBE_LIMIT)
        try:
            async with self._http.get(f"{server.address}/healthz/ready", timeout=limit) as answer:
                server.ready = answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            server.ready = False

    async def _lead(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        for server in self._candidates(request):
            server.taken += 1
            try:
                async with self._passed_on(server, request, body) as answer:
                    return await _given_back(request, answer)
            except aiohttp.ClientConnectorError:
                continue
            except aiohttp.ClientError:
                if request.method not in {"GET", "HEAD"}:
                    return web.Response(status=502)
        return web.Response(status=503)

    def _candidates(self, request: web.Request) -> list[Server]:
        """Ready replicas, another one first every time; only the one asked for if one is."""
        those = self.of(service_of(request.path) or "")
        pinned = next((number for begins, number in self.pinned.items() if request.path.startswith(begins)), "")
        if wish := request.headers.get("X-Replica", pinned):
            return [those[int(wish) - 1]]
        ready = [server for server in those if server.ready]
        turn = next(self._turns) % max(1, len(ready))
        return ready[turn:] + ready[:turn]

    @asynccontextmanager
    async def _passed_on(
        self, server: Server, request: web.Request, body: bytes
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP}
        headers["Host"] = request.host
        async with self._http.request(
            request.method,
            f"{server.address}{request.raw_path}",
            headers=headers,
            data=body or None,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_PROBE_LIMIT),
        ) as answer:
            yield answer


async def _given_back(request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status)
    for name, value in answer.headers.items():
        if name.lower() not in _HOP_BY_HOP - {"content-encoding"}:
            response.headers.add(name, value)
    await response.prepare(request)
    with suppress(aiohttp.ClientError, ConnectionError):  # broken off: so is what we give
        async for piece in answer.content.iter_any():
            await response.write(piece)
        await response.write_eof()
    return response
