"""Runs one application as a process: its signals, its port, its server, and a stop in good order."""

import asyncio
import contextlib
import errno
import gc
import os
import resource
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import msgspec
import uvloop
from litestar import Litestar

from insuretech.compose.lifecycle import Gate, Phase
from insuretech.kit.failures import Unusable
from insuretech.kit.http_server import ConnectionLimits, HttpServer
from insuretech.kit.open_requests import OpenRequests
from insuretech.kit.settings import Settings

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_STOP_LIMIT = 2.0  # seconds for open requests, and again for background loops
_WATCH_INTERVAL = 1.0
_GARBAGE = 10_000  # objects made and not yet dropped, after which rings among them are looked for

Announce = Callable[[Settings], None]


class CannotServe(Unusable):
    """The surroundings do not allow to start or to go on; the message is one sentence for a person."""


class Hosted(Protocol):
    """What a composition root makes: an application with things that run beside it."""

    @property
    def app(self) -> Litestar: ...

    @property
    def phase(self) -> Phase: ...

    def work(self) -> None:
        """Called once when requests are answered."""
        ...

    def begin_stop(self) -> None:
        """Let open streams end, so that the server can finish its open requests."""
        ...


@dataclass(frozen=True)
class Stopping:
    """The wish to stop, and whether there is a running server that can heed it."""

    asked: asyncio.Event
    serving: asyncio.Event


def run_until_signal(main: Callable[[Stopping], Awaitable[None]]) -> None:
    """Run ``main``; a signal ends a start half-way, or a running one in good order. Must run in the main thread."""
    uvloop.run(_until_signal(main))


async def _until_signal(main: Callable[[Stopping], Awaitable[None]]) -> None:
    stopping = Stopping(asyncio.Event(), asyncio.Event())
    running = asyncio.ensure_future(main(stopping))

    def stop() -> None:
        stopping.asked.set()
        if not stopping.serving.is_set():
            running.cancel()

    for number in _SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stop)
    try:
        await running
    except asyncio.CancelledError:
        if not stopping.asked.is_set():
            raise


async def host(
    hosted: Hosted,
    settings: Settings,
    stopping: Stopping,
    announce: Announce,
    *,
    drain: float = 0.0,
    trouble: Callable[[], str | None] = lambda: None,
) -> None:
    """Serve until asked to stop; ``announce`` is called once, when requests are answered.

    After the wish to stop, requests are still taken for ``drain`` seconds while the probes send callers elsewhere.
    ``trouble`` is asked every second whether something we cannot go on without has ended; its sentence is raised.
    """
    requests = OpenRequests(Gate(hosted.app, hosted.phase))
    async with _started(hosted.app):
        server = HttpServer(requests)
        await _listen(server, settings)
        try:
            spare_what_stays()
            hosted.work()
            stopping.serving.set()
            announce(settings)
            await _until_stopped(stopping.asked, trouble)
            hosted.phase.drain()
            await asyncio.sleep(drain)
        finally:
            hosted.begin_stop()
            server.close()
            await requests.finish(_STOP_LIMIT)


def spare_what_stays() -> None:
    """Let the garbage collector look only at what requests leave behind, and look for it less often.

    Going through all that was loaded at the start stops everything for tens of milliseconds, several times a minute.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GARBAGE, 20, 20)


@contextlib.asynccontextmanager
async def _started(app: Litestar) -> AsyncIterator[None]:
    """The application's own life, whose end may not hang."""
    life = app.lifespan()
    try:
        await life.__aenter__()
    except ExceptionGroup as group:
        known = _known_cause(group)
        if known is None:
            raise
        raise known from group
    try:
        yield
    finally:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_LIMIT):
                await life.__aexit__(None, None, None)


def _known_cause(group: ExceptionGroup[Exception]) -> Unusable | None:
    """What a person can put right among the reasons for which the application did not start."""
    for error in group.exceptions:
        found = _known_cause(error) if isinstance(error, ExceptionGroup) else error
        if isinstance(found, Unusable):
            return found
    return None


async def _listen(server: HttpServer, settings: Settings) -> None:
    try:
        await server.listen(settings.host, settings.port)
    except OSError as error:
        raise CannotServe(f"Port {settings.port} on {settings.host} cannot be served: {error.strerror}.") from error


async def _until_stopped(asked: asyncio.Event, trouble: Callable[[], str | None]) -> None:
    """Return when asked to stop; raise when something we cannot do without ended by itself."""
    while not asked.is_set():
        if sentence := trouble():
            raise CannotServe(sentence)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asked.wait(), _WATCH_INTERVAL)


@contextlib.contextmanager
def surroundings(settings: Settings) -> Iterator[Settings]:
    """Make ready what every process needs; gives the settings with the port that will be served (0 takes a free one).

    Before the event loop listens for signals itself, they end the program the normal way, so that what was opened
    inside the block is closed.
    """
    before = {number: signal.signal(number, lambda *_: sys.exit(0)) for number in _SIGNALS}
    try:
        settings = msgspec.structs.replace(settings, port=_free_port(settings.host, settings.port))
        _make_home(settings)
        _allow_connections()
        yield settings
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _free_port(host: str, port: int) -> int:
    """The port, or a free one for 0; raises ``CannotServe`` when it cannot be had, before anything is begun."""
    if not 0 <= port <= 65535:
        raise CannotServe(f"Port {port} does not exist; choose one from 1 to 65535.")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            return int(probe.getsockname()[1])
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise CannotServe(
                f"Port {port} on {host} is taken by another program; stop that, or choose another port with PORT=."
            ) from error
        raise CannotServe(f"Port {port} on {host} cannot be used: {error.strerror}.") from error


def _make_home(settings: Settings) -> None:
    """Make the folder of all data and see that it can be written; what we put there is for nobody else to read.

    Others may pass through it, as PostgreSQL has to where root must run it under another user.
    """
    os.umask(0o077)
    try:
        settings.home.parent.mkdir(parents=True, exist_ok=True)
        if not settings.home.exists():
            settings.home.mkdir()
            settings.home.chmod(0o711)
        with tempfile.TemporaryFile(dir=settings.home):
            pass
    except OSError as error:
        reason = os.strerror(errno.ENOTDIR) if isinstance(error, FileExistsError) else error.strerror
        raise CannotServe(f"The folder {settings.home} cannot be written: {reason}.") from error


def _allow_connections() -> None:
    """Let this process hold as many connections as the system allows it, as 1,024 are a common default."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY:
        wanted = ConnectionLimits().connections * 2
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(wanted, hard)) if hard > 0 else wanted, hard))
