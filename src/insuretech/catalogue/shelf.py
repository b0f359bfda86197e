"""The projection in this process's memory: what a hot read gives out without asking anybody."""

import asyncio
import contextlib
import gzip
from dataclasses import dataclass

from insuretech.catalogue.ports import Page, PageSource


@dataclass(frozen=True, slots=True)
class Shelved:
    """A page ready to leave, plain and compressed; the tags are as they stand in the header."""

    body: bytes
    etag: str
    gzipped: bytes
    gzipped_etag: str


def shelved(page: Page) -> Shelved:
    """Compress once what is given out often; each form has a tag of its own (RFC 9110, 8.8.3)."""
    gzipped = gzip.compress(page.body, compresslevel=9, mtime=0)
    return Shelved(page.body, f'"{page.etag}"', gzipped, f'"{page.etag}-gzip"')


class Shelf:
    """Pages by path. Follows the projection: at once when woken, otherwise every ``interval`` seconds."""

    def __init__(self, source: PageSource, interval: float = 5.0) -> None:
        self._source = source
        self._interval = interval
        self._pages: dict[str, Shelved] = {}
        self._tags: dict[str, str] = {}
        self._woken = asyncio.Event()

    def page(self, path: str) -> Shelved | None:
        return self._pages.get(path)

    def wake(self) -> None:
        """Say that the projection has changed."""
        self._woken.set()

    async def refresh(self) -> None:
        """Take over what has changed in the projection."""
        tags = await self._source.tags()
        stale = {path for path, tag in tags.items() if self._tags.get(path) != tag}
        fresh = {page.path: page for page in await self._source.pages(stale)} if stale else {}
        kept = {path: page for path, page in self._pages.items() if path in tags and path not in stale}
        self._pages = kept | {path: shelved(page) for path, page in fresh.items()}
        self._tags = {path: tag for path, tag in self._tags.items() if path in kept}
        self._tags |= {path: page.etag for path, page in fresh.items()}

    async def keep_fresh(self) -> None:
        """Runs as long as the process."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), self._interval)
            self._woken.clear()
            await self.refresh()
