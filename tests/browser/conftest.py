"""One Chromium for the walk through the site; the event loop lasts as long as it does."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from tests.browser.chromium import ARGUMENTS, chromium_path
from tests.cluster.marketplace import ClusterMarketplace, running_cluster
from tests.system.buyer import PATIENCE
from tests.system.running import RunningMarketplace
from tests.system.sandbox import Sandbox

PICTURES = Path("var/pictures")


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningMarketplace]:
    """A marketplace of the browser's own, whose restarts disturb nobody, or the cluster that is under test."""
    if control := running_cluster():
        yield ClusterMarketplace.of(control)
        return
    settings = {"INSURETECH_INSURER_TIME_LIMIT": "120", "INSURETECH_ISSUE_RECHECK": "0.3"}
    with RunningMarketplace(tmp_path_factory.mktemp("shop") / "home", settings) as shop:
        yield shop


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """The Chromium that ``make test`` found, or the one on the path."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium_path(), args=ARGUMENTS, headless=True)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def sandbox(shop: RunningMarketplace) -> AsyncIterator[Sandbox]:
    """The outside world at its best, before and after."""
    async with httpx.AsyncClient(base_url=shop.base_url, timeout=PATIENCE, trust_env=False) as http:
        sandbox = Sandbox(http)
        await sandbox.calm()
        yield sandbox


@pytest.fixture(scope="session")
def pictures() -> Path:
    """Where screenshots of the walk go, outside of git."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    return PICTURES
