"""Whether a projection says what its source says: entry by entry, with patience for what is on its way."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Protocol, TypeVar

import msgspec

from insuretech.kit.hot import Entry, HotStore, name_in

BATCH = 200
"""Entries of one request."""
_T = TypeVar("_T")


class Source(Protocol):
    """Where a projection comes from; its versions grow with every change."""

    async def load(self, names: Collection[str]) -> Mapping[str, Entry]:
        """Entries as they should be; what there is nothing of is left out."""
        ...

    async def changed(self, since: datetime) -> Mapping[str, int]:
        """Names of what has changed since then, with their versions now; others may be among them."""
        ...

    def everything(self) -> AsyncIterator[Sequence[str]]:
        """All names that a new generation begins with, in portions."""
        ...


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """An entry that is not as its source says; versions are None where there is none."""

    projection: str
    name: str
    kind: str
    held: int | None
    source: int | None


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """What a check found."""

    projection: str
    entries: int
    differences: list[Difference]


def portions(items: Sequence[_T]) -> list[list[_T]]:
    """As many at a time as one request should ask for."""
    remaining = iter(items)
    return list(iter(lambda: list(islice(remaining, BATCH)), []))


@dataclass(frozen=True)
class Agreement:
    """One generation of a projection beside its source.

    ``key`` is where an entry lies by its name. A ``complete`` projection holds all its source has. ``same`` says of a
    name whether two values mean the same, ``held`` whether an entry is one at all and not just announced.
    """

    projection: str
    generation: str
    hot: HotStore
    source: Source
    key: Callable[[str], str]
    complete: bool
    same: Callable[[str, bytes, bytes], bool]
    held: Callable[[Entry], bool]

    async def check(self, patience: float, since: datetime | None) -> Checked:
        """Hold every entry against its source, or those alone that changed ``since`` a moment.

        What differs is looked at again for up to ``patience`` seconds. Raises ``HotAway``.
        """
        entries = 0
        suspects: dict[str, Difference] = {}
        async for some in self._all_held() if since is None else self._changed(since):
            entries += len(some)
            suspects.update(await self._differences(some))
        if self.complete:
            async for names in self.source.everything():
                suspects.update(await self._differences(names))
        until, pause = asyncio.get_running_loop().time() + patience, 0.1
        while suspects and (left := until - asyncio.get_running_loop().time()) > 0:
            await asyncio.sleep(min(left, pause))
            pause = min(2 * pause, 1.0)
            suspects = await self._differences(list(suspects))
        return Checked(projection=self.projection, entries=entries, differences=list(suspects.values()))

    async def _all_held(self) -> AsyncIterator[list[str]]:
        async for keys in self.hot.keys(self.projection, self.generation):
            for some in portions([name_in(key) for key in keys]):
                yield some

    async def _changed(self, since: datetime) -> AsyncIterator[list[str]]:
        for some in portions(list(await self.source.changed(since))):
            yield some

    async def _differences(self, names: Sequence[str]) -> dict[str, Difference]:
        there = await self.hot.get_many([self.key(name) for name in names])
        should = await self.source.load(names)
        found = {}
        for name, entry in zip(names, there, strict=True):
            held = entry if entry is not None and self.held(entry) else None
            kind = self._kind(name, held, should.get(name))
            if kind is not None:
                found[name] = Difference(
                    projection=self.projection,
                    name=name,
                    kind=kind,
                    held=None if held is None else held.version,
                    source=should[name].version if name in should else None,
                )
        return found

    def _kind(self, name: str, held: Entry | None, should: Entry | None) -> str | None:
        if held is None:
            return "missing" if self.complete and should is not None else None
        if should is None:
            return "unknown to its source"
        if held.version != should.version:
            return "behind" if held.version < should.version else "ahead"
        return None if self.same(name, held.value, should.value) else "differs"
