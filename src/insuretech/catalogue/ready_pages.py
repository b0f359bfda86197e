"""The pages in hot storage, ready to leave: each as it is and compressed, and an index that says which there are.

A process does not read them for every request: its shelf follows the index, once a second, and takes over what has
changed. So a page costs nothing to give out, and may be a second old, which is less than its readers may keep it.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import datetime

import msgspec

from insuretech.catalogue.ports import NumberedPages, ReadyPage
from insuretech.kit.clock import Clock
from insuretech.kit.hot import Entry, HotStore
from insuretech.kit.projections import Projection

NAME = "catalogue.pages"
KEPT_FOR = 24 * 3600.0
"""Seconds; what is missing then is put again by the next sweep."""
_INDEX = "index"

_index = msgspec.msgpack.Decoder(dict[str, str])
_page = msgspec.msgpack.Decoder(ReadyPage)


class ReadyPages:
    """The projection as the shelf reads it."""

    def __init__(self, hot: HotStore, pages: NumberedPages, clock: Clock) -> None:
        self.projection = Projection(NAME, hot, _Source(pages), clock, ttl=KEPT_FOR, complete=True, same=_same)

    async def tags(self) -> dict[str, str]:
        entry = await self.projection.read(_INDEX)
        return {} if entry is None else _index.decode(entry.value)

    async def pages(self, paths: set[str]) -> list[ReadyPage]:
        found = await asyncio.gather(*(self.projection.read(path) for path in paths))
        return [_page.decode(entry.value) for entry in found if entry is not None]


class _Source:
    """The table of pages, as the projection sees it."""

    def __init__(self, pages: NumberedPages) -> None:
        self._pages = pages

    async def load(self, names: Collection[str]) -> Mapping[str, Entry]:
        wanted = set(names) - {_INDEX}
        entries = {
            page.path: Entry(revision, msgspec.msgpack.encode(page))
            for page, revision in (await self._pages.numbered(wanted) if wanted else [])
        }
        if _INDEX in names:
            index = await self._pages.index()
            entries[_INDEX] = Entry(index.revision, msgspec.msgpack.encode(index.tags, order="sorted"))
        return entries

    async def changed(self, since: datetime) -> Mapping[str, int]:  # noqa: ARG002 - there are few, so all are compared
        index = await self._pages.index()
        return {**index.revisions, _INDEX: index.revision}

    async def everything(self) -> AsyncIterator[Sequence[str]]:
        index = await self._pages.index()
        yield [*index.tags, _INDEX]


def _same(name: str, one: bytes, other: bytes) -> bool:
    """Compressing elsewhere may give other bytes of the same page."""
    if one == other or name == _INDEX:
        return one == other
    return _page.decode(one).body == _page.decode(other).body
