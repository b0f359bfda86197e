"""Clients of the databases: each has its near and its far proxy, writes under keys, and reads.

A process of its own, ``python -m deploy.drills.people ORDERS.json``, so that what starts and stops machines does not
slow it down. A write is one transaction that waits for its standbys: an order under its key, and its effect if the
order was not there. What got no answer in time is unknown, and is sent again under the same key, elsewhere, until it
is answered: then the row is written anew, so that the answer says that it is safe now, whatever the first attempt did.
"""

import asyncio
import random
import signal
import ssl
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg
import msgspec

from deploy.drills.history import Belief, Call, History

ATTEMPT = 3.0
"""Seconds after which a client holds an attempt for lost."""
CONNECT = 2.0
PATIENCE = 120.0
"""Seconds for which a client goes on with one key."""
_PAUSE = 0.2
_NO_ANSWER = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # told when what was given up is still under way
)

SCHEMA = """
create table if not exists drill_orders (
    key text primary key, client text not null, attempts integer not null default 1,
    made_at timestamptz not null default now()
);
create table if not exists drill_effects (key text not null, made_at timestamptz not null default now());
"""
_WRITE = """
insert into drill_orders (key, client) values ($1, $2)
on conflict (key) do update set attempts = drill_orders.attempts + 1
returning attempts
"""
_WHERE = "select host(inet_server_addr()), ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int"
_READ = "select count(*), host(inet_server_addr()), pg_is_in_recovery() from drill_orders where client = $1"


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """One of the crowd; ``proxies`` are addresses, the nearest first. ``every`` is seconds between its calls."""

    name: str
    writes: bool
    proxies: tuple[str, ...]
    every: float


class Crowd(msgspec.Struct, frozen=True, kw_only=True):
    """All clients and how they reach the databases; ``password`` names a file."""

    clients: tuple[Client, ...]
    authority: str
    password: str
    history: str
    write_port: int = 5000
    read_port: int = 5001
    user: str = "insuretech"
    database: str = "insuretech"


class Person:
    """One client at work."""

    def __init__(self, client: Client, crowd: Crowd, tls: ssl.SSLContext, history: History) -> None:
        self._client, self._crowd, self._tls, self._history = client, crowd, tls, history
        self._password = Path(crowd.password).read_text(encoding="ascii").split()[0]
        self._connection: asyncpg.Connection[Any] | None = None
        self._nearest = 0
        self._number = 0

    async def live(self, over: asyncio.Event) -> None:
        """Call at a steady pace, until it is over; a write that was begun is brought to its end."""
        step = self._write if self._client.writes else self._read
        while not over.is_set():
            began = time.monotonic()
            await step()
            left = self._client.every * random.uniform(0.8, 1.2) - (time.monotonic() - began)  # noqa: S311 - no secret
            if left > 0:
                with suppress(TimeoutError):
                    await asyncio.wait_for(over.wait(), left)
        await self._leave()

    async def _write(self) -> None:
        self._number += 1
        key = f"{self._client.name}-{self._number}"
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            if await self._attempt("write", key, lambda connection: self._order(connection, key)) == "done":
                return
            await asyncio.sleep(_PAUSE)

    async def _read(self) -> None:
        if await self._attempt("read", "", self._count) != "done":
            await asyncio.sleep(_PAUSE)

    async def _order(self, connection: "asyncpg.Connection[Any]", key: str) -> dict[str, Any]:
        async with connection.transaction():
            attempts = await connection.fetchval(_WRITE, key, self._client.name)
            if attempts == 1:
                await connection.execute("insert into drill_effects (key) values ($1)", key)
            server, timeline = await connection.fetchrow(_WHERE) or ("", 0)
        return {"server": server, "timeline": timeline}

    async def _count(self, connection: "asyncpg.Connection[Any]") -> dict[str, Any]:
        count, server, standby = await connection.fetchrow(_READ, self._client.name) or (0, "", False)
        return {"count": count, "server": server, "standby": standby}

    async def _attempt(
        self, operation: str, key: str, act: "Callable[[asyncpg.Connection[Any]], Awaitable[dict[str, Any]]]"
    ) -> Belief:
        """One try, noted with what we know afterwards."""
        start = time.time()
        belief: Belief = "refused"
        told: dict[str, Any] = {}
        error = ""
        try:
            if self._connection is None:
                self._connection = await self._connect()
            belief = "unknown"  # from here on it may have been carried out
            told = await self._in_time(act(self._connection))
            belief = "done"
        except _NO_ANSWER as failure:
            error = f"{type(failure).__name__}: {failure}"[:160]
            self._drop()
            self._nearest += 1  # the next one goes through the next proxy
        self._history.note(
            Call(
                start=start,
                end=time.time(),
                visitor=self._client.name,
                operation=operation,
                writes=self._client.writes,
                belief=belief,
                key=key,
                error=error,
                told=told,
            )
        )
        return belief

    async def _in_time(self, act: Awaitable[dict[str, Any]]) -> dict[str, Any]:
        """The answer, unless it takes too long: then the connection goes first, as an orderly end would wait, too."""
        task = asyncio.ensure_future(act)
        await asyncio.wait({task}, timeout=ATTEMPT)
        if not task.done():
            self._drop()
            task.cancel()
            await asyncio.wait({task}, timeout=1)
            raise TimeoutError
        return task.result()

    async def _connect(self) -> "asyncpg.Connection[Any]":
        """To the proxy that answered last; to the next one after it did not."""
        address = self._client.proxies[self._nearest % len(self._client.proxies)]
        port = self._crowd.write_port if self._client.writes else self._crowd.read_port
        return await asyncio.wait_for(
            asyncpg.connect(
                host=address,
                port=port,
                user=self._crowd.user,
                password=self._password,
                database=self._crowd.database,
                ssl=self._tls,
                timeout=CONNECT,
                statement_cache_size=8,
            ),
            CONNECT + 1,
        )

    def _drop(self) -> None:
        """Let go of a connection that may be dead."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def _leave(self) -> None:
        if self._connection is not None:
            with suppress(*_NO_ANSWER):
                await self._connection.close(timeout=2)


async def crowd_lives(crowd: Crowd, history: History) -> None:
    """All of them, until SIGTERM."""
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    tls = ssl.create_default_context(cafile=crowd.authority)
    await asyncio.gather(*(Person(client, crowd, tls, history).live(over) for client in crowd.clients))


def main() -> None:
    """Entry point."""
    crowd = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Crowd)
    with Path(crowd.history).open("a", encoding="utf-8") as file:
        asyncio.run(crowd_lives(crowd, History(file)))


if __name__ == "__main__":
    main()
