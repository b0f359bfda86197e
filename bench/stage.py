"""What the measurements share: our server and its counterparts as processes on cores of their own, and their memory."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

import httpx
import msgspec
from rich.console import Console

from tests.ports import free_port
from tests.system.running import RunningMarketplace

CORES = sorted(os.sched_getaffinity(0))
SERVER_CORES = CORES[:1]
LOAD_CORES = CORES[1:] or CORES

console = Console(width=150)


@contextmanager
def on_cores(cores: list[int]) -> Iterator[None]:
    """Processes started inside run on these cores only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def marketplace(settings: Mapping[str, str] | None = None) -> Iterator[RunningMarketplace]:
    """Our server on a folder of its own, as safe with data as in real life."""
    with TemporaryDirectory(prefix="insuretech-bench-") as folder:
        # PostgreSQL may have to run as another user than root, who must be able to pass through.
        Path(folder).chmod(0o755)
        with RunningMarketplace(Path(folder) / "home", dict(settings or {})) as market:
            yield market


@contextmanager
def process(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    """A counterpart, ended when the measurement is over."""
    with subprocess.Popen(command) as child:  # noqa: S603 - our own words
        try:
            yield child
        finally:
            child.kill()


@contextmanager
def bare_litestar(bodies: Mapping[str, bytes]) -> Iterator[int]:
    """The limit for reads on a free port: Litestar under our server that returns these bytes; gives the port."""
    port = free_port()
    with TemporaryDirectory(prefix="insuretech-bench-") as folder:
        for name, body in bodies.items():
            (Path(folder) / name).write_bytes(body)
        with process(sys.executable, "-m", "bench.bare", str(port), folder):
            yield port


@contextmanager
def quick_insurers() -> Iterator[int]:
    """Insurers that answer at once, in a process of their own; gives the port."""
    port = free_port()
    with process(sys.executable, "-m", "bench.insurer", str(port)):
        yield port


@asynccontextmanager
async def client(base_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """An ordinary client for all that is not measured."""
    limits = httpx.Limits(max_connections=64)
    async with httpx.AsyncClient(base_url=base_url, timeout=60, limits=limits, trust_env=False) as http:
        yield http


async def answering(port: int, limit: float = 20.0) -> None:
    """Return when something listens."""
    until = monotonic() + limit
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            if monotonic() > until:
                raise
            await asyncio.sleep(0.02)
        else:
            writer.close()
            return


class Memory(msgspec.Struct, frozen=True):
    """Memory of a process in MB: resident, and with shared pages divided among those who share them."""

    resident: float
    proportional: float


def memory_of(pid: int) -> Memory:
    """What the kernel says of a process now."""
    found = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]:
        name, value, *_ = line.split()
        found[name.rstrip(":")] = int(value) / 1024
    return Memory(resident=found["Rss"], proportional=found["Pss"])
