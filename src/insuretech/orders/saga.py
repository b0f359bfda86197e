"""The process manager: takes up orders that are due, makes the outside call of their step, stores what came of it.

No transaction is open during a call. A crash anywhere leaves a lease; once its worker is known to be gone, or the lease
lapses, the step is done again under the same references.
"""

import asyncio
import contextlib
import secrets
from collections import Counter as Tally
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from functools import partial
from time import perf_counter

import structlog
from prometheus_client import Counter, Gauge, Histogram

from insuretech.kit.clock import Clock
from insuretech.kit.ids import new_id
from insuretech.kit.tracing import continue_trace
from insuretech.orders.calls import OutsideCalls
from insuretech.orders.commands import stored
from insuretech.orders.domain.lifecycle import OrderStatus, Reason
from insuretech.orders.domain.outcomes import Minted, Outcome, Timing, Unanswered, after
from insuretech.orders.domain.purchase import Change, Purchase
from insuretech.orders.domain.steps import ASKS_INSURER, Step, backoff, next_step
from insuretech.orders.ports import Stale, Transaction

log = structlog.get_logger(__name__)

STEPS = Counter("insuretech_order_steps_total", "Steps of orders by what came of them.", ["step", "outcome"])
STEP_SECONDS = Histogram(
    "insuretech_order_step_seconds", "Seconds a step of an order took, its outside call included.", ["step"]
)
MOVES = Counter("insuretech_order_moves_total", "Orders that came into a status.", ["status"])
IN_HAND = Gauge("insuretech_orders_in_hand", "Orders a worker of this process is busy with.")
ROOM = Gauge("insuretech_orders_room", "Orders this process can be busy with at once.")
UNCOLLECTED = Counter(
    "insuretech_orders_uncollected_total", "Policies issued whose money could not be taken: somebody has to act."
)
FREED = Counter("insuretech_order_leases_freed_total", "Orders taken over from workers that were gone.")

Presence = Callable[[int], AbstractAsyncContextManager[Callable[[], Awaitable[None]]]]
"""Shows that a worker lives while it is open; gives a check that raises when the sign of life was lost."""


class Saga:
    """Runs steps of orders, at most ``parallel`` at once and ``per_insurer`` of those waiting for one insurer.

    ``call_limit`` is seconds for one step's outside calls, ``interval`` seconds between looks when nothing wakes us.
    """

    def __init__(  # noqa: PLR0913 - what a worker is made of, wired in one place
        self,
        transaction: Transaction,
        statements: Transaction,
        calls: OutsideCalls,
        clock: Clock,
        timing: Timing,
        presence: Presence,
        *,
        told: Callable[[Purchase], None] = lambda _: None,
        parallel: int = 128,
        per_insurer: int = 32,
        call_limit: float = 60.0,
        interval: float = 1.0,
    ) -> None:
        self._transaction = transaction
        self._statements = statements
        self._calls = calls
        self._clock = clock
        self._timing = timing
        self._presence = presence
        self._told = told
        self._parallel = parallel
        self._per_insurer = per_insurer
        self._call_limit = call_limit
        self._interval = interval
        self._lease = timedelta(seconds=call_limit + 5)
        self._wake = asyncio.Event()
        self._busy: Tally[str] = Tally()
        self._tasks: set[asyncio.Task[None]] = set()
        self._starved = False
        ROOM.set(parallel)

    def wake(self) -> None:
        """Something may be due; cheap, and right after the commit that made it so."""
        self._wake.set()

    async def run(self) -> None:
        """Work until cancelled."""
        worker = secrets.randbelow(2**31)
        async with self._presence(worker) as still_there, self._ending():
            looked = 0.0
            while True:
                self._wake.clear()
                if perf_counter() - looked > 10:
                    await still_there()
                    await self._free_dead(worker)
                    looked = perf_counter()
                if not await self.take_up(worker):
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(self._interval):
                            await self._wake.wait()

    async def take_up(self, worker: int) -> bool:
        """Start on what is due and there is room for; False when there was less than there was room."""
        full = [insurer for insurer, count in self._busy.items() if count >= self._per_insurer]
        shares = [self._per_insurer - count for count in self._busy.values() if count < self._per_insurer]
        limit = min([self._parallel - len(self._tasks), self._per_insurer, *shares])
        self._starved = bool(full) or limit <= 0
        if limit <= 0:
            return False
        async with self._statements() as store:
            taken = await store.claim(worker, self._clock.now(), lease=self._lease, limit=limit, busy_insurers=full)
        for purchase in taken:
            self._busy[_asked(purchase)] += 1
            task = asyncio.create_task(self._work(purchase))
            self._tasks.add(task)
            task.add_done_callback(partial(self._ended, _asked(purchase)))
        IN_HAND.set(len(self._tasks))
        return len(taken) == limit

    async def drain(self, worker: int = 0) -> None:
        """Do everything that is due now and what follows from it at once; for tests and commands."""
        while await self.take_up(worker) or self._tasks:
            await asyncio.gather(*self._tasks)
            await asyncio.sleep(0)

    async def _work(self, purchase: Purchase) -> None:
        continue_trace(purchase.order.id.hex)
        order = purchase.order
        step = next_step(purchase, self._clock.now())
        try:
            if step is None:
                await self._store(purchase, Change(purchase=purchase))
            else:
                await self._do(purchase, step)
        except Stale:
            STEPS.labels(step or "none", "stale").inc()
        except Exception:
            STEPS.labels(step or "none", "failed").inc()
            log.exception("order.step_failed", order_id=str(order.id), step=step, status=order.status.value)
            await self._postpone(purchase)

    async def _do(self, purchase: Purchase, step: Step) -> None:
        started = perf_counter()
        outcome = await self._outcome(purchase, step)
        now = self._clock.now()
        minted = Minted(new_id(), new_verification_code())
        change = after(purchase, step, outcome, now, timing=self._timing, minted=minted)
        await self._store(purchase, change)
        STEPS.labels(step, type(outcome).__name__).inc()
        STEP_SECONDS.labels(step).observe(perf_counter() - started)

    async def _outcome(self, purchase: Purchase, step: Step) -> Outcome:
        try:
            async with asyncio.timeout(self._call_limit):
                return await self._calls.perform(step, purchase)
        except TimeoutError:
            return Unanswered()

    async def _store(self, before: Purchase, change: Change) -> None:
        now = self._clock.now()
        alone = not change.events and _only_the_order(before, change.purchase)
        async with (self._statements if alone else self._transaction)() as store:
            kept = await stored(store, before, change, now)
        _count(before, kept)
        self._told(kept)
        due = kept.order.next_action_at
        if due is not None:
            self._wake_in((due - now).total_seconds())

    def _wake_in(self, seconds: float) -> None:
        if seconds <= 0:
            self.wake()
        elif seconds < self._interval:
            asyncio.get_running_loop().call_later(seconds, self.wake)

    async def _postpone(self, purchase: Purchase) -> None:
        """Rest before a step that failed by a fault of ours is tried again; if even that fails, the lease lapses."""
        with contextlib.suppress(Exception):
            await self._store(purchase, Change(purchase=purchase, wait=backoff(purchase.order.attempts, first=5.0)))

    async def _free_dead(self, worker: int) -> None:
        async with self._transaction() as store:
            freed = await store.free_dead_leases(worker, self._clock.now())
        if freed:
            FREED.inc(freed)
            log.info("orders.taken_over", orders=freed)

    def _ended(self, asked: str, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._busy[asked] -= 1
        IN_HAND.set(len(self._tasks))
        if self._starved:
            self.wake()

    @contextlib.asynccontextmanager
    async def _ending(self) -> AsyncIterator[None]:
        """Cancels what is under way when the loop ends; its outcome is unknown then, and is asked for later."""
        try:
            yield
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)


def new_verification_code() -> str:
    """Sixteen signs nobody can guess or mistake for one another, in groups of four."""
    signs = [secrets.choice("23456789ABCDEFGHJKLMNPQRSTUVWXYZ") for _ in range(16)]
    return "-".join("".join(signs[start : start + 4]) for start in range(0, 16, 4))


def _only_the_order(before: Purchase, after: Purchase) -> bool:
    """Whether one row has changed, so that one statement stores it."""
    rest = (after.payment, after.policy, after.cancellation)
    return rest == (before.payment, before.policy, before.cancellation)


def _asked(purchase: Purchase) -> str:
    """Whose share of the workers a purchase takes: its insurer's, or that of all the rest."""
    return purchase.order.insurer if purchase.order.status in ASKS_INSURER else ""


def _count(before: Purchase, kept: Purchase) -> None:
    status = kept.order.status
    if status is before.order.status:
        return
    MOVES.labels(status.value).inc()
    if status is OrderStatus.ISSUED and kept.order.reason is Reason.UNCOLLECTED:
        UNCOLLECTED.inc()
        log.error("order.uncollected", order_id=str(kept.order.id))
