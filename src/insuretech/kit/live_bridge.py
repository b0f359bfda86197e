"""Carries live messages between the hubs of replicas over Redis: classic PUBLISH, which a cluster hands to every node.

Messages may get lost here: listeners look into their database every second anyway, and at once when the bridge says
that it was broken. Each process publishes at one node and listens at another, and sends itself a beat over both, so
that a node that hangs is noticed and left.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from random import SystemRandom

import msgspec
import structlog
from prometheus_client import Counter, Gauge
from redis.asyncio.connection import Connection

from insuretech.kit.ids import new_id
from insuretech.kit.live import LiveHub
from insuretech.kit.redis_link import FAILURES, Command, Link, connect, new_connection
from insuretech.kit.redis_nodes import Address

log = structlog.get_logger(__name__)

SENT = Counter("insuretech_live_sent_total", "Live messages handed to other replicas.")
HEARD = Counter("insuretech_live_heard_total", "Live messages of other replicas.")
DROPPED = Counter("insuretech_live_dropped_total", "Live messages other replicas have to look up.")
BRIDGED = Gauge("insuretech_live_bridged", "1 while live messages come from other replicas.")

_LIMIT = 1.0
_BEAT = 0.5
_DEAF = 2.0  # seconds without a beat
_PAUSE = 0.2
_MOST_WAITING = 10_000
_TOGETHER = 500


class _Carried(msgspec.Struct, frozen=True, array_like=True):
    origin: str
    channel: str
    wire: bytes


_decoder = msgspec.msgpack.Decoder(_Carried)


class _Deaf(Exception):
    """Our own beat does not come back."""


class LiveBridge:
    """One replica's end. ``addresses`` gives the cluster's nodes, those believed to be well first."""

    def __init__(self, hub: LiveHub, addresses: Callable[[], Sequence[Address]]) -> None:
        self._hub = hub
        self._addresses = addresses
        self._me = new_id().hex
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._woken = asyncio.Event()
        self._turn = SystemRandom().randrange(1000)
        self._heard_at = 0.0
        hub.onward = self.send

    def send(self, channel: str, wire: bytes) -> None:
        """Hand a message over soon; when too many wait, or none can be handed over, it is dropped."""
        if len(self._waiting) >= _MOST_WAITING:
            DROPPED.inc()
            return
        self._waiting.append((channel, wire))
        self._woken.set()

    async def run(self) -> None:
        """Carry until cancelled, over other nodes whenever some fail."""
        while True:
            listening, publishing = self._pair()
            try:
                await self._carry(listening, publishing)
            except* (_Deaf, *FAILURES) as failures:
                log.info("live.bridge_broken", why=[type(error).__name__ for error in failures.exceptions])
            finally:
                BRIDGED.set(0)
            DROPPED.inc(len(self._waiting))
            self._waiting.clear()
            self._turn += 1
            await asyncio.sleep(_PAUSE)

    def _pair(self) -> tuple[Address, Address]:
        addresses = self._addresses()
        return addresses[self._turn % len(addresses)], addresses[(self._turn + 1) % len(addresses)]

    async def _carry(self, listening: Address, publishing: Address) -> None:
        connection = new_connection(*listening, _LIMIT)
        link = Link(*publishing, _LIMIT)
        try:
            await connect(connection)
            kinds = self._hub.kinds
            await connection.send_command("SUBSCRIBE", self._me, *(f"live:{kind}" for kind in kinds))
            self._heard_at = asyncio.get_running_loop().time()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._listen(connection))
                tasks.create_task(self._publish(link))
                tasks.create_task(self._beat(link))
        finally:
            await link.close()
            with contextlib.suppress(*FAILURES):
                await connection.disconnect(nowait=True)

    async def _listen(self, connection: Connection) -> None:
        loop, me = asyncio.get_running_loop(), self._me.encode()
        bridged = False
        while True:
            kind, channel, content = await connection.read_response(disable_decoding=True)
            self._heard_at = loop.time()
            if kind != b"message":
                continue
            if channel != me:
                carried = _decoder.decode(content)
                if carried.origin != self._me:
                    HEARD.inc()
                    self._hand_on(carried)
            elif not bridged:
                bridged = True
                BRIDGED.set(1)
                self._hub.gap.set()  # what was published before our beat came through was not heard

    def _hand_on(self, carried: _Carried) -> None:
        try:
            self._hub.hear(carried.channel, carried.wire)
        except Exception:  # another version of us may speak otherwise; the listeners will look for themselves
            DROPPED.inc()
            log.exception("live.not_understood", channel=carried.channel)

    async def _publish(self, link: Link) -> None:
        while True:
            await self._woken.wait()
            self._woken.clear()
            while self._waiting:
                some = [self._waiting.popleft() for _ in range(min(_TOGETHER, len(self._waiting)))]
                await link.ask([self._command(channel, wire) for channel, wire in some])
                SENT.inc(len(some))

    def _command(self, channel: str, wire: bytes) -> Command:
        content = msgspec.msgpack.encode(_Carried(self._me, channel, wire))
        return ("PUBLISH", f"live:{channel.partition(':')[0]}", content)

    async def _beat(self, link: Link) -> None:
        """Send ourselves a message now and then; raises ``_Deaf`` when nothing has come for long."""
        loop = asyncio.get_running_loop()
        while True:
            await link.ask([("PUBLISH", self._me, b"")])
            await asyncio.sleep(_BEAT)
            if loop.time() - self._heard_at > _DEAF:
                raise _Deaf
