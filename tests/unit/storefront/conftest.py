"""The whole site over an in-memory marketplace, asked as a browser would ask it."""

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from litestar import Litestar

from insuretech.compose.edge import application
from insuretech.kit.clock import FixedClock
from insuretech.kit.http import new_client
from insuretech.kit.keyring import Keyring
from insuretech.kit.live import LiveHub
from insuretech.kit.platform import Platform
from insuretech.kit.settings import Settings
from insuretech.storefront.app import build
from tests.unit.storefront.fake_marketplace import FakeMarketplace

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
_HIDDEN = re.compile(r'<input type="hidden" name="(csrf|idempotency_key)" value="([^"]*)">')


@dataclass
class Browser:
    """Keeps cookies, follows redirects, and sends a page's hidden fields with its form."""

    http: httpx.AsyncClient
    page: httpx.Response

    async def open(self, path: str) -> str:
        self.page = await self.http.get(path, follow_redirects=True)
        return self.page.text

    async def send(self, path: str, fields: Mapping[str, Any], form: str = "") -> str:
        """Send a form of the page that is open; ``form`` picks it by a part of its action."""
        self.page = await self.http.post(path, data={**self.hidden(form), **fields}, follow_redirects=True)
        return self.page.text

    def hidden(self, form: str = "") -> dict[str, str]:
        html = self.page.text
        start = html.index(f'action="{form}') if form else 0
        return dict(reversed(_HIDDEN.findall(html, start)))

    @property
    def address(self) -> str:
        return self.page.url.raw_path.decode()


@pytest.fixture
def fake() -> FakeMarketplace:
    """A marketplace of the test's own."""
    return FakeMarketplace()


@pytest.fixture
def clock() -> FixedClock:
    """Noon in Moscow on a Sunday in November."""
    return FixedClock(NOW)


@pytest.fixture
async def app(fake: FakeMarketplace, clock: FixedClock) -> Litestar:
    """The site as an application."""
    async with new_client() as unused:
        platform = Platform(
            settings=Settings(),
            clock=clock,
            keyring=Keyring.generate(),
            http=unused,
            live=LiveHub(),
            database=_no_database,
        )
    service = build(platform, marketplace=fake).service
    return application(service.routes, Settings(), failure_page=service.failure_page)


def _no_database(service: str) -> Any:
    raise AssertionError(f"the site keeps nothing, yet {service} asked for a database")


@pytest.fixture
async def browser(app: Litestar) -> AsyncIterator[Browser]:
    """A Russian browser of its own."""
    transport = httpx.ASGITransport(app)  # type: ignore[arg-type]  # the same protocol, spelled by two libraries
    headers = {"Accept-Language": "ru-RU,ru;q=0.9", "Accept": "text/html"}
    async with httpx.AsyncClient(transport=transport, base_url="http://site.test", headers=headers) as client:
        yield Browser(client, httpx.Response(200, text=""))
