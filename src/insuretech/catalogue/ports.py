"""What the catalogue's use cases need: a store that is one transaction, and the shapes kept in it."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

import msgspec

from insuretech.catalogue.domain import ConsentText, Listed
from insuretech.kit.events import Event


class OnSale(msgspec.Struct, frozen=True, kw_only=True):
    """A product's current version; ``on_sale`` is False once it is withdrawn."""

    code: str
    version: str
    on_sale: bool
    changed_at: datetime


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """An answer of the public API as it leaves; ``etag`` without quotes, ``path`` below ``/api/v1``."""

    path: str
    body: bytes
    etag: str


class ReadyPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page with its compressed form."""

    path: str
    etag: str
    body: bytes
    gzipped: bytes


class PageIndex(msgspec.Struct, frozen=True, kw_only=True):
    """Which pages there are after the build ``revision``: their tags, and the builds that changed them last."""

    revision: int
    tags: dict[str, str]
    revisions: dict[str, int]


class Store(Protocol):
    """Products and pages inside one transaction; what is published leaves with the same commit."""

    async def lock(self) -> None:
        """Wait until nobody else is loading products."""
        ...

    async def current(self, code: str) -> OnSale | None: ...

    async def version(self, code: str, version: str) -> Listed | None: ...

    async def consent(self, code: str, version: str) -> ConsentText | None: ...

    async def put_version(self, listed: Listed, now: datetime) -> None: ...

    async def put_consent(self, consent: ConsentText, now: datetime) -> None: ...

    async def put_current(self, current: OnSale) -> None: ...

    async def listed(self) -> list[Listed]:
        """The current version of everything on sale, in no particular order."""
        ...

    async def consents(self) -> list[ConsentText]: ...

    async def replace_pages(self, pages: Sequence[Page], now: datetime) -> None:
        """Make these the projection; unchanged pages stay untouched, others go."""
        ...

    async def publish(self, events: Sequence[Event], now: datetime) -> None: ...


Transaction = Callable[[], AbstractAsyncContextManager[Store]]
"""Opens a transaction that commits on leaving and rolls back on any exception."""


class PageSource(Protocol):
    """Where a process reads the projection from."""

    async def tags(self) -> dict[str, str]: ...

    async def pages(self, paths: set[str]) -> list[ReadyPage]: ...


class NumberedPages(Protocol):
    """Where hot storage is filled from."""

    async def index(self) -> PageIndex: ...

    async def numbered(self, paths: set[str]) -> list[tuple[ReadyPage, int]]:
        """Pages with the builds that changed them last."""
        ...
