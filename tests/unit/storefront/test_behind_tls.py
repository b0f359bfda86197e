"""The site behind a load balancer that speaks https with visitors and http with us."""

from typing import Any

import httpx

from insuretech.compose.edge import application
from insuretech.kit.clock import FixedClock
from insuretech.kit.http import new_client
from insuretech.kit.keyring import Keyring
from insuretech.kit.live import LiveHub
from insuretech.kit.platform import Platform
from insuretech.kit.settings import Settings
from insuretech.storefront.app import build
from tests.unit.storefront.fake_marketplace import FakeMarketplace


def _no_database(service: str) -> Any:
    raise AssertionError(service)


async def test_cookies_are_for_https_alone_where_visitors_come_by_https(
    fake: FakeMarketplace, clock: FixedClock
) -> None:
    """Otherwise a visitor who once types http:// sends the token of their policy in the clear."""
    settings = Settings(public_url="https://shop.example")
    async with new_client() as unused:
        platform = Platform(settings, clock, Keyring.generate(), unused, LiveHub(), _no_database)
        app = application(build(platform, marketplace=fake).service.routes, settings)
    transport = httpx.ASGITransport(app)  # type: ignore[arg-type]  # the same protocol, spelled by two libraries
    async with httpx.AsyncClient(transport=transport, base_url="http://shop.example") as browser:
        answer = await browser.post("/preferences", data={"lang": "en"})
    cookies = answer.headers.get_list("set-cookie")
    assert cookies
    assert all("Secure" in cookie for cookie in cookies)
