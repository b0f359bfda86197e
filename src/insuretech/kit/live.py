"""Live messages: who listens to a channel of this process gets what is published on it from then on.

Nothing here is durable: a listener that falls behind is told so and reads the truth from the database instead. Where
several replicas run, a bridge (``kit.live_bridge``) carries messages that have a form for it to the others' hubs.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LAGGED = object()
CLOSED = object()


class Subscription:
    """One listener's bounded queue."""

    def __init__(self, size: int) -> None:
        self._queue: asyncio.Queue[object] = asyncio.Queue(size)
        self._lagged = False
        self._closed = False

    def put(self, message: object) -> None:
        try:
            self._queue.put_nowait(message)
        except asyncio.QueueFull:
            self._lagged = True

    def close(self) -> None:
        self._closed = True
        self.put(CLOSED)

    async def next(self, timeout: float) -> object | None:
        """The next message, or None when none came within ``timeout`` seconds.

        ``LAGGED`` says that some were dropped, ``CLOSED`` that the process is stopping.
        """
        if self._closed:
            return CLOSED
        if self._lagged:
            self._lagged = False
            while not self._queue.empty():
                self._queue.get_nowait()
            return LAGGED
        try:
            async with asyncio.timeout(timeout):
                return await self._queue.get()
        except TimeoutError:
            return None


class LiveHub:
    """Channels by name, as ``<kind>:<which>``; a channel without listeners costs nothing.

    ``onward`` takes messages to other replicas, where there are any. ``gap`` is set when some of theirs may be missing.
    """

    def __init__(self, queue_size: int = 64) -> None:
        self.onward: Callable[[str, bytes], None] | None = None
        self.gap = asyncio.Event()
        self._size = queue_size
        self._channels: defaultdict[str, set[Subscription]] = defaultdict(set)
        self._decoders: dict[str, Callable[[bytes], object]] = {}
        self._closed = False

    def publish(self, channel: str, message: object, wire: bytes | None = None) -> None:
        """Tell who listens here, and with ``wire``, the same message as bytes, who listens at other replicas.

        No personal data may be in ``wire``.
        """
        for subscription in self._channels.get(channel, ()):
            subscription.put(message)
        if wire is not None and self.onward is not None:
            self.onward(channel, wire)

    def understand(self, kind: str, decode: Callable[[bytes], object]) -> None:
        """Say how the bytes of other replicas on channels of this kind become messages."""
        self._decoders[kind] = decode

    @property
    def kinds(self) -> list[str]:
        """The kinds of channels worth hearing from other replicas."""
        return list(self._decoders)

    def hear(self, channel: str, wire: bytes) -> None:
        """Tell who listens here what another replica published."""
        listeners = self._channels.get(channel, ())
        if listeners:
            message = self._decoders[channel.partition(":")[0]](wire)
            for subscription in listeners:
                subscription.put(message)

    @contextmanager
    def subscribe(self, channel: str) -> Iterator[Subscription]:
        subscription = Subscription(self._size)
        self._channels[channel].add(subscription)
        if self._closed:
            subscription.close()
        try:
            yield subscription
        finally:
            listeners = self._channels[channel]
            listeners.discard(subscription)
            if not listeners:
                del self._channels[channel]

    def close(self) -> None:
        """Tell every listener that the process is stopping, also those still to come."""
        self._closed = True
        for listeners in self._channels.values():
            for subscription in listeners:
                subscription.close()

    def listeners(self) -> int:
        """How many subscriptions are open (a gauge)."""
        return sum(len(listeners) for listeners in self._channels.values())
