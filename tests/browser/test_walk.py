"""The site used as people use it: to buy, on a phone, without a mouse, without JavaScript, over a bad connection."""

import asyncio
import re
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Route
from pypdf import PdfReader

from tests.browser.visitor import Visitor, visiting
from tests.system.answers import ANSWERS
from tests.system.running import RunningMarketplace, strain
from tests.system.sandbox import Sandbox

pytestmark = [
    pytest.mark.usefixtures("sandbox"),
    pytest.mark.browser,
    pytest.mark.asyncio(loop_scope="session"),
]

PHONE = {"width": 360, "height": 740}


async def order_placed(visitor: Visitor, product: str, insurer: str | None = None) -> None:
    """From the first question to the order's page."""
    await visitor.answer_all(product, ANSWERS[product]())
    await visitor.choose_offer(insurer)
    await visitor.fill_customer()
    await visitor.give_consents()
    await visitor.place_order()


async def policy_bought(visitor: Visitor, product: str, insurer: str | None = None) -> bytes:
    """The whole way to the PDF."""
    await order_placed(visitor, product, insurer)
    return await paid_for(visitor)


async def paid_for(visitor: Visitor) -> bytes:
    """From the order's page over the provider's to the PDF."""
    await visitor.to_payment()
    await visitor.press_at_provider("pay")
    await visitor.page.wait_for_url("**/orders/*")
    link = visitor.page.get_by_role("link", name=re.compile(visitor.say("policy")))
    await link.wait_for()
    response = await visitor.context.request.get(f"{visitor.origin}{await link.get_attribute('href')}")
    assert response.status == 200
    return await response.body()


@pytest.mark.parametrize(("product", "language"), [("osago", "ru"), ("mortgage", "en"), ("travel", "ru")])
async def test_a_policy_is_bought(
    chromium: Browser, shop: RunningMarketplace, product: str, language: str, pictures: Path
) -> None:
    """Otherwise people cannot buy what the site is for, in their language."""
    async with visiting(chromium, shop.base_url, language=language) as visitor:
        pdf = await policy_bought(visitor, product)

        text = "".join(page.extract_text() for page in PdfReader(BytesIO(pdf)).pages)
        number = re.search(r"[A-Z]{3}[-\d/]+", text)
        assert number, text
        await visitor.page.screenshot(path=pictures / f"bought-{product}-{language}.png", full_page=True)


async def test_a_policy_is_bought_without_javascript(chromium: Browser, shop: RunningMarketplace) -> None:
    """Otherwise an old phone or a careful browser cannot buy."""
    async with visiting(chromium, shop.base_url, scripts=False) as visitor:
        pdf = await policy_bought(visitor, "travel")

        assert pdf.startswith(b"%PDF")


async def test_a_policy_is_bought_on_a_phone(chromium: Browser, shop: RunningMarketplace) -> None:
    """Otherwise most people cannot buy."""
    async with visiting(chromium, shop.base_url, viewport=PHONE, has_touch=True, is_mobile=True) as visitor:
        assert (await policy_bought(visitor, "travel")).startswith(b"%PDF")


async def one_comes_late(shop: RunningMarketplace, sandbox: Sandbox) -> None:
    """One insurer answers when those of all others are surely shown, and before it is given up."""
    given_up = float(shop.environment()["INSURETECH_INSURER_TIME_LIMIT"])
    late = round(1000 * min(2.5 * strain(), 0.6 * given_up))
    await sandbox.behave("tihohod", delay_min_ms=late, delay_max_ms=late)


async def test_offers_come_one_by_one(chromium: Browser, shop: RunningMarketplace, sandbox: Sandbox) -> None:
    """Otherwise the visitor waits for the slowest insurer, or has to reload the page."""
    await one_comes_late(shop, sandbox)
    await sandbox.behave("otkazov", outcome="decline")
    async with visiting(chromium, shop.base_url) as visitor:
        await visitor.answer_all("osago", ANSWERS["osago"]())
        cards = visitor.page.locator(".offer:not([aria-hidden])")
        await visitor.offers_shown(8)
        early = await visitor.page.locator("input[name=offers]").count()
        await visitor.offers_shown(9)

        assert early == 8
        assert await cards.count() >= 9
        prices = await visitor.page.eval_on_selector_all(
            ".offer .price", "all => all.map(one => one.textContent.replace(/[^0-9]/g, ''))"
        )
        assert prices == sorted(prices, key=int)
        refused = visitor.page.locator(".status-list li")
        assert await refused.count() == 1


@pytest_asyncio.fixture(loop_scope="session")
async def expectant(chromium: Browser, shop: RunningMarketplace, sandbox: Sandbox) -> AsyncIterator[Visitor]:
    """A visitor who sees the offers of all insurers but the slow one, whose offer follows."""
    await one_comes_late(shop, sandbox)
    async with visiting(chromium, shop.base_url) as visitor:
        await visitor.answer_all("osago", ANSWERS["osago"]())
        await visitor.offers_shown(9)
        yield visitor


async def test_a_press_counts_though_an_offer_comes_meanwhile(expectant: Visitor) -> None:
    """Otherwise the button moves away under a finger and nothing happens, or another insurer is chosen."""
    page = expectant.page
    shown = await page.locator(".offers").inner_text()
    button = page.locator("a[id^=choose-]").first
    chosen = await button.get_attribute("href")
    await button.hover()
    async with page.expect_response("**/quotes/*/offers?*"):
        await page.mouse.down()
    await asyncio.sleep(0.5)
    assert await page.locator(".offers").inner_text() == shown
    await page.mouse.up()

    await page.wait_for_url(f"**{chosen}")


async def test_what_came_during_a_press_is_shown_after_it(expectant: Visitor) -> None:
    """Otherwise an offer stays hidden from a visitor who was marking text when it came."""
    await expectant.page.locator(".offer .price").first.hover()
    async with expectant.page.expect_response("**/quotes/*/offers?*"):
        await expectant.page.mouse.down()
    await expectant.page.mouse.up()

    await expectant.offers_shown(10)


async def test_the_keyboard_keeps_its_place_when_an_offer_comes(expectant: Visitor) -> None:
    """Otherwise a visitor without a mouse begins at the top of the page with every offer."""
    button = expectant.page.locator("a[id^=choose-]").first
    await button.focus()
    focused = await button.get_attribute("id")
    await expectant.offers_shown(10)

    assert await expectant.page.evaluate("document.activeElement.id") == focused


async def test_a_broken_connection_mends_itself(chromium: Browser, shop: RunningMarketplace, sandbox: Sandbox) -> None:
    """Otherwise a tunnel or a restart of ours leaves the visitor with half of the offers."""
    await sandbox.behave("tihohod", delay_min_ms=2000, delay_max_ms=2000)
    await sandbox.behave("kabinet", outcome="pending", pending_ms=2500)
    async with visiting(chromium, shop.base_url) as visitor:
        visitor.expected += ["ERR_", "Failed to load resource", "htmx:", r"\[object Event\]"]
        await visitor.answer_all("osago", ANSWERS["osago"]())
        await visitor.offers_shown(7)

        await asyncio.to_thread(shop.restart_after_kill)

        await visitor.offers_shown(10)


async def test_a_changed_price_is_asked_again(chromium: Browser, shop: RunningMarketplace, sandbox: Sandbox) -> None:
    """Otherwise the visitor pays a price never seen."""
    await sandbox.behave("peremena", confirm_change_percent=8.5)
    async with visiting(chromium, shop.base_url) as visitor:
        await order_placed(visitor, "travel", "Перемена")
        agree = visitor.page.get_by_role("button", name=re.compile("^Согласен|^Принимаю|^Соглашаюсь|^Согласиться"))
        await agree.wait_for()
        assert await visitor.page.locator("del").count() == 1
        await agree.click()

        assert (await paid_for(visitor)).startswith(b"%PDF")


async def test_a_declined_payment_is_told_and_tried_again(chromium: Browser, shop: RunningMarketplace) -> None:
    """Otherwise the visitor does not know whether money is gone and cannot go on."""
    async with visiting(chromium, shop.base_url) as visitor:
        await order_placed(visitor, "travel")
        await visitor.to_payment()
        await visitor.press_at_provider("decline")
        await visitor.page.wait_for_url("**/orders/*")
        note = visitor.page.locator(".money-note")
        await note.wait_for()

        assert (await paid_for(visitor)).startswith(b"%PDF")


async def test_a_refused_policy_is_told_with_what_happens_to_the_money(
    chromium: Browser, shop: RunningMarketplace, sandbox: Sandbox
) -> None:
    """Otherwise the visitor has paid, has no policy and nobody says why."""
    await sandbox.behave("bystra", issue="refuse")
    async with visiting(chromium, shop.base_url) as visitor:
        await order_placed(visitor, "travel", "Быстра")
        await visitor.to_payment()
        await visitor.press_at_provider("pay")
        await visitor.page.wait_for_url("**/orders/*")
        await visitor.page.locator(".verdict__sign--bad, .verdict__sign--warn").wait_for()

        assert await visitor.page.locator(".money-note").count() == 1


async def test_answers_survive_a_reload_and_going_back(chromium: Browser, shop: RunningMarketplace) -> None:
    """Otherwise a dropped phone costs ten minutes of typing."""
    async with visiting(chromium, shop.base_url) as visitor:
        await visitor.open("/products/osago/start")
        await visitor.answer_step(ANSWERS["osago"]())
        await visitor.answer_step(ANSWERS["osago"]())
        await visitor.page.reload()
        await visitor.page.go_back()
        await visitor.open("/products/osago/start?step=1")

        plate = visitor.page.locator('[name="/vehicle/plate"]')
        assert re.sub(r"\s", "", await plate.input_value()) == ANSWERS["osago"]()["vehicle"]["plate"]


async def test_what_is_typed_while_a_step_is_drawn_anew_stays(chromium: Browser, shop: RunningMarketplace) -> None:
    """Otherwise a slow network eats what the visitor types right after a choice."""
    async with visiting(chromium, shop.base_url) as visitor:
        answers = ANSWERS["osago"]()
        await visitor.open("/products/osago/start")
        await visitor.answer_step(answers)
        await visitor.answer_step(answers)
        await visitor.fill_step(answers)
        drawn = asyncio.Event()

        async def slowly(route: Route) -> None:
            await drawn.wait()
            await route.continue_()

        await visitor.page.route("**/products/osago/start?step=3", slowly)
        await visitor.fill("/vehicle/category", "BE")
        power = visitor.page.locator('[name="/vehicle/power_hp"]')
        await power.fill("109")
        drawn.set()
        await visitor.settle()

        assert await power.input_value() == "109"
        assert await visitor.page.locator('[name="/vehicle/category"]').input_value() == "BE"


async def test_errors_stand_at_their_fields_all_at_once(chromium: Browser, shop: RunningMarketplace) -> None:
    """Otherwise the visitor mends one mistake a page load, or loses what was typed."""
    async with visiting(chromium, shop.base_url) as visitor:
        visitor.expected.append("422")
        await visitor.answer_all("travel", ANSWERS["travel"]())
        await visitor.choose_offer()
        await visitor.fill_customer(
            {"/customer/last_name": "Неизвестная", "/customer/email": "nowhere", "/customer/birth_date": "31.02.1984"}
        )
        await visitor.page.get_by_role("button", name=visitor.say("place")).click()
        await visitor.page.locator(".alert--bad").wait_for()

        wrong = await visitor.page.eval_on_selector_all("[aria-invalid=true]", "all => all.map(one => one.name)")
        assert {"/customer/email", "/customer/birth_date", "/customer/first_name", "/customer/phone"} <= set(wrong)
        assert "/customer/last_name" not in wrong
        assert await visitor.page.locator('[name="/customer/last_name"]').input_value() == "Неизвестная"
        assert await visitor.page.locator('[name="/customer/email"]').input_value() == "nowhere"
        for name in set(wrong) - {"consent"}:
            described = await visitor.page.locator(f'[name="{name}"]').first.get_attribute("aria-describedby")
            assert described
            assert await visitor.page.locator(f"#{described.split()[-1]}").inner_text()


async def test_a_form_is_filled_with_the_keyboard_alone(chromium: Browser, shop: RunningMarketplace) -> None:
    """Otherwise whoever cannot use a mouse cannot buy."""
    async with visiting(chromium, shop.base_url) as visitor:
        await visitor.open("/products/osago/start")
        reached = await tab_to(visitor, '[name="/vehicle/plate"]')
        await visitor.page.keyboard.type("А123ВС77")
        await visitor.page.keyboard.press("Enter")
        await visitor.page.wait_for_url("**step=2*")
        await tab_to(visitor, '[name="/vehicle/make"]')
        await visitor.page.keyboard.type("Lada")
        await visitor.page.keyboard.press("Tab")
        await visitor.page.keyboard.type("Vesta")
        await visitor.page.keyboard.press("Tab")
        await visitor.page.keyboard.type("2019")
        await visitor.page.keyboard.press("Enter")
        await visitor.page.wait_for_url("**step=3*")

        assert reached < 30


async def tab_to(visitor: Visitor, selector: str) -> int:
    """Press Tab until a control has the focus, which must be visible on the way; the number of presses."""
    for presses in range(60):
        focused = await visitor.page.evaluate(
            "selector => { const one = document.activeElement; return one && one.matches(selector); }", selector
        )
        if focused:
            return presses
        await visitor.page.keyboard.press("Tab")
        outlined = await visitor.page.evaluate(
            """() => { const one = document.activeElement; if (!one || one === document.body) return true;
                const style = getComputedStyle(one);
                return style.outlineStyle !== 'none' || style.boxShadow !== 'none' || one.getClientRects().length === 0
                    || !!one.closest('label, .choice'); }"""
        )
        assert outlined, await visitor.page.evaluate("document.activeElement.outerHTML.slice(0, 200)")
    raise AssertionError(f"{selector} is not reached with Tab")


async def test_a_policy_is_ended_on_the_site(chromium: Browser, shop: RunningMarketplace) -> None:
    """Otherwise the buyer has to write letters to have the money back that the law grants."""
    async with visiting(chromium, shop.base_url) as visitor:
        await policy_bought(visitor, "travel")
        await visitor.page.locator('a[href$="/cancellation"]').click()
        await visitor.page.locator("form[action$='/cancellation'] button").first.click()
        await visitor.page.locator("button.button--danger").click()
        await visitor.page.wait_for_url(re.compile(r"/orders/[0-9a-f-]+$"))

        await visitor.page.locator(".verdict").wait_for()
        assert not await visitor.page.locator("button.button--danger").count()


async def test_the_personal_link_opens_the_policy_elsewhere(chromium: Browser, shop: RunningMarketplace) -> None:
    """Otherwise whoever changes phones has lost the policy."""
    async with visiting(chromium, shop.base_url) as visitor:
        await policy_bought(visitor, "travel")
        link = await visitor.page.locator("#personal-link").input_value()
        order = visitor.page.url
    async with visiting(chromium, shop.base_url) as stranger:
        stranger.expected.append("404")
        await stranger.page.goto(order)
        assert not await stranger.page.locator("#personal-link").count()
        await stranger.page.goto(link)
        assert await stranger.page.locator("#personal-link").count() == 1
