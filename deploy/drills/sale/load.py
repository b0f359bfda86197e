"""The load: people arrive at a steady rate, whatever becomes of those before them (open loop).

``python -m deploy.drills.sale.load URL HISTORY --searches 5 --purchases 1`` runs until SIGTERM or SIGINT; then nobody
new arrives, and who is on the way may finish for a while. It is a process of its own, so that neither a busy test nor
a frozen service slows the arrivals down, and so that it may be started in other people's network.
"""

import argparse
import asyncio
import contextlib
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import uvloop

from deploy.drills.history import Call, History
from deploy.drills.names import Names
from deploy.drills.sale.visitors import GaveUp, Street, Visitor

CROWD = 800
"""People at once; whoever comes then is turned away, which the history says."""
_FINISH = 45.0  # seconds for those on their way when the load ends
_REPORT = 10.0


@dataclass(frozen=True)
class Rates:
    """Arrivals a second. A purchase begins with a search of its own."""

    searches: float = 5.0
    purchases: float = 1.0

    def arrivals(self, began: float) -> list["Stream"]:
        only_look = max(0.0, self.searches - self.purchases)
        return [Stream("search", only_look, began), Stream("purchase", self.purchases, began)]


@dataclass
class Stream:
    """Arrivals of one kind, evenly spaced."""

    errand: str
    rate: float
    began: float
    number: int = 0

    @property
    def next_at(self) -> float:
        return self.began + self.number / self.rate if self.rate else float("inf")


@dataclass
class Load:
    """Everybody on the street.

    ``seed`` decides what they choose and their idempotency keys, so the same one must not be used twice on one cluster.
    ``called``: how their names begin.
    """

    street: Street
    rates: Rates
    seed: int
    called: str = ""
    under_way: set[asyncio.Task[None]] = field(default_factory=set)
    gave_up: int = 0
    failed: list[str] = field(default_factory=list)

    async def run(self, stopping: asyncio.Event) -> None:
        """Let people arrive until told to stop, then let them finish."""
        streams = self.rates.arrivals(time.time())
        while not stopping.is_set():
            stream = min(streams, key=lambda one: one.next_at)
            if (wait := stream.next_at - time.time()) > 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await stopping.wait()
                        continue
            self._arrive(stream)
        if self.under_way:
            await asyncio.wait(self.under_way, timeout=_FINISH)
        for task in list(self.under_way):
            task.cancel()
        await asyncio.gather(*self.under_way, return_exceptions=True)

    def _arrive(self, stream: Stream) -> None:
        name = f"{self.called}-{stream.errand}-{stream.number}" if self.called else f"{stream.errand}-{stream.number}"
        stream.number += 1
        if len(self.under_way) >= CROWD:
            now = time.time()
            self.street.history.note(
                Call(start=now, end=now, visitor=name, operation="turned away", writes=False, belief="refused")
            )
            return
        visitor = Visitor(name, self.street, random.Random(f"{self.seed}/{name}"))  # noqa: S311 - no secrets
        errand: Callable[[], Coroutine[Any, Any, object]]
        errand = visitor.buy if stream.errand == "purchase" else visitor.look_around
        task = asyncio.create_task(self._go(name, errand))
        self.under_way.add(task)
        task.add_done_callback(self.under_way.discard)

    async def _go(self, name: str, errand: Callable[[], Coroutine[Any, Any, object]]) -> None:
        try:
            await errand()
        except GaveUp as error:
            self.gave_up += 1
            self._note_end(name, "gave up", str(error))
        except (KeyError, ValueError, TypeError) as error:  # an answer that is not what the API promises
            self.failed.append(f"{name}: {error!r}")
            self._note_end(name, "not understood", repr(error))

    def _note_end(self, name: str, operation: str, error: str) -> None:
        now = time.time()
        self.street.history.note(
            Call(start=now, end=now, visitor=name, operation=operation, writes=False, belief="unknown", error=error)
        )


async def run(base: str, path: Path, rates: Rates, seed: int, called: str = "", servers: Sequence[str] = ()) -> None:
    """The load against one address until a signal comes. ``servers``: whom to ask for names, else this machine's."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    # Names that change are kept by the resolver for as long as their servers say.
    names = Names(servers) if servers else None
    connector = aiohttp.TCPConnector(limit=0, resolver=names, use_dns_cache=names is None, ttl_dns_cache=300)
    with path.open("a", encoding="utf-8") as file:
        async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as http:
            load = Load(Street(http, base, History(file)), rates, seed, called)
            told = asyncio.create_task(_tell(load, stopping))
            try:
                await load.run(stopping)
            finally:
                told.cancel()
    for failure in load.failed:
        sys.stderr.write(f"not understood: {failure}\n")


async def _tell(load: Load, stopping: asyncio.Event) -> None:
    """A line now and then for whoever watches the log; nobody comes any more when those who sent us are gone."""
    senders = os.getppid()
    while True:
        await asyncio.sleep(_REPORT)
        if os.getppid() != senders:
            stopping.set()
        sys.stderr.write(f"{len(load.under_way)} on their way, {load.gave_up} gave up\n")
        sys.stderr.flush()


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("history", type=Path)
    parser.add_argument("--searches", type=float, default=5.0)
    parser.add_argument("--purchases", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=time.time_ns(), help="another one for each load on the same data")
    parser.add_argument("--called", default="", help="how the names of all visitors begin")
    parser.add_argument("--servers", default="", help="name servers, with commas; else this machine's")
    given = parser.parse_args()
    rates, servers = Rates(given.searches, given.purchases), [one for one in given.servers.split(",") if one]
    uvloop.run(run(given.url.rstrip("/"), given.history, rates, given.seed, given.called, servers))


if __name__ == "__main__":
    main()
