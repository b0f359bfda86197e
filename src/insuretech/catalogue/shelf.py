"""The projection in this process's memory: what a hot read gives out without asking anybody."""

import asyncio
import contextlib
from collections.abc import Iterable

from insuretech.catalogue.ports import PageSource, ReadyPage
from insuretech.contracts.products import LIST_TAG, page_tag
from insuretech.kit.web import ReadyAnswer

CACHEABLE = b"public, max-age=60, stale-while-revalidate=300"


class Shelved:
    """A page ready to leave, plain and compressed; each form has a tag of its own (RFC 9110, 8.8.3)."""

    def __init__(self, page: ReadyPage) -> None:
        gzipped = page.gzipped
        self._tags = (f'"{page.etag}"'.encode(), f'"{page.etag}-gzip"'.encode())
        plain, packed = ([*_caching(tag), *_tagged(page.path)] for tag in self._tags)
        self._whole = (
            ReadyAnswer(200, page.body, [*_content(page.body), *plain]),
            ReadyAnswer(200, gzipped, [*_content(gzipped), (b"content-encoding", b"gzip"), *packed]),
        )
        self._unchanged = tuple(ReadyAnswer(304, b"", headers) for headers in (plain, packed))

    def answer(self, headers: Iterable[tuple[bytes, bytes]]) -> ReadyAnswer:
        """Compressed for who takes it, 304 for who has it; ``headers`` are those of the request, in lower case."""
        form, has_it = 0, False
        for name, value in headers:
            if name == b"accept-encoding" and _takes_gzip(value):
                form = 1
            elif name == b"if-none-match":
                has_it = any(tag in value for tag in self._tags) or value.strip() == b"*"
        return self._unchanged[form] if has_it else self._whole[form]


def _takes_gzip(accept_encoding: bytes) -> bool:
    return any(
        part.strip().lower().startswith(b"gzip") and not part.replace(b" ", b"").lower().endswith((b";q=0", b";q=0.0"))
        for part in accept_encoding.split(b",")
    )


def _caching(tag: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"etag", tag), (b"cache-control", CACHEABLE), (b"vary", b"Accept-Encoding")]


def _tagged(path: str) -> list[tuple[bytes, bytes]]:
    """By which tag a shared cache drops the page when a product changes; none for what no event tells of."""
    group, _, code = path.partition("/")
    if group != "products":
        return []
    return [(b"surrogate-key", (page_tag(code) if code else LIST_TAG).encode())]


def _content(body: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]


class Shelf:
    """Pages by path. Follows the projection: at once when woken, otherwise every ``interval`` seconds."""

    def __init__(self, source: PageSource, interval: float = 1.0) -> None:
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
        self._pages = kept | {path: Shelved(page) for path, page in fresh.items()}
        self._tags = {path: tag for path, tag in self._tags.items() if path in kept}
        self._tags |= {path: page.etag for path, page in fresh.items()}

    async def keep_fresh(self) -> None:
        """Runs as long as the process."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._interval):
                    await self._woken.wait()
            self._woken.clear()
            await self.refresh()
