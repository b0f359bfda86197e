"""An engine with scripted insurers on a database in memory, and shortcuts to what it left behind."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

import msgspec

from insuretech.kit.clock import FixedClock
from insuretech.kit.events import Event
from insuretech.kit.keyring import Keyring
from insuretech.quotes.domain import Limits, LineStatus, Patience
from insuretech.quotes.engine import Engine, EngineSettings
from insuretech.quotes.ports import Line, Quote, QuoteEvent, answers_context
from tests.unit.quotes.fake_store import FakeDatabase
from tests.unit.quotes.scripted import ScriptedDirectory, ScriptedInsurer
from tests.unit.quotes.specimens import LIMITS, NOW, answers, line, quote

QUICK = EngineSettings(
    every=0.01,
    lease=0.1,
    patience=Patience(first_pause=0.001, longest_pause=0.005, shortest_poll=0.001, longest_poll=0.02),
)


async def eventually(condition: Callable[[], bool], limit: float = 60.0) -> None:
    """Wait until something holds; fails after ``limit`` seconds."""
    async with asyncio.timeout(limit):
        while not condition():  # noqa: ASYNC110 - what is waited for is data, nobody signals it
            await asyncio.sleep(0.002)


class Stage:
    """One database, any number of engines on it."""

    def __init__(self, *, time_limit: float = 60.0, **insurers: ScriptedInsurer) -> None:
        self.database = FakeDatabase()
        self.insurers = ScriptedDirectory(time_limit, **insurers)
        self.keyring = Keyring.generate()
        self.clock = FixedClock(NOW)
        self.told: list[QuoteEvent] = []

    def engine(self, settings: EngineSettings = QUICK) -> Engine:
        def tell(_: UUID, events: Sequence[QuoteEvent]) -> None:
            self.told.extend(events)

        return Engine(self.database.transaction, self.insurers, self.keyring, self.clock, tell, settings)

    @asynccontextmanager
    async def running(self, settings: EngineSettings = QUICK) -> AsyncIterator[Engine]:
        engine = self.engine(settings)
        task = asyncio.create_task(engine.run())
        await asyncio.sleep(0.005)
        try:
            yield engine
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def submitted(
        self, *insurers: str, claimed_by: Engine | None = None, limits: Limits | None = LIMITS
    ) -> tuple[Quote, list[Line]]:
        """A committed quote with a queued line for each insurer."""
        new = quote(limits)
        secret = self.keyring.encrypt(msgspec.json.encode(answers()), answers_context(new.id))
        new = msgspec.structs.replace(new, answers=secret)
        lines = [line(new, code, limit=self.insurers.time_limit) for code in insurers or self.insurers.codes()]
        async with self.database.transaction() as store:
            await store.add_quote(new, lines, claimed_by.id if claimed_by else None)
        return new, lines

    async def until_completed(self, of: Quote, limit: float = 60.0) -> None:
        await eventually(lambda: not self.database.tables.quotes[of.id].open_lines, limit)

    def outcomes(self, lines: Sequence[Line]) -> dict[str, LineStatus]:
        return {each.insurer: self.database.tables.lines[each.id].status for each in lines}

    def published(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.database.tables.published if isinstance(event, kind)]
