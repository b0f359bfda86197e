"""Sends what the sandbox has to tell: insurers' callbacks and the provider's notifications, until they are taken.

At least once, in any order, also over restarts: a message is claimed for half a minute, and whoever dies with it leaves
it to be sent again. After ``ATTEMPTS`` it is given up; a shop or marketplace must look things up anyway.
"""

import asyncio
import contextlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, Protocol

import httpx
import msgspec
import structlog

from insuretech.kit.clock import Clock
from insuretech.kit.signatures import signed

log = structlog.get_logger(__name__)

ATTEMPTS = 12
CLAIM = timedelta(seconds=30)
_TIME_LIMIT = 10.0
_AT_ONCE = 32
_LONGEST_PAUSE = 60.0


class Claimed(msgspec.Struct, frozen=True, kw_only=True):
    """A message to be sent now, for the ``attempts``-th time."""

    id: int
    url: str
    body: bytes
    signature: Literal["none", "genuine", "forged"]
    attempts: int


class Postbox(Protocol):
    """Where messages wait."""

    async def claim(self, now: datetime, until: datetime, limit: int) -> list[Claimed]: ...

    async def next_due_at(self) -> datetime | None: ...

    async def done(self, delivery: int, at: datetime, result: str) -> None: ...

    async def again(self, delivery: int, due_at: datetime, result: str) -> None: ...

    async def tidy(self, before: datetime) -> None:
        """Drop what ended, and keys and offers nobody will ask for, from before that moment."""
        ...


@dataclass(frozen=True)
class Courier:
    """Carries messages as they fall due, at most ``_AT_ONCE`` at a time; a slow receiver holds up nobody else."""

    postbox: Postbox
    http: httpx.AsyncClient
    clock: Clock
    secret: str
    waiting: asyncio.Event
    under_way: set[asyncio.Task[None]] = field(default_factory=set)

    async def run(self) -> None:
        """Send until cancelled."""
        try:
            while True:
                self.waiting.clear()
                if not await self.send_due():
                    await self._wait()
        finally:
            for task in self.under_way:
                task.cancel()

    async def send_due(self) -> int:
        """Begin to send what is due; gives how many messages that were."""
        room = _AT_ONCE - len(self.under_way)
        if not room:
            return 0
        now = self.clock.now()
        claimed = await self.postbox.claim(now, now + CLAIM, room)
        for delivery in claimed:
            task = asyncio.create_task(self._send(delivery))
            self.under_way.add(task)
            task.add_done_callback(self._sent)
        return len(claimed)

    def _sent(self, task: asyncio.Task[None]) -> None:
        self.under_way.discard(task)
        self.waiting.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("sandbox.delivery_failed", error=type(error).__name__)

    async def _wait(self) -> None:
        """Until something new is due, the next thing falls due, or a second has passed."""
        due_at = await self.postbox.next_due_at()
        pause = 1.0 if due_at is None else min(1.0, max(0.001, (due_at - self.clock.now()).total_seconds()))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self.waiting.wait()

    async def _send(self, delivery: Claimed) -> None:
        now = self.clock.now()
        headers = {"Content-Type": "application/json"}
        if delivery.signature != "none":
            secret = self.secret if delivery.signature == "genuine" else "a forger does not know the secret"
            headers["X-Signature"] = signed(secret, delivery.body, now)
        try:
            answer = await self.http.post(
                delivery.url, content=delivery.body, headers=headers, timeout=httpx.Timeout(_TIME_LIMIT, connect=3)
            )
            status = answer.status_code
            taken = status == 200 if delivery.signature == "none" else answer.is_success  # YooKassa waits for 200
            result = f"HTTP {status}"
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:  # an address may be anything
            taken, result = False, type(error).__name__
        if taken or delivery.attempts >= ATTEMPTS or delivery.signature == "forged":
            await self.postbox.done(delivery.id, now, result)
        else:
            pause = min(_LONGEST_PAUSE, 0.5 * 2 ** (delivery.attempts - 1))
            await self.postbox.again(delivery.id, now + timedelta(seconds=pause), result)
