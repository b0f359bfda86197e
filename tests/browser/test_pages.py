"""What holds for every page: it fits every screen, everybody can perceive and operate it, it is light and safe."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page

from tests.browser.visitor import Visitor, visiting
from tests.system.answers import ANSWERS
from tests.system.buyer import PATIENCE, Buyer
from tests.system.running import RunningMarketplace
from tests.system.sandbox import Sandbox

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

WIDTHS = (360, 768, 1440)
ARRIVED = """Promise.allSettled(document.getAnimations()
    .filter(one => one.effect.getComputedTiming().endTime !== Infinity).map(one => one.finished))"""
"""Until what moves on a new page has come to rest: half way a text is as pale as nobody reads it."""
HEAVIEST = 150_000  # bytes over the wire on a first visit
PUBLIC = (
    "/",
    "/products/osago",
    "/products/mortgage",
    "/products/travel",
    "/products/osago/start",
    "/products/mortgage/start",
    "/products/travel/start",
    "/how-we-rank",
    "/privacy",
    "/about",
    "/design",
    "/docs",
    "/orders",
    "/problems",
    "/problems/not-found",
    "/sandbox",
    "/no-such-page",
)


@dataclass(frozen=True)
class Bought:
    """A visitor's profile after a purchase, and the addresses it led through."""

    storage: str
    paths: tuple[str, ...]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def bought(
    chromium: Browser, shop: RunningMarketplace, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Bought]:
    """One purchase, whose pages are then looked at closely."""
    async with httpx.AsyncClient(base_url=shop.base_url, timeout=PATIENCE, trust_env=False) as http:
        await Sandbox(http).calm()
    paths = []
    async with visiting(chromium, shop.base_url) as visitor:
        await visitor.answer_all("osago", ANSWERS["osago"]())
        paths.append("/products/osago/start?step=6")
        paths.append(path_of(visitor))
        await visitor.page.locator("input[name=offers]").nth(9).wait_for()
        chosen = await visitor.page.eval_on_selector_all(
            "input[name=offers]", "all => all.slice(0, 3).map(one => 'offers=' + one.value)"
        )
        paths.append(f"{path_of(visitor)}/compare?{'&'.join(chosen)}")
        await visitor.choose_offer()
        paths.append(path_of(visitor))
        await visitor.fill_customer()
        await visitor.give_consents()
        await visitor.place_order()
        await visitor.page.get_by_role("button", name=re.compile("^Оплатить")).wait_for()
        order = path_of(visitor)
        paths.append(order)
        await visitor.to_payment()
        paths.append(path_of(visitor))
        await visitor.press_at_provider("pay")
        await visitor.page.get_by_role("link", name=re.compile("Скачать полис")).wait_for()
        paths += [f"{order}/cancellation", "/orders"]
        paths.append(await visitor.page.locator('a[href^="/verify/"]').get_attribute("href") or "")
        consent = await consent_path(shop)
        storage = tmp_path_factory.mktemp("profile") / "state.json"
        await visitor.context.storage_state(path=storage)
    yield Bought(str(storage), (*paths, consent))


async def consent_path(shop: RunningMarketplace) -> str:
    """Where the text of a consent stands."""
    async with httpx.AsyncClient(base_url=shop.base_url, timeout=PATIENCE, trust_env=False) as http:
        [first, *_] = (await http.get("/api/v1/products/osago")).json()["consents"]
    return str(first["url"]).removeprefix(shop.base_url)


def path_of(visitor: Visitor) -> str:
    """Where the visitor is, with the query."""
    return visitor.page.url.removeprefix(visitor.origin)


@pytest.mark.looks
@pytest.mark.parametrize(("scheme", "widths"), [("light", WIDTHS), ("dark", WIDTHS[-1:])])
async def test_every_page_fits_and_everybody_can_use_it(
    chromium: Browser, shop: RunningMarketplace, bought: Bought, scheme: str, widths: tuple[int, ...], pictures: Path
) -> None:
    """Otherwise a phone scrolls sideways, or a screen reader, a weak eye or a keyboard is left out."""
    found = []
    async with visiting(chromium, shop.base_url, color_scheme=scheme, storage_state=bought.storage) as visitor:
        visitor.expected += ["404"]
        for path in dict.fromkeys((*PUBLIC, *bought.paths)):
            await visitor.open(path)
            await visitor.page.evaluate("document.fonts.ready")
            await visitor.page.evaluate(ARRIVED)
            for width in widths:
                await visitor.page.set_viewport_size({"width": width, "height": 800})
                found += [f"{path} at {width}: {fault}" for fault in await overflows(visitor.page)]
                if width != 768:
                    found += [f"{path} at {width}: {fault}" for fault in await serious(visitor.page)]
                    await visitor.page.screenshot(path=pictures / f"{picture_of(path)}-{width}-{scheme}.png")
    assert not found, "\n".join(found)


def picture_of(path: str) -> str:
    """A file's name for a page, the same in every run."""
    name = re.sub(r"[0-9a-f]{8}-[0-9a-f-]+", "id", path.partition("?")[0])
    return re.sub(r"\W+", "-", name).strip("-") or "home"


async def overflows(page: Page) -> list[str]:
    """Whether the page is wider than the screen, and which elements make it so."""
    wide: list[str] = await page.evaluate(
        """() => {
            const width = document.documentElement.clientWidth;
            if (document.documentElement.scrollWidth <= width) return [];
            return [...document.querySelectorAll('body *')]
                .filter(one => one.getBoundingClientRect().right > width + 1)
                .slice(0, 3).map(one => `wider than the screen: ${one.outerHTML.slice(0, 120)}`);
        }"""
    )
    return wide


async def serious(page: Page) -> list[str]:
    """Serious and critical findings of axe-core."""
    results = await Axe().run(page)
    return [
        f"{violation['id']} ({violation['impact']}): {node['target']} {node['html'][:120]}"
        for violation in results.response["violations"]
        if violation["impact"] in {"serious", "critical"}
        for node in violation["nodes"][:3]
    ]


@pytest.mark.looks
async def test_every_page_is_light_on_a_first_visit(
    chromium: Browser, shop: RunningMarketplace, bought: Bought
) -> None:
    """Otherwise the site is slow and dear where the network is poor."""
    heavy = []
    for path in dict.fromkeys((*PUBLIC, *bought.paths)):
        async with visiting(chromium, shop.base_url, storage_state=bought.storage) as visitor:
            visitor.expected.append("404")
            session = await visitor.context.new_cdp_session(visitor.page)
            await session.send("Network.enable")
            sizes: list[float] = []
            session.on("Network.loadingFinished", lambda event, sizes=sizes: sizes.append(event["encodedDataLength"]))
            await visitor.open(path)
            await visitor.page.wait_for_load_state("load")
            await visitor.page.evaluate("document.fonts.ready")
            if sum(sizes) >= HEAVIEST:
                heavy.append(f"{path}: {sum(sizes):.0f} bytes")
    assert not heavy, heavy


async def test_static_files_are_kept_for_ever_under_their_hash(shop: RunningMarketplace) -> None:
    """Otherwise every page loads everything again, or a new version of the site shows old styles."""
    async with httpx.AsyncClient(base_url=shop.base_url, timeout=PATIENCE, trust_env=False) as http:
        page = (await http.get("/")).text
        files = sorted(set(re.findall(r'(?:href|src)="(/static/[^"]+)"', page)))
        assert len(files) >= 4
        for path in files:
            response = await http.get(path)
            assert response.status_code == 200
            assert "immutable" in response.headers["cache-control"]
            assert re.search(r"[.-][0-9a-f]{8,}\.", path), path
            other = re.sub(r"([.-])[0-9a-f]{8,}\.", r"\g<1>0000000000000000.", path)
            assert (await http.get(other)).status_code == 404


async def test_the_policy_for_content_is_strict(shop: RunningMarketplace) -> None:
    """Otherwise text that a stranger smuggles into a page runs as a script."""
    async with httpx.AsyncClient(base_url=shop.base_url, timeout=PATIENCE, trust_env=False) as http:
        for path in PUBLIC:
            response = await http.get(path, headers={"Accept": "text/html"})
            policy = response.headers["content-security-policy"]
            assert "default-src 'none'" in policy or "default-src 'self'" in policy, path
            assert "unsafe-inline" not in policy
            assert "unsafe-eval" not in policy
            assert "frame-ancestors 'none'" in policy
            assert response.headers["x-content-type-options"] == "nosniff"
            assert "referrer-policy" in response.headers


async def test_the_language_follows_the_browser_and_the_switch(chromium: Browser, shop: RunningMarketplace) -> None:
    """Otherwise people read a language they do not know, and choose again on every page."""
    async with visiting(chromium, shop.base_url, language="en") as visitor:
        await visitor.open("/")
        assert await visitor.page.locator("html").get_attribute("lang") == "en"
        await visitor.page.locator('button[name="lang"]').click()
        await visitor.page.locator("html[lang=ru]").wait_for()
        await visitor.open("/products/osago")
        assert await visitor.page.locator("html").get_attribute("lang") == "ru"


@pytest.mark.usefixtures("sandbox")
async def test_a_form_from_a_foreign_page_changes_nothing(shop: RunningMarketplace) -> None:
    """Otherwise a page elsewhere places orders in the name of a visitor of ours."""
    async with httpx.AsyncClient(base_url=shop.base_url, timeout=PATIENCE, trust_env=False) as http:
        buyer = Buyer(http)
        quote = await buyer.ask("travel", ANSWERS["travel"]())
        offer = await buyer.offer_of(quote, "bystra")
        cookie = {"Cookie": f"access_{quote.id.replace('-', '')}={quote.token}", "Origin": "https://elsewhere.example"}
        response = await http.post(
            f"/offers/{offer['id']}/order?quote={quote.id}", data={"consent": "x"}, headers=cookie
        )

        assert response.status_code in {400, 403}
