"""``python -m tests.browser.pictures [folder]``: the pictures of the README, taken anew from the running site."""

import asyncio
import re
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
from playwright.async_api import async_playwright

from tests.browser.chromium import ARGUMENTS, chromium_path
from tests.browser.visitor import Visitor, visiting
from tests.system.answers import ANSWERS
from tests.system.running import RunningMarketplace
from tests.system.sandbox import Sandbox

SCREEN = {"width": 1280, "height": 800}


def take(folder: Path) -> None:
    """Walk through a purchase, with most insurers as they are by character, and keep three pages of it."""
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="insuretech-pictures-") as place:
        Path(place).chmod(0o755)  # PostgreSQL may have to run as another user than root
        with RunningMarketplace(Path(place) / "home") as market:
            asyncio.run(walked(market, folder))


async def walked(market: RunningMarketplace, folder: Path) -> None:
    """One visitor's way."""
    async with httpx.AsyncClient(base_url=market.base_url, trust_env=False) as http:
        for insurer in ("zavis", "molchun", "mercator"):
            await Sandbox(http).behave(insurer, outcome="decline")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium_path(), args=ARGUMENTS)
        async with visiting(browser, market.base_url, viewport=SCREEN) as visitor:
            await walk(visitor, folder)
        await browser.close()


async def walk(visitor: Visitor, folder: Path) -> None:
    """The front page, offers, the policy."""
    await visitor.open("/")
    await visitor.page.evaluate("document.fonts.ready")
    await visitor.page.screenshot(path=folder / "home.png")
    await visitor.answer_all("osago", ANSWERS["osago"]())
    await visitor.offers_shown(6)
    await visitor.page.screenshot(path=folder / "offers.png")
    await visitor.choose_offer("Быстра")
    await visitor.fill_customer()
    await visitor.give_consents()
    await visitor.place_order()
    await visitor.to_payment()
    await visitor.press_at_provider("pay")
    await visitor.page.get_by_role("link", name=re.compile(visitor.say("policy"))).wait_for(timeout=30_000)
    await visitor.page.screenshot(path=folder / "policy.png")


if __name__ == "__main__":
    take(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images"))
