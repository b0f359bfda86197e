"""Hot storage for projections: entries that only newer versions replace, under keys whose layout is stated here alone.

What lies here is derived and may vanish at any moment; whoever reads has a source to fall back to.

Keys. The part in braces is the hash tag, so that all about one aggregate lies in one slot of a Redis Cluster:

    {<projection>:<name>}:<generation>   an entry; ends by its time to live
    {<projection>}:state                 a hash: which generation is read, which is built, how far was swept; stays
    {<projection>}:turn:<of what>        whose turn it is, say, to sweep; ends after seconds

A generation is ``<layout>.<build>``: the layout changes with our code, the build with every rebuild.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from time import monotonic
from typing import NamedTuple, Protocol

DIGITS = 19
"""A version stands in front of its value with so many decimal digits, so that versions compare as texts do."""
MOST_ENTRIES = 50_000


class HotAway(Exception):
    """The hot storage cannot be asked now, or takes nothing: go to the source."""


class HotFull(HotAway):
    """The hot storage answers, but has no room for more."""


class Entry(NamedTuple):
    """A value in one version of it; versions of a name only grow."""

    version: int
    value: bytes


class Growth(NamedTuple):
    """What an entry of version ``after`` has to be followed by to become one of ``version``."""

    after: int
    version: int
    tail: bytes


def entry_key(projection: str, name: str, generation: str) -> str:
    """Where an entry lies."""
    return f"{{{projection}:{name}}}:{generation}"


def name_in(key: str) -> str:
    """The name within an entry's key."""
    return key[1 : key.rindex("}")].partition(":")[2]


def state_key(projection: str) -> str:
    """Where the state of a projection lies."""
    return f"{{{projection}}}:state"


def turn_key(projection: str, task: str) -> str:
    """Where it is noted whose turn a task is."""
    return f"{{{projection}}}:turn:{task}"


class HotStore(Protocol):
    """Entries by key. Every call takes a bounded time and raises ``HotAway`` when it cannot be answered.

    Times to live are seconds. ``shared`` says that other processes see the same.
    """

    @property
    def shared(self) -> bool: ...

    def silent(self) -> Sequence[str]:
        """What of it does not answer this process, as probes name it: ``redis:<host>:<port>``."""
        ...

    async def get(self, key: str) -> Entry | None: ...

    async def get_many(self, keys: Sequence[str]) -> list[Entry | None]: ...

    async def versions(self, keys: Sequence[str]) -> list[int | None]:
        """Only the versions, for comparing with the source."""
        ...

    async def put(self, key: str, entry: Entry, ttl: float) -> bool:
        """Keep an entry unless a newer one is there; False when one is."""
        ...

    async def put_many(self, entries: Mapping[str, Entry], ttl: float) -> None: ...

    async def grow(self, key: str, growth: Growth, ttl: float) -> bool:
        """Append to an entry; False when something before it is missing, True also when it is there already."""
        ...

    async def drop(self, keys: Sequence[str]) -> None: ...

    def keys(self, projection: str, generation: str) -> AsyncIterator[Sequence[str]]:
        """Every key of a generation, in portions; one may come twice."""
        ...

    async def state(self, projection: str) -> Mapping[str, str]: ...

    async def set_state(self, projection: str, fields: Mapping[str, str]) -> None: ...

    async def take_turn(self, projection: str, task: str, who: str, seconds: float) -> bool:
        """Claim a task for so long, or claim it further; False while it is somebody else's."""
        ...

    async def aclose(self) -> None: ...


class MemoryHot:
    """Hot storage within one process. What was not touched for longest goes when there are more than ``most``."""

    shared = False

    def __init__(self, most: int = MOST_ENTRIES, clock: Callable[[], float] = monotonic) -> None:
        self._most = most
        self._clock = clock
        self._entries: OrderedDict[str, tuple[Entry, float]] = OrderedDict()
        self._states: dict[str, dict[str, str]] = {}
        self._turns: dict[str, tuple[str, float]] = {}

    def silent(self) -> Sequence[str]:
        return ()

    async def get(self, key: str) -> Entry | None:
        found = self._entries.get(key)
        if found is None:
            return None
        entry, until = found
        if self._clock() >= until:
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        return entry

    async def get_many(self, keys: Sequence[str]) -> list[Entry | None]:
        return [await self.get(key) for key in keys]

    async def versions(self, keys: Sequence[str]) -> list[int | None]:
        return [None if entry is None else entry.version for entry in await self.get_many(keys)]

    async def put(self, key: str, entry: Entry, ttl: float) -> bool:
        there = await self.get(key)
        if there is not None and there.version > entry.version:
            return False
        self._entries[key] = (entry, self._clock() + ttl)
        self._entries.move_to_end(key)
        while len(self._entries) > self._most:
            self._entries.popitem(last=False)
        return True

    async def put_many(self, entries: Mapping[str, Entry], ttl: float) -> None:
        for key, entry in entries.items():
            await self.put(key, entry, ttl)

    async def grow(self, key: str, growth: Growth, ttl: float) -> bool:
        there = await self.get(key)
        if there is None or there.version < growth.after:
            return False
        if there.version == growth.after:
            await self.put(key, Entry(growth.version, there.value + growth.tail), ttl)
            return True
        return there.version >= growth.version

    async def drop(self, keys: Sequence[str]) -> None:
        for key in keys:
            self._entries.pop(key, None)

    async def keys(self, projection: str, generation: str) -> AsyncIterator[Sequence[str]]:
        start, end = entry_key(projection, "", "").partition("}")[0], f"}}:{generation}"
        yield [key for key in self._entries if key.startswith(start) and key.endswith(end)]
        await asyncio.sleep(0)

    async def state(self, projection: str) -> Mapping[str, str]:
        return dict(self._states.get(projection, {}))

    async def set_state(self, projection: str, fields: Mapping[str, str]) -> None:
        self._states.setdefault(projection, {}).update(fields)

    async def take_turn(self, projection: str, task: str, who: str, seconds: float) -> bool:
        key = turn_key(projection, task)
        holder, until = self._turns.get(key, (who, 0.0))
        if holder != who and self._clock() < until:
            return False
        self._turns[key] = (who, self._clock() + seconds)
        return True

    async def aclose(self) -> None:
        self._entries.clear()
