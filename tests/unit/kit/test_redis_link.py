"""A connection to Redis tells a node that is slow from a process that has no time."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from insuretech.kit.redis_link import Link


@contextmanager
def node(pause: float = 0.0) -> Iterator[int]:
    """Answers every command with PONG, after a pause, from a thread of its own; its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection, suppress(OSError):
                while asked := connection.recv(65536):
                    time.sleep(pause)
                    connection.sendall(b"+PONG\r\n" * asked.count(b"*"))  # several may come at once

        threading.Thread(target=serve, daemon=True).start()
        yield int(server.getsockname()[1])


async def test_an_answer_that_has_come_counts_although_we_read_it_late() -> None:
    """A process with much to do would give up a Redis that is well, and ask the database, which has even less time."""
    with node() as port:
        link = Link("127.0.0.1", port, 0.2)
        await link.ask([("PING",)])
        connection = link._connection
        asking = asyncio.create_task(link.ask([("PING",)]))
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # now it is on its way
        time.sleep(0.5)  # noqa: ASYNC251 - this is what a busy processor looks like
        assert await asking == [b"PONG"]
        assert link._connection is connection
        await link.close()


async def test_a_node_that_is_slow_is_not_waited_for() -> None:
    """A page would hang for as long as Redis does."""
    with node(pause=1.0) as port:
        link = Link("127.0.0.1", port, 0.2)
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            await link.ask([("PING",)])
        assert time.monotonic() - began < 0.8
        await link.close()
