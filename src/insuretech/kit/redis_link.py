"""One connection to one Redis node, shared by everything in the process: many requests on their way at once, in order.

redis-py packs requests and reads answers; its clients would hold a connection for every request instead.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from typing import Any

from redis.asyncio.connection import Connection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

_OURS = 0.05
"""Seconds by which a time limit goes off late when the process has more to do than it can."""

Command = Sequence[str | bytes | int]
Answer = Any
"""What Redis answered, or the ``ResponseError`` it refused with."""

FAILURES = (RedisError, OSError, TimeoutError)
"""All by which a node can fail to answer."""


def new_connection(host: str, port: int, limit: float) -> Connection:
    """A connection that is not open yet and never tries twice; opening takes at most ``limit`` seconds."""
    return Connection(
        host=host, port=port, socket_connect_timeout=limit, retry=Retry(NoBackoff(), 0), socket_keepalive=True
    )


async def connect(connection: Connection) -> None:
    """Open a connection; raises one of ``FAILURES``."""
    await connection.connect()  # type: ignore[no-untyped-call]  # redis-py leaves it untyped


class Link:
    """Asks one node. ``limit`` is seconds for a request with its answers, and for opening the connection.

    A connection that was too slow once is closed, so that everything else on it fails at once, too.
    """

    def __init__(self, host: str, port: int, limit: float) -> None:
        self.host = host
        self.port = port
        self._limit = limit
        self._connection: Connection | None = None
        self._opening = asyncio.Lock()
        self._waiting: deque[tuple[asyncio.Future[list[Answer]], int]] = deque()
        self._reader: asyncio.Task[None] | None = None
        self._outgoing: list[bytes] = []
        self._writer: asyncio.Task[None] | None = None

    async def ask(self, commands: Sequence[Command]) -> list[Answer]:
        """Send commands together; one answer each. Raises one of ``FAILURES``."""
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[list[Answer]] = loop.create_future()
        until = loop.time() + self._limit
        try:
            async with asyncio.timeout_at(until):
                connection = self._connection or await self._opened()
                self._waiting.append((answered, len(commands)))
                self._outgoing += connection.pack_commands(commands)
                if self._writer is None or self._writer.done():
                    self._writer = asyncio.create_task(self._write(connection))
                return await asyncio.shield(answered)
        except TimeoutError:
            if self._connection is not None and loop.time() - until > _OURS and await self._has_come(answered):
                return answered.result()
            await self.close()
            raise

    async def _has_come(self, answered: asyncio.Future[list[Answer]]) -> bool:
        """Whether the answer is there and it is we who had no time to read it: timers go off before what has arrived
        is read, and a busy process would give up a Redis that is well, with all that others wait for from it.
        """
        await asyncio.wait({answered}, timeout=self._limit)
        return answered.done() and not answered.cancelled() and answered.exception() is None

    async def close(self) -> None:
        """Close the connection; the next request opens another."""
        connection, self._connection = self._connection, None
        tasks = (self._reader, self._writer)
        self._reader = self._writer = None
        self._outgoing.clear()
        for task in tasks:
            if task is not None and task is not asyncio.current_task():
                task.cancel()
        while self._waiting:
            answered, _ = self._waiting.popleft()
            if not answered.done():
                answered.set_exception(ConnectionError("the connection was closed"))
                answered.exception()  # whoever waits hears of it; if nobody does any more, that is no error
        if connection is not None:
            with contextlib.suppress(*FAILURES):
                await connection.disconnect(nowait=True)

    async def _opened(self) -> Connection:
        async with self._opening:
            if self._connection is None:
                connection = new_connection(self.host, self.port, self._limit)
                try:
                    await connect(connection)
                except BaseException:
                    await connection.disconnect(nowait=True)
                    raise
                self._connection = connection
                self._reader = asyncio.create_task(self._read(connection))
            return self._connection

    async def _write(self, connection: Connection) -> None:
        """Send what has come together in this turn of the loop at once: a system call costs more than a request."""
        try:
            while self._outgoing:
                outgoing, self._outgoing = self._outgoing, []
                await connection.send_packed_command(outgoing, check_health=False)
        except FAILURES:
            if self._connection is connection:
                await self.close()

    async def _read(self, connection: Connection) -> None:
        """Hand answers to whoever waits, in the order of their requests."""
        with contextlib.suppress(*FAILURES):
            while True:
                answers: list[Answer] = [await _answer(connection)]
                if not self._waiting:
                    break  # nobody asked for that: the connection is out of step
                answered, count = self._waiting[0]
                while len(answers) < count:
                    answers.append(await _answer(connection))
                self._waiting.popleft()
                if not answered.done():
                    answered.set_result(answers)
        if self._connection is connection:
            await self.close()


async def _answer(connection: Connection) -> Answer:
    try:
        return await connection.read_response(disable_decoding=True)
    except ResponseError as refused:
        return refused
