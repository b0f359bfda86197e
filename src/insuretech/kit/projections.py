"""Projections in hot storage: read from there, from their source where it lacks or is away, and kept true to it.

Three ways lead from the source into the projection, and a newer version always wins, so that their order is of no
matter: whoever changes something puts it right after the commit; whoever finds nothing puts what it read instead; and
the sweep puts what both missed, because a process died, Redis was away or lost what it had confirmed. What must not be
shown as it was is announced before the commit, too.
"""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Coroutine, Mapping
from datetime import UTC, datetime, timedelta
from random import SystemRandom
from typing import Any

import msgspec
import structlog
from prometheus_client import Counter, Gauge

from insuretech.kit.agreement import BATCH, Agreement, Checked, Source, portions
from insuretech.kit.clock import Clock
from insuretech.kit.generations import Generations
from insuretech.kit.hot import Entry, Growth, HotAway, HotStore, entry_key
from insuretech.kit.ids import new_id

log = structlog.get_logger(__name__)

READS = Counter("insuretech_projection_reads_total", "Reads of projections, by where from.", ["projection", "source"])
HEALED = Counter("insuretech_projection_healed_total", "Entries that had to be put right.", ["projection"])
SWEPT = Gauge("insuretech_projection_swept_timestamp_seconds", "When the last whole sweep began.", ["projection"])

OVERLAP = timedelta(seconds=30)
"""How far a sweep looks back beyond the last one: longer than a transaction, and than a failover may lose."""
COMING = 10.0
"""Seconds for which an announced version is waited for: longer than any commit takes."""
_COMING = b""
_DOUBT = 0.5
"""Seconds from one try of a sweep to the next while reads wait for it."""
_LOADS = 4
"""Reads of the source at once, as others need its connections, too."""
_HEAL_EVERY = 0.2
"""Seconds between two portions that are healed, give or take a half, so that processes do not go in step."""
_chance = SystemRandom().random


class RebuildUnderWay(Exception):
    """Somebody else is rebuilding this projection."""


class Described(msgspec.Struct, frozen=True, kw_only=True):
    """A projection as it is run: which generation is read, which is being built, and when it was last swept."""

    projection: str
    generation: str
    building: str | None
    swept_at: datetime | None


class Projection:
    """One projection. ``ttl`` is seconds an entry stays after it was put, ``layout`` grows when values change form.

    ``complete`` ones hold everything their source has; others hold what was changed or read of late. ``doubting`` ones
    are read from their source after Redis was away, until a sweep has put right what was missed. ``same`` says of a
    name whether two values mean the same.
    """

    def __init__(  # noqa: PLR0913 - what a projection is, said in one place
        self,
        name: str,
        hot: HotStore,
        source: Source,
        clock: Clock,
        *,
        ttl: float,
        layout: int = 1,
        complete: bool = False,
        doubting: bool = False,
        same: Callable[[str, bytes, bytes], bool] = lambda _, one, other: one == other,
    ) -> None:
        self.name = name
        self._hot = hot
        self._source = source
        self._clock = clock
        self._ttl = ttl
        self._layout = layout
        self._complete = complete
        self._doubting = doubting
        self._missed_at = self._whole_at = float("-inf")
        self._same = same
        self._loads = asyncio.Semaphore(_LOADS)
        self._loading: dict[str, asyncio.Task[Entry | None]] = {}
        self._putting: set[asyncio.Task[None]] = set()
        self._behind: set[str] = set()
        self._healing: asyncio.Task[None] | None = None
        self._generations = Generations(name, hot)
        self._me = str(new_id())
        self._woken = asyncio.Event()

    # ------------------------------------------------------------ reading

    async def read(self, name: str, at_least: int = 0) -> Entry | None:
        """The entry, not older than ``at_least``; from the source where the projection lacks it or is away."""
        try:
            await self._generations.keep_known()
            found = None if self.in_doubt else await self._hot.get(self._key(name, self._generations.active))
        except HotAway:
            self._missed()
            READS.labels(self.name, "away").inc()
            return await self._loaded(name, at_least)
        if found is not None and found.value != _COMING and found.version >= at_least:
            READS.labels(self.name, "hot").inc()
            return found
        READS.labels(self.name, "source").inc()
        return await self._loaded(name, at_least)

    @property
    def in_doubt(self) -> bool:
        """Whether Redis was away and may hold what was true before: others may have changed what they could not put."""
        return self._doubting and self._missed_at > self._whole_at

    def _missed(self) -> None:
        self._missed_at = asyncio.get_running_loop().time()

    async def renewed(self, name: str) -> Entry | None:
        """The entry as its source says now."""
        READS.labels(self.name, "source").inc()
        return await self._loaded(name)

    async def _loaded(self, name: str, at_least: int = 0) -> Entry | None:
        """From the source. A load that others had begun may be older than what this caller has seen: then one more."""
        entry = await self._load_shared(name)
        if at_least > (0 if entry is None else entry.version):
            entry = await self._load_shared(name)
        return entry

    async def _load_shared(self, name: str) -> Entry | None:
        """One load at a time for a name, whoever wants it, and few loads at once."""
        task = self._loading.get(name)
        if task is None:
            task = self._loading[name] = asyncio.create_task(self._load(name))
            task.add_done_callback(lambda _: self._loading.pop(name, None))
        return await asyncio.shield(task)

    async def _load(self, name: str) -> Entry | None:
        async with self._loads:
            entry = (await self._source.load([name])).get(name)
        if entry is not None:
            self.put_soon({name: entry})
        return entry

    # ------------------------------------------------------------ following changes

    async def announce(self, name: str, version: int) -> None:
        """Say before a commit that it will make this version: until that is put, readers ask the source.

        So nobody is shown the time before for long when we die between the commit and the put. Where nothing comes of
        the announcement, it ends by itself. While Redis is away nothing is announced, which the sweep makes good.
        """
        try:
            await self._generations.keep_known()
            for generation in self._generations.all():
                await self._hot.put(self._key(name, generation), Entry(version, _COMING), COMING)
        except HotAway:
            self._missed()

    async def put(self, entries: Mapping[str, Entry]) -> bool:
        """Put what was changed; False when Redis is away, which the sweep makes good."""
        try:
            await self._put(entries)
        except HotAway:
            self._missed()
            return False
        return True

    def put_soon(self, entries: Mapping[str, Entry]) -> None:
        """The same without waiting for it."""
        _ = self._soon(self._put_quietly(entries))

    async def grow(self, name: str, growth: Growth) -> None:
        """Put what was added to an entry; the whole of it, with others, where something before is missing."""
        try:
            await self._generations.keep_known()
            for generation in self._generations.all():
                if not await self._hot.grow(self._key(name, generation), growth, self._ttl):
                    await self._heal_soon(name)
                    return
        except HotAway:
            return

    async def _heal_soon(self, name: str) -> None:
        """Put an entry anew, and return when it is there.

        Redis that comes back empty lacks every entry: one by one they would take the database from those who read.
        """
        self._behind.add(name)
        if self._healing is None or self._healing.done():
            self._healing = asyncio.create_task(self._heal())
        await asyncio.shield(self._healing)

    async def _heal(self) -> None:
        """Portion after portion until none is missing, each in its turn among the reads of the source."""
        try:
            while self._behind:
                await _pause_for_others()
                some = [self._behind.pop() for _ in range(min(BATCH, len(self._behind)))]
                async with self._loads:
                    entries = await self._source.load(some)
                await self._put(entries)
                HEALED.labels(self.name).inc(len(entries))
        finally:
            self._behind.clear()  # Redis is away again: the sweep makes good what was not put

    def grow_soon(self, name: str, growth: Growth) -> asyncio.Task[None]:
        """The same; whoever wants to wait for it may."""
        return self._soon(self.grow(name, growth))

    async def refresh(self, names: Collection[str]) -> bool:
        """Put anew what the source says of these; False when Redis is away."""
        return await self.put(await self._source.load(names))

    def refresh_soon(self, names: Collection[str]) -> None:
        """The same without waiting for it."""
        _ = self._soon(self._refresh_quietly(names))

    async def refresh_within(self, names: Collection[str], seconds: float) -> None:
        """The same, waiting so long at most; a failure is the sweep's business."""
        await asyncio.wait({self._soon(self._refresh_quietly(names))}, timeout=seconds)

    async def settled(self) -> None:
        """Wait for what is being put just now."""
        await asyncio.gather(*self._putting)

    async def _refresh_quietly(self, names: Collection[str]) -> None:
        await self.refresh(names)

    def _soon(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._putting.add(task)
        task.add_done_callback(self._put_done)
        return task

    def _put_done(self, task: asyncio.Task[None]) -> None:
        self._putting.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("projection.put_failed", projection=self.name, error=type(error).__name__)

    async def _put_quietly(self, entries: Mapping[str, Entry]) -> None:
        await self.put(entries)

    async def _put(self, entries: Mapping[str, Entry]) -> None:
        await self._generations.keep_known()
        for generation in self._generations.all():
            await self._put_into(generation, entries)

    async def _put_into(self, generation: int, entries: Mapping[str, Entry]) -> None:
        keyed = {self._key(name, generation): entry for name, entry in entries.items()}
        if len(keyed) == 1:
            ((key, entry),) = keyed.items()
            await self._hot.put(key, entry, self._ttl)
        elif keyed:
            await self._hot.put_many(keyed, self._ttl)

    def _key(self, name: str, generation: int) -> str:
        return entry_key(self.name, name, f"{self._layout}.{generation}")

    # ------------------------------------------------------------ sweeping

    def wake(self) -> None:
        """Say that something has changed, for the next sweep to begin at once, and here."""
        self._woken.set()

    async def keep_true(self, every: float = 4.0, healed: Callable[[], None] = lambda: None) -> None:
        """Sweep as long as the process runs; among replicas one does it for all. ``healed`` hears that it did some."""
        while True:
            try:
                woken = self._woken.is_set()
                self._woken.clear()
                mine = woken or self.in_doubt or await self._hot.take_turn(self.name, "sweep", self._me, 2 * every)
                if mine and await self.sweep():
                    healed()
            except HotAway:
                healed()  # whoever reads has to read from the source now
                log.info("projection.sweep_put_off", projection=self.name)
            except Exception:
                log.exception("projection.sweep_failed", projection=self.name)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(every, _DOUBT) if self.in_doubt else every):
                    await self._woken.wait()

    async def sweep(self) -> int:
        """Put right what is behind its source; how many entries were. Raises ``HotAway``; the next looks further back.

        A complete projection is held against all of its source, others against what changed since the last sweep.
        """
        began, began_at = self._clock.now(), asyncio.get_running_loop().time()
        swept = (await self._generations.learn()).get("swept")
        last = began if swept is None else min(began, datetime.fromtimestamp(float(swept), UTC))
        oldest = began - timedelta(seconds=self._ttl)  # what was put before has ended by itself
        since = max(last, oldest) - OVERLAP
        healed = 0
        for some in portions(list((await self._source.changed(since)).items())):
            for generation in self._generations.all():
                healed += await self._put_right(generation, dict(some))
        await self._hot.set_state(self.name, {"swept": str(began.timestamp())})
        self._whole_at = began_at
        SWEPT.labels(self.name).set(began.timestamp())
        HEALED.labels(self.name).inc(healed)
        if healed:
            log.info("projection.healed", projection=self.name, entries=healed)
        return healed

    async def _put_right(self, generation: int, versions: Mapping[str, int]) -> int:
        held = await self._hot.versions([self._key(name, generation) for name in versions])
        behind = [
            name
            for (name, version), there in zip(versions.items(), held, strict=True)
            if (self._complete if there is None else there < version)
        ]
        if behind:
            async with self._loads:
                entries = await self._source.load(behind)
            await self._put_into(generation, entries)
            await _pause_for_others()
        return len(behind)

    # ------------------------------------------------------------ generations

    async def rebuild(self) -> int:
        """Build a new generation beside the one that is read, then switch and remove the old; how many entries.

        Raises ``HotAway`` and ``RebuildUnderWay``. What is left of a rebuild that died goes with the next.
        """
        await self._claim()
        await self._generations.learn()
        old, unfinished = self._generations.active, self._generations.building
        fresh = max(self._generations.all()) + 1
        if unfinished is not None:
            await self._generations.switch(old, None)
            await self._remove(unfinished)
        await self._generations.switch(old, fresh)
        await self._generations.settled()  # from now on everyone writes to both
        built = 0
        async for names in self._source.everything():
            entries = await self._source.load(names)
            await self._put_into(fresh, entries)
            built += len(entries)
            await self._claim()
        await self._generations.switch(fresh, None)
        await self._generations.settled()  # from now on nobody reads the old one
        await self._remove(old)
        await self._claim(seconds=0.001)  # let go
        return built

    async def _claim(self, seconds: float = 30.0) -> None:
        if not await self._hot.take_turn(self.name, "rebuild", self._me, seconds):
            raise RebuildUnderWay

    async def _remove(self, generation: int) -> None:
        async for keys in self._hot.keys(self.name, f"{self._layout}.{generation}"):
            await self._hot.drop(keys)

    # ------------------------------------------------------------ checking

    @property
    def shared(self) -> bool:
        """Whether it lies where other processes see it, too."""
        return self._hot.shared

    async def describe(self) -> Described:
        """What is known of it; raises ``HotAway``."""
        swept = (await self._generations.learn()).get("swept")
        active, building = self._generations.active, self._generations.building
        return Described(
            projection=self.name,
            generation=f"{self._layout}.{active}",
            building=None if building is None else f"{self._layout}.{building}",
            swept_at=None if swept is None else datetime.fromtimestamp(float(swept), UTC),
        )

    async def check(self, patience: float = 8.0, since: datetime | None = None) -> Checked:
        """Hold every entry against its source, or those alone that changed ``since`` a moment.

        What differs is looked at again for up to ``patience`` seconds: changes of just now may be on their way, and
        what was missed is to be put right by then. Raises ``HotAway``.
        """
        await self._generations.learn()
        active = self._generations.active
        beside = Agreement(
            projection=self.name,
            generation=f"{self._layout}.{active}",
            hot=self._hot,
            source=self._source,
            key=lambda name: self._key(name, active),
            complete=self._complete,
            same=self._same,
            held=lambda entry: entry.value != _COMING,
        )
        return await beside.check(patience, since)


async def _pause_for_others() -> None:
    await asyncio.sleep(_HEAL_EVERY * (0.5 + _chance()))
