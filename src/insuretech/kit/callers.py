"""Whether whoever asked still waits for the answer: work that nobody waits for any more need not be begun.

Nothing is broken off: a statement that is cancelled costs its connection, and the next one has to be opened when there
is least time for it. Whoever works asks between two steps.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any


class Caller:
    """Somebody who waits for an answer."""

    def __init__(self) -> None:
        self._gone = False

    def has_gone(self) -> bool:
        """Whether the caller has hung up."""
        return self._gone

    async def _listen(self, receive: Callable[[], Awaitable[Any]]) -> None:
        while (await receive())["type"] != "http.disconnect":
            continue
        self._gone = True


@contextmanager
def waiting(receive: Callable[[], Awaitable[Any]]) -> Iterator[Caller]:
    """The caller of a request whose body was read; ``receive`` is the server's, and nobody else's meanwhile."""
    caller = Caller()
    listening = asyncio.create_task(caller._listen(receive))  # noqa: SLF001 - the two are one
    try:
        yield caller
    finally:
        listening.cancel()
