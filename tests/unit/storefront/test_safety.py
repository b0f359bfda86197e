"""What keeps other sites, other people and clumsy clients from doing harm through the site's forms and cookies."""

from uuid import UUID

import pytest

from insuretech.kit.clock import FixedClock
from insuretech.storefront.visits import MAX_ACCESS
from tests.unit.storefront.conftest import Browser
from tests.unit.storefront.fake_marketplace import FakeMarketplace
from tests.unit.storefront.test_walk import START, STEPS, answer_all, ask_for_offers, order_of

PAGES = ("/", "/products/osago", START, "/orders", "/privacy", "/design", "/docs", "/nowhere")


@pytest.mark.parametrize("proof", ["", "AAAA", "-", "not base64 ☂"])
async def test_a_form_without_our_proof_is_refused(browser: Browser, fake: FakeMarketplace, proof: str) -> None:
    """Without it another site could order a policy in a visitor's name."""
    order_id = await order_of(browser, fake)
    calls = len(fake.calls)
    answer = await browser.http.post(f"/orders/{order_id}/payment", data={"csrf": proof})
    assert answer.status_code == 403
    assert len(fake.calls) == calls


async def test_another_browsers_proof_is_refused(browser: Browser) -> None:
    """Without it an attacker could fetch a proof for themselves and put it into a victim's form."""
    await browser.open(START)
    stolen = browser.hidden()
    browser.http.cookies.clear()
    await browser.open(START)
    answer = await browser.http.post(f"{START}?step=1", data={**stolen, "do": "next"})
    assert answer.status_code == 403


@pytest.mark.parametrize("header", [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://elsewhere.example"}])
async def test_what_another_site_sends_is_refused(browser: Browser, header: dict[str, str]) -> None:
    """Without it a leaked proof alone would open the door."""
    await browser.open(START)
    fields = {**browser.hidden(), **STEPS[0], "do": "next"}
    answer = await browser.http.post(f"{START}?step=1", data=fields, headers=header)
    assert answer.status_code == 403
    answer = await browser.http.post("/preferences", data={"theme": "dark"}, headers=header)
    assert answer.status_code == 403


@pytest.mark.parametrize("target", ["https://evil.example", "//evil.example", "/\\evil.example", "/\r\nX: y"])
async def test_preferences_lead_nowhere_else(browser: Browser, target: str) -> None:
    """Without it a link to our site could end at a copy of it."""
    answer = await browser.http.post("/preferences", data={"lang": "en", "next": target})
    assert answer.headers["location"] == "/"


async def test_cookies_are_out_of_reach_of_scripts_and_other_sites(browser: Browser) -> None:
    """Without it a stray script or another site could use a visitor's access."""
    await answer_all(browser)
    answer = await browser.http.post(START, data={**browser.hidden(START), "do": "submit"})
    for cookie in answer.headers.get_list("set-cookie"):
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie


async def test_answers_in_the_browser_cannot_be_read_or_altered(browser: Browser) -> None:
    """Without it a shared computer would tell where someone lives and what they drive."""
    await answer_all(browser)
    kept = browser.http.cookies["draft_osago"]
    assert len(kept) < 3800
    assert "Lada" not in kept
    browser.http.cookies.clear()
    browser.http.cookies.set("draft_osago", kept[:-4] + "AAAA")
    html = await browser.open(f"{START}?step=2")
    assert 'value="Vesta"' not in html, "an altered draft is no draft"


async def test_more_answers_than_a_cookie_holds_are_refused_in_words(browser: Browser) -> None:
    """Without it a browser would drop the cookie silently, and every answer with it."""
    await browser.open(START)
    noise = "".join(chr(0x430 + (i * 7919) % 32) + chr(0x4E00 + (i * 104729) % 20000) for i in range(3000))
    answer = await browser.http.post(f"{START}?step=2", data={**browser.hidden(), "/vehicle/make": noise, "do": "next"})
    assert answer.status_code == 413
    assert "Столько мы не можем сохранить" in answer.text


async def test_old_quotes_give_way_so_that_headers_stay_small(browser: Browser) -> None:
    """Without it a frequent visitor's cookies would grow until the server refuses their headers."""
    for number in range(MAX_ACCESS + 3):
        browser.http.cookies.set(f"access_{number:032x}", "x" * 43, domain="site.test", path="/")
    await ask_for_offers(browser)
    kept = [name for name in browser.http.cookies if name.startswith("access_")]
    assert len(kept) == MAX_ACCESS
    assert f"access_{0:032x}" not in kept


async def test_someone_elses_quote_and_order_are_not_there(browser: Browser, fake: FakeMarketplace) -> None:
    """Without it an id in a screenshot would open a stranger's order."""
    order_id = await order_of(browser, fake)
    quote_id = fake.order_states[order_id].quote_id
    browser.http.cookies.clear()
    for address in (f"/orders/{order_id}", f"/quotes/{quote_id}", f"/orders/{order_id}/policy.pdf"):
        await browser.open(address)
        assert browser.page.status_code == 404, address
    await browser.open(f"/orders/{UUID(int=7)}")
    assert browser.page.status_code == 404


@pytest.mark.parametrize("page", PAGES)
async def test_every_page_forbids_what_it_does_not_need(browser: Browser, page: str) -> None:
    """Without it a hole in one template could run a stranger's script."""
    await browser.open(page)
    headers = browser.page.headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert "no-store" in headers["cache-control"]


async def test_what_a_person_types_is_shown_as_text(browser: Browser) -> None:
    """Without it an answer could become a part of the page."""
    await browser.open(START)
    await browser.send(f"{START}?step=2", {"/vehicle/make": "<img src=x>", "do": "next"})
    assert "<img" not in await browser.open(f"{START}?step=2")
    assert "&lt;img src=x&gt;" in browser.page.text


@pytest.mark.parametrize(
    "fields",
    [
        {"do": "add:/drivers/list/0/x"},
        {"do": "add:/"},
        {"do": "remove:/drivers/list/999999999999"},
        {"do": "next", "entry": "/drivers/list/999999"},
        {"do": "next", "entry": "/vehicle/0"},
        {"do": "begin", "/vehicle/plate/0/x": "1", "/": "2", "//": "3"},
        {"do": "\x00", "/use/months": "\x00"},
        {"do": "next", "/use/starts_on": "31.02.2026", "/use/months": "1" * 400},
    ],
)
async def test_a_hostile_form_is_taken_or_refused_but_breaks_nothing(browser: Browser, fields: dict[str, str]) -> None:
    """Without it a made-up form could leave the visitor with an error page for as long as the cookie lives."""
    await browser.open(START)
    for step in (1, 6, 7):
        answer = await browser.http.post(f"{START}?step={step}", data={**browser.hidden(), **fields})
        assert answer.status_code == 303
    await browser.open(f"{START}?step=6")
    assert browser.page.status_code == 200


@pytest.mark.parametrize("address", ["/products/none", "/quotes/7", "/problems/none", "/consents/a/b", "/static/x.css"])
async def test_what_is_not_there_is_a_friendly_page(browser: Browser, address: str) -> None:
    """Without it a mistyped address would end at a page of code."""
    await browser.open(address)
    assert browser.page.status_code == 404
    assert "Такой страницы здесь нет" in browser.page.text


async def test_an_offer_past_its_time_cannot_be_chosen(
    browser: Browser, fake: FakeMarketplace, clock: FixedClock
) -> None:
    """Without it a person would fill in a form for an offer that no longer holds."""
    quote_id = await ask_for_offers(browser)
    fake.answer(quote_id, "aster", "offered", "8000")
    clock.at = fake.quotes[quote_id].offers[0].expires_at
    html = await browser.open(f"/quotes/{quote_id}/offers")
    assert "Срок истёк" in html
    assert "/order?quote=" not in html
    assert "Эти предложения больше не действуют" in html
