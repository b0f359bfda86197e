"""What every page of the site works with: the marketplace behind it, the templates, the clock."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from litestar import Request, Response

from insuretech.kit.clock import Clock, legal_date
from insuretech.kit.keyring import Keyring
from insuretech.kit.problems import ProblemKind, problem_kinds
from insuretech.storefront.ports import Marketplace, ProductSummary, Refused
from insuretech.storefront.views import Views
from insuretech.storefront.visits import Visit, visit_of

NAVIGATION_WAIT = 2.0
"""Seconds the frame of a page waits for the list of products before it does without."""


@dataclass(frozen=True)
class Desk:
    """Shared by all pages. ``public_url`` is empty when visitors' own address is to be used in links."""

    marketplace: Marketplace
    views: Views
    clock: Clock
    keyring: Keyring
    public_url: str
    problem_kinds: Callable[[], Mapping[str, ProblemKind]] = problem_kinds
    _seen: list[ProductSummary] = field(default_factory=list)

    def visit(self, request: Request[Any, Any, Any]) -> Visit:
        return visit_of(request, self.keyring, self.public_url)

    def today(self) -> date:
        """The date a contract made now would carry."""
        return legal_date(self.clock.now())

    def address(self, visit: Visit) -> str:
        """Scheme and host for links that lead back to us."""
        return self.public_url or visit.origin

    async def page(
        self, visit: Visit, template: str, context: Mapping[str, Any] | None = None, status: int = 200
    ) -> Response[bytes]:
        """A page inside the site's frame."""
        return self.views.page(visit, template, context or {}, products=await self.shelf(), status=status)

    def remembered_page(self, visit: Visit, template: str, context: Mapping[str, Any], status: int) -> Response[bytes]:
        """A page that asks nobody: its frame shows the products last seen. For when something is broken."""
        return self.views.page(visit, template, context, products=tuple(self._seen), status=status)

    def fragment(self, visit: Visit, template: str, context: Mapping[str, Any]) -> Response[bytes]:
        """A part of a page, asked for by htmx."""
        return self.views.page(visit, template, context)

    async def shelf(self) -> tuple[ProductSummary, ...]:
        """The products for the navigation; a page is better without them than not at all."""
        try:
            async with asyncio.timeout(NAVIGATION_WAIT):
                self._seen[:] = await self.marketplace.products()
                return tuple(self._seen)
        except (Refused, TimeoutError):
            return ()
