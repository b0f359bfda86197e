"""A small load generator over raw sockets: as many keep-alive connections as asked, one request in flight on each.

It parses just enough of an answer to know where it ends and whether it is the wanted one, so that one core of it
outruns one process of ours; the same code drives both sides of every comparison.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter
from typing import cast

NextRequest = Callable[[], bytes | None]
"""Gives the bytes of the next request, or None when there is no more to send."""


@dataclass
class Load:
    """What was seen: seconds of every answer in order of arrival, and answers that were not the wanted ones."""

    started: float = 0.0
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    failures: list[bytes] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Good answers a second."""
        return len(self.latencies) / self.seconds if self.seconds else 0.0

    def percentile(self, share: float) -> float:
        """The latency, in seconds, that ``share`` of the answers stayed within."""
        return percentile(self.latencies, share)


def percentile(values: list[float], share: float) -> float:
    """Nearest-rank percentile; NaN of nothing."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def request(method: str, path: str, *, headers: dict[str, str] | None = None, body: bytes = b"") -> bytes:
    """The bytes of one HTTP/1.1 request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if body or method == "POST":
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


async def drive(
    port: int, next_request: NextRequest, *, connections: int, wanted: int = 200, limit: float = 60.0
) -> Load:
    """Send until ``next_request`` gives None everywhere or ``limit`` seconds are over."""
    load = Load(started=perf_counter())
    loop = asyncio.get_running_loop()
    callers = [_Caller(next_request, f"HTTP/1.1 {wanted} ".encode(), load, loop) for _ in range(connections)]
    for caller in callers:
        await loop.create_connection(lambda caller=caller: caller, "127.0.0.1", port)  # type: ignore[misc]
    load.started = perf_counter()
    for caller in callers:
        caller.send()
    await asyncio.wait([caller.ended for caller in callers], timeout=limit)
    load.seconds = perf_counter() - load.started
    for caller in callers:
        caller.close()
    return load


async def steady(port: int, sent: bytes, *, connections: int, seconds: float) -> Load:
    """The same request over and over for so many seconds."""
    until = perf_counter() + seconds
    return await drive(
        port, lambda: sent if perf_counter() < until else None, connections=connections, limit=seconds + 10
    )


class _Caller(asyncio.Protocol):
    """One connection."""

    def __init__(self, next_request: NextRequest, wanted: bytes, load: Load, loop: asyncio.AbstractEventLoop) -> None:
        self.ended: asyncio.Future[None] = loop.create_future()
        self._next = next_request
        self._wanted = wanted
        self._load = load
        self._got = b""
        self._whole = 0
        self._sent_at = 0.0
        self._transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's own class, not one of asyncio's

    def send(self) -> None:
        following = self._next()
        if following is None:
            self.end()
            return
        self._got, self._whole = b"", 0
        self._sent_at = perf_counter()
        self._transport.write(following)

    def data_received(self, data: bytes) -> None:
        self._got = self._got + data if self._got else data
        if not self._whole:
            self._whole = length_of(self._got)
        if self._whole and len(self._got) >= self._whole:
            if self._got.startswith(self._wanted):
                self._load.latencies.append(perf_counter() - self._sent_at)
            else:
                self._load.failures.append(self._got)
            self.send()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done() and self._sent_at:
            self._load.failures.append(f"connection lost: {exc}".encode())
        self.end()

    def end(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

    def close(self) -> None:
        self.end()
        self._transport.close()


def length_of(answer: bytes) -> int:
    """Bytes of the whole answer, or 0 while its head is not complete; every answer here has a Content-Length."""
    head_end = answer.find(b"\r\n\r\n")
    if head_end < 0:
        return 0
    at = answer.lower().find(b"content-length:", 0, head_end)
    if at < 0:
        return head_end + 4
    return head_end + 4 + int(answer[at + 15 : answer.find(b"\r\n", at)])
