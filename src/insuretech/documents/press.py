"""The press: prints what waits, on every replica, and removes objects that nothing points at any more.

Each print is one row that a process takes for some seconds; what it does not finish another takes up. While the storage
is away one print at a time is tried, and the rest wait untouched; when it answers again they follow by themselves.
"""

import asyncio
import contextlib
from datetime import timedelta

import asyncpg
import structlog
from prometheus_client import Counter, Gauge
from sqlalchemy.exc import SQLAlchemyError

from insuretech.documents.commands import PolicyDocuments
from insuretech.documents.domain import WantedPrint, pause_after
from insuretech.documents.ports import DocumentRows
from insuretech.kit.clock import Clock
from insuretech.kit.files import FileVault, StorageAway

log = structlog.get_logger(__name__)

PRINTED = Counter("insuretech_documents_printed_total", "Documents printed and kept, or not.", ["outcome"])
WAITING = Gauge("insuretech_documents_waiting", "Prints that wait.")
OLDEST = Gauge("insuretech_documents_waiting_seconds", "For how long the oldest print has been waiting.")

_TOGETHER = 8
_LEASE = timedelta(seconds=15)
"""Above what a print takes with every address of the storage failing."""
_GRACE = timedelta(hours=1)
"""Someone may still be reading a discarded object by the row they found before."""


class Press:
    """The loop; ``interval`` is the seconds between looks at the table when nobody wakes it."""

    def __init__(
        self,
        documents: PolicyDocuments,
        rows: DocumentRows,
        vault: FileVault,
        clock: Clock,
        *,
        interval: float = 1.0,
        longest_pause: float = 5.0,
    ) -> None:
        self._documents = documents
        self._rows = rows
        self._vault = vault
        self._clock = clock
        self._interval = interval
        self._longest_pause = longest_pause
        self._pause = 0.0
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Something was added to the table."""
        self._wake.set()

    async def run(self) -> None:
        """Print until cancelled; survives a database and a storage that go away."""
        await self._say_whether_storage_answers()
        while True:
            self._wake.clear()
            try:
                await self.print_waiting()
                await self.tidy()
                await self._measure()
            except (OSError, SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                log.warning("press.interrupted", error=type(error).__name__)
                self._pause = self._pause or self._interval
            await self._rest()

    async def print_waiting(self) -> int:
        """Print until nothing is ripe or the storage fails; the number of documents kept."""
        kept = 0
        while True:
            claimed = await self._rows.claim(self._clock.now(), _LEASE, 1 if self._pause else _TOGETHER)
            if not claimed:
                return kept
            outcomes = await asyncio.gather(*(self._print(wanted) for wanted in claimed))
            kept += outcomes.count("kept")
            if "away" in outcomes:
                self._pause = min(max(self._pause * 2, self._interval), self._longest_pause)
                return kept
            self._pause = 0.0

    async def _print(self, wanted: WantedPrint) -> str:
        """One print: ``kept``, or put off because the storage is ``away`` or for a reason of its own (``failed``)."""
        try:
            await self._documents.print_wanted(wanted)
        except StorageAway as error:
            outcome, pause, reason = "away", timedelta(0), str(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the next print must go on
            outcome, pause, reason = "failed", pause_after(wanted.attempts), f"{type(error).__name__}: {error}"
        else:
            PRINTED.labels("kept").inc()
            return "kept"
        PRINTED.labels(outcome).inc()
        log.warning("document.put_off", policy_id=str(wanted.policy_id), state=wanted.state, outcome=outcome)
        await self._rows.postpone(wanted, self._clock.now() + pause, _storable(reason))
        return outcome

    async def _rest(self) -> None:
        """Sleep out the pause after a failure; without one wait for news, or for the interval."""
        if self._pause:
            await asyncio.sleep(self._pause)
            return
        with contextlib.suppress(TimeoutError):  # not wait_for: before 3.12 it may lose a cancellation
            async with asyncio.timeout(self._interval):
                await self._wake.wait()

    async def tidy(self) -> None:
        """Delete objects that were superseded a while ago, unless something points at them again."""
        if self._pause:
            return
        keys = await self._rows.discarded(self._clock.now() - _GRACE, 100)
        in_use = await self._rows.pointed_at(keys) if keys else set()
        for key in keys:
            if key not in in_use:
                await self._vault.storage.delete(key)
            await self._rows.forget(key)

    async def _measure(self) -> None:
        backlog = await self._rows.backlog()
        WAITING.set(backlog.waiting)
        OLDEST.set(0 if backlog.oldest is None else (self._clock.now() - backlog.oldest).total_seconds())

    async def _say_whether_storage_answers(self) -> None:
        """A wrong key or a missing bucket is told at the start, and does not hold the start up."""
        try:
            await self._vault.storage.check()
        except OSError as error:
            log.error("storage.unusable", reason=str(error))  # noqa: TRY400 - the sentence says it all


def _storable(text: str) -> str:
    """A text PostgreSQL takes, of bounded length."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")[:1000]
