"""Asks all insurers of a quote at once, each in a task of its own, and writes down how each one answers.

What is to be asked lies in the database, so it survives us. A process that asks (an engine) says every second or so
that it lives; lines of one that fell silent are claimed by another, which looks up at the insurer what was asked
before it asks again. Deadlines are those of the submission, whoever works on a line.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import msgspec
import structlog
from prometheus_client import Counter, Gauge, Histogram

from insuretech.contracts.insurers import InsurerDirectory, InsurerUnavailable, OfferRequest, OutcomeUnknown
from insuretech.kit.clock import Clock
from insuretech.kit.ids import new_id
from insuretech.kit.keyring import CiphertextInvalid, Keyring
from insuretech.quotes.answers import Ended, end_lines, keep_late, revise_offer
from insuretech.quotes.conversation import Conversation, FinalAnswer, GaveUp
from insuretech.quotes.domain import LINES, NOT_REACHED, TIMED_OUT, UNUSABLE, LineStatus, Patience, Verdict, judge
from insuretech.quotes.ports import AllEnded, Answers, Line, Quote, QuoteEvent, Store, Transaction, answers_context

log = structlog.get_logger(__name__)

Result = TypeVar("Result")

ENDED = Counter("insuretech_insurer_outcomes_total", "Lines of quotes that ended.", ["insurer", "outcome"])
SECONDS = Histogram(
    "insuretech_insurer_answer_seconds",
    "Time from the submission of a quote to the end of an insurer's line.",
    ["insurer"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 30, 60, 90),
)
OUTSIDE = Counter(
    "insuretech_offers_outside_corridor_total", "OSAGO offers refused as the law forbids them.", ["insurer"]
)
LATE = Counter("insuretech_late_answers_total", "Answers that came after we had given up.", ["insurer", "outcome"])
WORKING = Gauge("insuretech_quote_lines_working", "Lines of quotes being worked on in this process.")
ROOM = Gauge("insuretech_quote_lines_room", "Lines of quotes this process works on at most.")
CLAIMED = Counter("insuretech_quote_lines_claimed_total", "Lines taken over from nobody or from a dead process.")

_LONGEST_PAUSE = 5.0
_OVERDUE = timedelta(seconds=10)
_QUIET = 0.001  # seconds in which nothing more came
_GATHERING = 4


@dataclass(eq=False)
class LineRun:
    """A line being worked on; ``line.status`` is what the database holds as far as we know."""

    line: Line
    woken: asyncio.Event = field(default_factory=asyncio.Event)

    def moved(self, after: LineStatus) -> None:
        self.line = msgspec.structs.replace(self.line, status=after)


@dataclass
class QuoteRun:
    """A quote being worked on. Steps of its lines that come during a write go together into the next one.

    ``talking`` counts lines whose insurer has not answered yet.
    """

    quote: Quote
    answers: Answers
    accepted: list[tuple[LineRun, asyncio.Future[None]]] = field(default_factory=list)
    ended: list[tuple[LineRun, Verdict, asyncio.Future[None]]] = field(default_factory=list)
    talking: int = 0
    writing: bool = False


@dataclass(frozen=True)
class EngineSettings:
    """Bounds of an engine; times in seconds.

    ``room``: lines worked on at once; ``writers``: transactions at once, fewer than the pool holds; ``every``: between
    signs of life, ``lease``: how long one lasts; ``look_ups``: callbacks followed at once, as many again may wait.
    """

    room: int = 20_000
    writers: int = 5
    every: float = 1.5
    lease: float = 6.0
    claim: int = 500
    look_ups: int = 64
    look_up_limit: float = 10.0
    patience: Patience = field(default_factory=Patience)


class Engine:
    """One process's share of asking insurers."""

    def __init__(
        self,
        transaction: Transaction,
        insurers: InsurerDirectory,
        keyring: Keyring,
        clock: Clock,
        tell: Callable[[UUID, Sequence[QuoteEvent]], None],
        settings: EngineSettings = EngineSettings(),
        *,
        statements: Transaction | None = None,
    ) -> None:
        self.id = new_id()
        self.tell = tell
        self._transaction = transaction
        self._statements = statements or transaction
        self._insurers = insurers
        self._keyring = keyring
        self._clock = clock
        self._settings = settings
        self._writers = asyncio.Semaphore(settings.writers)
        self._look_ups = asyncio.Semaphore(settings.look_ups)
        self._looking_up = 0
        self._working: dict[UUID, LineRun] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        ROOM.set(settings.room)

    # ------------------------------------------------------------ life of the engine

    async def run(self) -> None:
        """Live, and take over what nobody works on, until cancelled; then hand everything back."""
        try:
            while True:
                try:
                    await self.look_around()
                except Exception:
                    log.exception("engine.look_around_failed")
                await asyncio.sleep(self._settings.every)
        finally:
            await self.stop()

    async def look_around(self) -> None:
        """Say that we live, and start on lines that nobody living works on."""
        room = min(self._settings.claim, self._settings.room - len(self._working))
        overdue_since = self._clock.now() - _OVERDUE
        async with self._statements() as store:
            waits = await store.beat(self.id, self._settings.lease, overdue_since)
        if not waits or room <= 0:
            return
        async with self._transaction() as store:
            claimed = await store.claim(self.id, room, overdue_since)
            lines = [line for line in claimed if line.id not in self._working]  # else it is ours and just being begun
            quotes = await store.quotes({line.quote_id for line in lines}) if lines else {}
        by_quote: defaultdict[UUID, list[Line]] = defaultdict(list)
        for line in lines:
            by_quote[line.quote_id].append(line)
        for quote_id, found in by_quote.items():
            CLAIMED.inc(len(found))
            self.begin(quotes[quote_id], found, self._open(quotes[quote_id]), fresh=False)

    async def stop(self) -> None:
        """Leave every line as it is for another engine to take over at once."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with suppress(Exception):  # the lease lapses by itself where the database is away
            async with asyncio.timeout(2), self._transaction() as store:
                await store.retire(self.id)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("engine.task_failed", exc_info=error)

    def _open(self, quote: Quote) -> Answers | None:
        """The answers of a quote in the clear; None when the key is lost."""
        try:
            plain = self._keyring.decrypt(quote.answers, answers_context(quote.id))
        except CiphertextInvalid:
            log.exception("quote.answers_unreadable", quote_id=str(quote.id))
            return None
        answers: Answers = msgspec.json.decode(plain)
        return answers

    # ------------------------------------------------------------ asking

    def has_room(self) -> bool:
        return len(self._working) < self._settings.room

    def begin(self, quote: Quote, lines: Sequence[Line], answers: Answers | None, *, fresh: bool) -> None:
        """Work on these lines of a quote, which are claimed by us, each from the state it is in."""
        run = QuoteRun(quote, answers or {})
        runs = [LineRun(line) for line in lines if line.id not in self._working]
        self._working.update({each.line.id: each for each in runs})
        WORKING.set(len(self._working))
        queued = [each for each in runs if each.line.status is LineStatus.QUEUED]
        for each in runs:
            if answers is None:
                self._spawn(self._give_up(run, each))
            elif each not in queued:
                self._spawn(self._work(run, each, LineStatus.QUEUED if fresh else each.line.status))
        if queued and answers is not None:
            self._spawn(self._begin_queued(run, queued))

    async def _begin_queued(self, run: QuoteRun, queued: Sequence[LineRun]) -> None:
        """Mark lines as sent before anything is: after a crash we must look up first, not ask again."""
        ids = [each.line.id for each in queued]
        sent = await self._insist(
            lambda store: store.mark(run.quote.id, ids, LineStatus.QUEUED, LineStatus.SENT, self.id)
        )
        for each in queued:
            if each.line.id in sent:
                each.moved(LineStatus.SENT)
                self._spawn(self._work(run, each, LineStatus.QUEUED))
            else:
                self._done(each)  # another engine has it

    async def _give_up(self, run: QuoteRun, each: LineRun) -> None:
        try:
            await self._end(run, each, Verdict(LineStatus.UNAVAILABLE, UNUSABLE))
        finally:
            self._done(each)

    async def _work(self, run: QuoteRun, each: LineRun, taken_up_at: LineStatus) -> None:
        """One line from asking to its end; whatever happens in it, it ends by its deadline."""
        try:
            run.talking += 1
            try:
                verdict = await self._verdict(run, each, taken_up_at)
            finally:
                run.talking -= 1
            await self._end(run, each, verdict)
        finally:
            self._done(each)

    async def _verdict(self, run: QuoteRun, each: LineRun, taken_up_at: LineStatus) -> Verdict:
        left = (each.line.deadline - self._clock.now()).total_seconds()
        try:
            async with asyncio.timeout(max(0.0, left)):
                answer = await self._conversation(run, each).answer(taken_up_at)
        except TimeoutError:
            return Verdict(LineStatus.TIMED_OUT, TIMED_OUT)
        except GaveUp:
            return Verdict(LineStatus.UNAVAILABLE, NOT_REACHED)
        except Exception:
            log.exception("insurer.connector_failed", insurer=each.line.insurer)
            return Verdict(LineStatus.UNAVAILABLE, UNUSABLE)
        return judge(answer, run.quote.limits, self._clock.now())

    def _conversation(self, run: QuoteRun, each: LineRun) -> Conversation:
        return Conversation(
            insurer=each.line.insurer,
            connector=self._insurers.connector(each.line.insurer),
            request=OfferRequest(
                reference=each.line.id,
                product=run.quote.product,
                product_version=run.quote.product_version,
                answers=run.answers,
            ),
            accepted=lambda: self._accepted(run, each),
            patience=self._settings.patience,
            woken=each.woken,
        )

    def _done(self, each: LineRun) -> None:
        self._working.pop(each.line.id, None)
        WORKING.set(len(self._working))

    # ------------------------------------------------------------ writing

    async def _accepted(self, run: QuoteRun, each: LineRun) -> None:
        if each.line.status is LineStatus.SENT:
            written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            run.accepted.append((each, written))
            self._write_soon(run)
            await written

    async def _end(self, run: QuoteRun, each: LineRun, verdict: Verdict) -> None:
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        run.ended.append((each, verdict, written))
        self._write_soon(run)
        await written

    def _write_soon(self, run: QuoteRun) -> None:
        if not run.writing:
            run.writing = True
            self._spawn(self._write(run))

    async def _write(self, run: QuoteRun) -> None:
        """Write what has come together until nothing more has."""
        try:
            while run.accepted or run.ended:
                await self._gathered(run)
                accepted, run.accepted = run.accepted, []
                ended, run.ended = run.ended, []
                await self._write_accepted(run.quote.id, [each for each, _ in accepted])
                await self._write_ended(
                    run.quote, [Ended(line=each.line, verdict=verdict) for each, verdict, _ in ended]
                )
                for written in [*(written for _, written in accepted), *(written for _, _, written in ended)]:
                    if not written.done():
                        written.set_result(None)
        finally:
            run.writing = False

    async def _gathered(self, run: QuoteRun) -> None:
        """Wait for lines that end in these very milliseconds: one commit to disk takes longer than that."""
        for _ in range(_GATHERING if run.talking else 0):
            together = len(run.accepted) + len(run.ended)
            await asyncio.sleep(_QUIET)
            if together == len(run.accepted) + len(run.ended):
                return

    async def _write_accepted(self, quote_id: UUID, accepted: Sequence[LineRun]) -> None:
        if accepted:
            ids = [each.line.id for each in accepted]
            await self._insist(
                lambda store: store.mark(quote_id, ids, LineStatus.SENT, LineStatus.PENDING, self.id), self._statements
            )
            for each in accepted:
                each.moved(LINES.move(each.line.status, LineStatus.PENDING))

    async def _write_ended(self, quote: Quote, ended: Sequence[Ended]) -> None:
        if not ended:
            return
        now = self._clock.now()
        events = await self._insist(lambda store: end_lines(store, quote, ended, now), self._statements)
        self.tell(quote.id, events)
        told = {event.data.insurer for event in events if not isinstance(event.data, AllEnded)}
        for step in ended:
            if step.line.insurer in told:
                _count(quote, step, now)

    async def _insist(self, steps: Callable[[Store], Awaitable[Result]], opened: Transaction | None = None) -> Result:
        """Run steps in a transaction, or as ``opened``, again and again while the database is away."""
        failures = 0
        while True:
            try:
                async with self._writers, (opened or self._transaction)() as store:
                    return await steps(store)
            except Exception:
                failures += 1
                log.exception("engine.write_failed", failures=failures)
            await asyncio.sleep(min(_LONGEST_PAUSE, 0.1 * 2**failures))

    # ------------------------------------------------------------ callbacks

    def notice(self, line: Line, digest: bytes) -> None:
        """Look up at its source what a callback speaks of; too many at once are left to the insurer's repetition."""
        working = self._working.get(line.id)
        if working is not None and not LINES.is_final(line.status):
            working.woken.set()
        elif self._looking_up < 2 * self._settings.look_ups:
            self._looking_up += 1
            self._spawn(self._follow(line, digest))
        else:
            log.warning("callback.left_alone", insurer=line.insurer)

    async def _follow(self, line: Line, digest: bytes) -> None:
        try:
            async with self._look_ups:
                if await self._look_up(line) and LINES.is_final(line.status):
                    async with self._transaction() as store:
                        await store.close_callback(line.id, digest, self._clock.now())
        finally:
            self._looking_up -= 1

    async def _look_up(self, line: Line) -> bool:
        """Ask what became of a line that no task of ours works on; False when the insurer could not tell."""
        connector = self._insurers.connector(line.insurer)
        try:
            async with asyncio.timeout(self._settings.look_up_limit):
                state = await connector.offer_state(line.id)
        except (InsurerUnavailable, OutcomeUnknown, TimeoutError) as error:
            log.info("callback.look_up_failed", insurer=line.insurer, why=type(error).__name__)
            return False
        if line.status is LineStatus.QUEUED or not isinstance(state, FinalAnswer):
            return True
        async with self._transaction() as store:
            quote = (await store.quotes({line.quote_id}))[line.quote_id]
            events = await self._take_down(store, quote, line, state)
        self.tell(quote.id, events)
        return True

    async def _take_down(self, store: Store, quote: Quote, line: Line, answer: FinalAnswer) -> list[QuoteEvent]:
        """What a looked-up answer changes, by the state the line was in when the callback came."""
        now = self._clock.now()
        verdict = judge(answer, quote.limits, now)
        if not LINES.is_final(line.status):
            return await end_lines(store, quote, [Ended(line=line, verdict=verdict)], now)
        if line.status is LineStatus.OFFERED:
            await revise_offer(store, quote, line, verdict, now)
        elif await keep_late(store, line, verdict, now):
            LATE.labels(line.insurer, verdict.outcome).inc()
        return []


def _count(quote: Quote, step: Ended, now: datetime) -> None:
    ENDED.labels(step.line.insurer, step.verdict.outcome).inc()
    SECONDS.labels(step.line.insurer).observe((now - quote.created_at).total_seconds())
    if step.verdict.outside is not None:
        OUTSIDE.labels(step.line.insurer).inc()
