"""A person's way through the site, page by page, without JavaScript."""

import re
from uuid import UUID

from insuretech.storefront.ports import FieldFault
from insuretech.storefront.wizard import _place
from tests.unit.storefront.conftest import Browser
from tests.unit.storefront.fake_marketplace import FakeMarketplace, roubles

START = "/products/osago/start"
STEPS = (
    {"/vehicle/plate": "a123bc77", "/vehicle/vin": ""},
    {"/vehicle/make": "Lada", "/vehicle/model": "Vesta", "/vehicle/year": "2019"},
    {"/vehicle/category": "B", "/vehicle/power_hp": "87,5"},
    {"/vehicle/purpose": "personal", "/vehicle/trailer": "false"},
    {"/owner/kind": "individual", "/owner/region": "Москва", "/owner/territory": "Москва"},
    {
        "/drivers/limited": "true",
        "entry": "/drivers/list/0",
        "/drivers/list/0/birth_date": "05.05.1990",
        "/drivers/list/0/licence_since": "01.06.2010",
        "/drivers/list/0/kbm_class": "",
    },
    {"/use/starts_on": "26.11.2026", "/use/months": "12"},
)
CUSTOMER = {
    "/customer/last_name": "Иванова",
    "/customer/first_name": "Анна",
    "/customer/birth_date": "05.05.1990",
    "/customer/document/number": "4512 345678",
    "/customer/email": "anna@example.org",
    "/customer/phone": "+7 926 123-45-67",
}
CONSENTS = ["personal-data:1", "insurance-terms:1", "electronic-policy:1"]


async def answer_all(browser: Browser) -> None:
    """From the first question to the review."""
    await browser.open(START)
    for number, fields in enumerate(STEPS, 1):
        await browser.send(f"{START}?step={number}", {**fields, "do": "next"})


async def ask_for_offers(browser: Browser) -> UUID:
    """As far as the page of offers; gives the quote."""
    await answer_all(browser)
    await browser.send(START, {"do": "submit"}, form=START)
    return UUID(browser.address.removeprefix("/quotes/"))


async def order_of(browser: Browser, fake: FakeMarketplace) -> UUID:
    """As far as the page of the order, with one offer made and chosen."""
    quote_id = await ask_for_offers(browser)
    fake.answer(quote_id, "aster", "offered", "8697.22")
    offer = fake.quotes[quote_id].offers[0]
    form = f"/offers/{offer.id}/order?quote={quote_id}"
    await browser.open(form)
    await browser.send(form, {**CUSTOMER, "consent": CONSENTS})
    return UUID(browser.address.removeprefix("/orders/"))


async def test_answers_reach_the_api_as_it_takes_them(browser: Browser, fake: FakeMarketplace) -> None:
    """Without it what a person types in the Russian way would be refused: plate, decimal comma, dates."""
    await ask_for_offers(browser)
    assert fake.answers["vehicle"]["plate"] == "А123ВС77"
    assert fake.answers["vehicle"]["power_hp"] == "87.5"
    assert fake.answers["vehicle"]["year"] == 2019
    assert fake.answers["vehicle"]["trailer"] is False
    assert fake.answers["drivers"] == {
        "limited": True,
        "list": [{"birth_date": "1990-05-05", "licence_since": "2010-06-01"}],
    }
    assert fake.answers["use"] == {"starts_on": "2026-11-26", "months": 12}


async def test_answers_survive_a_reload_and_leaving(browser: Browser) -> None:
    """Without it a person who was interrupted would start again from nothing."""
    await browser.open(START)
    await browser.send(f"{START}?step=1", {**STEPS[0], "do": "next"})
    assert 'value="А123ВС77"' in await browser.open(f"{START}?step=1")
    await browser.open(START)
    assert "Марка и модель" in browser.page.text, "the visitor lands on the first step that is not answered"


async def test_faults_of_a_step_show_at_once_and_lose_nothing(browser: Browser) -> None:
    """Without it a person would learn of errors one by one, and type the rest again."""
    await browser.open(START)
    html = await browser.send(f"{START}?step=1", {"/vehicle/plate": "ЖЖ", "/vehicle/vin": "XTA", "do": "next"})
    assert browser.address == f"{START}?step=1&check=1"
    assert "Нужно поправить 2 ответа" in html
    assert 'aria-invalid="true"' in html
    assert 'value="XTA"' in html


async def test_going_back_leads_to_the_step_before(browser: Browser) -> None:
    """Without it the only way back would be the browser's button."""
    await browser.open(START)
    html = await browser.send(f"{START}?step=1", {**STEPS[0], "do": "next"})
    assert f'href="{START}?step=1"' in html


async def test_drivers_are_added_and_removed_without_scripts(browser: Browser) -> None:
    """Without it a second driver could be named only with JavaScript."""
    await answer_all(browser)
    await browser.open(f"{START}?step=6")
    html = await browser.send(f"{START}?step=6", {**STEPS[5], "do": "add:/drivers/list"})
    assert "Водитель 2" in html
    assert 'value="05.05.1990"' in html
    await browser.send(f"{START}?step=6", {**STEPS[5], "do": "remove:/drivers/list/1"})
    assert "Водитель 2" not in browser.page.text


async def test_a_question_that_depends_on_another_is_asked_only_then(browser: Browser) -> None:
    """Without it the owner of a car would be asked for a lorry's mass."""
    await browser.open(f"{START}?step=3")
    assert "/vehicle/max_mass_kg" not in browser.page.text
    await browser.send(f"{START}?step=3", {"/vehicle/category": "C", "do": "redraw"})
    assert "/vehicle/max_mass_kg" in browser.page.text
    assert "/vehicle/power_hp" not in browser.page.text


async def test_the_corridor_stands_beside_the_answers(browser: Browser) -> None:
    """Without it nobody would see within which limits the law keeps the price."""
    assert "Мощность" in await browser.open(START), "it says what is still needed"
    await answer_all(browser)
    html = await browser.open(f"{START}?step=4")
    assert "5\u00a0231,04\u00a0₽" in html
    assert "Указание Банка России 6007-У" in html


async def test_the_corridor_follows_the_form_before_it_is_sent(browser: Browser) -> None:
    """Without it the numbers would lag one step behind the answers."""
    await browser.open(f"{START}?step=3")
    html = await browser.send("/products/osago/corridor", {"/vehicle/category": "B", "/vehicle/power_hp": "150"})
    assert "Мощность 150 л. с." in html


async def test_a_double_click_asks_insurers_once(browser: Browser, fake: FakeMarketplace) -> None:
    """Without it an impatient person would get two quotes; the API takes equal keys as one request."""
    await answer_all(browser)
    hidden = browser.hidden(START)
    for _ in range(2):
        await browser.http.post(START, data={**hidden, "do": "submit"})
    keys = [key for what, key in fake.calls if what == "quote"]
    assert len(keys) == 2
    assert len(set(keys)) == 1


async def test_every_insurer_ends_in_a_sentence(browser: Browser, fake: FakeMarketplace) -> None:
    """Without it a person would wonder why an insurer is missing."""
    quote_id = await ask_for_offers(browser)
    assert "считает цену" in browser.page.text
    fake.answer(quote_id, "aster", "offered", "8697.22")
    fake.answer(quote_id, "boreas", "declined", reason="Не страхуем автомобили с правым рулём.")
    fake.answer(quote_id, "cedar", "timed_out")
    html = await browser.open(f"/quotes/{quote_id}/offers")
    assert "Не страхуем автомобили с правым рулём." in html
    assert "Не ответил за отведённое время." in html
    assert "Ответили 3 из 5" in html


async def test_an_insurers_russian_sentence_is_a_quotation_on_an_english_page(
    browser: Browser, fake: FakeMarketplace
) -> None:
    """A reader of English would meet a refusal in a language they do not know, and nothing beside it."""
    quote_id = await ask_for_offers(browser)
    fake.answer(quote_id, "boreas", "declined", reason="Такой риск мы не страхуем.")
    fake.answer(quote_id, "cedar", "declined", reason="We do not insure this.")
    browser.http.headers["Accept-Language"] = "en"
    html = await browser.open(f"/quotes/{quote_id}/offers")
    assert "Does not insure this case." in html
    assert '<q lang="ru">Такой риск мы не страхуем.</q>' in html
    assert "We do not insure this." in html
    assert html.count("<q ") == 1


async def test_a_drivers_dates_are_named_where_answers_are_checked(browser: Browser) -> None:
    """Without it “17.05.1984, 01.03.2006, 4” would be checked by nobody."""
    await answer_all(browser)
    html = await browser.open(f"{START}?step=review")
    assert "Водитель 1, дата рождения" in html
    assert "Водитель 1, класс КБМ" in html


def test_what_the_corridor_still_needs_stands_in_the_order_it_is_asked_for() -> None:
    """Without it a person would look for the first of the missing answers on the last page."""
    asked = ["/vehicle/category", "/owner", "/drivers/list"]
    missing = ["/unknown", "/drivers/list/0/birth_date", "/owner/kind", "/vehicle/category"]
    assert sorted(missing, key=lambda pointer: _place(asked, pointer)) == missing[::-1]


async def test_a_page_without_scripts_renews_itself_until_all_have_answered(
    browser: Browser, fake: FakeMarketplace
) -> None:
    """Without it a browser without JavaScript would wait for offers for ever, or refresh for ever."""
    quote_id = await ask_for_offers(browser)
    assert 'http-equiv="refresh"' in browser.page.text
    for code in ("aster", "boreas", "cedar", "dune", "ember"):
        fake.answer(quote_id, code, "unavailable")
    html = await browser.open(f"/quotes/{quote_id}")
    assert 'http-equiv="refresh"' not in html
    assert "В этот раз никто не сделал предложения" in html


async def test_offers_stand_in_the_order_the_visitor_chose(browser: Browser, fake: FakeMarketplace) -> None:
    """Without it “by price” and “by speed of claims” would be words only."""
    quote_id = await ask_for_offers(browser)
    fake.answer(quote_id, "aster", "offered", "8000")  # pays in 9 days
    fake.answer(quote_id, "boreas", "offered", "9000")  # pays in 4 days
    by_price = await browser.open(f"/quotes/{quote_id}/offers")
    by_claims = await browser.open(f"/quotes/{quote_id}/offers?sort=claims")
    assert by_price.index("Астра") < by_price.index("Борей")
    assert by_claims.index("Борей") < by_claims.index("Астра")


async def test_nothing_is_ticked_beforehand(browser: Browser, fake: FakeMarketplace) -> None:
    """Without it a consent or an offer could be slipped under a person's hand."""
    quote_id = await ask_for_offers(browser)
    fake.answer(quote_id, "aster", "offered", "8000")
    assert " checked" not in await browser.open(f"/quotes/{quote_id}")
    offer = fake.quotes[quote_id].offers[0]
    assert " checked" not in await browser.open(f"/offers/{offer.id}/order?quote={quote_id}")


async def test_at_most_three_offers_are_compared(browser: Browser, fake: FakeMarketplace) -> None:
    """Without it a hand-made address would break the table's layout."""
    quote_id = await ask_for_offers(browser)
    for number, code in enumerate(("aster", "boreas", "cedar", "dune")):
        fake.answer(quote_id, code, "offered", f"{8000 + number}")
    chosen = ",".join(str(offer.id) for offer in fake.quotes[quote_id].offers)
    html = await browser.open(f"/quotes/{quote_id}/compare?offers={chosen}")
    assert html.count('role="columnheader"') == 3
    assert "самая низкая" in html


async def test_faults_of_the_policyholder_show_beside_their_fields(browser: Browser, fake: FakeMarketplace) -> None:
    """Without it a person would not know what the insurer dislikes, or would type all of it again."""
    quote_id = await ask_for_offers(browser)
    fake.answer(quote_id, "aster", "offered", "8697.22")
    form = f"/offers/{fake.quotes[quote_id].offers[0].id}/order?quote={quote_id}"
    await browser.open(form)
    html = await browser.send(form, {"/customer/last_name": "Иванова", "consent": CONSENTS[:1]})
    assert browser.page.status_code == 422
    assert "Нужно поправить 7 ответов" in html
    assert 'value="Иванова"' in html
    assert html.count("Без этого согласия страховщик не сможет заключить договор.") == 4, "twice on top, twice below"
    fake.customer_faults = (FieldFault(pointer="/customer/birth_date", code="minor"),)
    html = await browser.send(form, {**CUSTOMER, "consent": CONSENTS})
    assert "страхователь должен быть совершеннолетним" in html


async def test_paying_leads_to_the_provider_and_back_to_the_order(browser: Browser, fake: FakeMarketplace) -> None:
    """Without it the buyer would come back from paying to nowhere."""
    order_id = await order_of(browser, fake)
    assert "8\u00a0697,22\u00a0₽" in browser.page.text
    answer = await browser.http.post(f"/orders/{order_id}/payment", data=browser.hidden(f"/orders/{order_id}/pay"))
    assert answer.status_code == 303
    assert answer.headers["location"] == f"http://site.test/orders/{order_id}?paid"


async def test_a_changed_price_is_asked_again_with_both_prices(browser: Browser, fake: FakeMarketplace) -> None:
    """Without it a person could pay more than agreed."""
    order_id = await order_of(browser, fake)
    fake.move(order_id, status="price_changed", previous_premium=roubles("8697.22"), premium=roubles("9100"))
    html = await browser.open(f"/orders/{order_id}")
    assert "8\u00a0697,22\u00a0₽</del>" in html
    assert "на 402,78\u00a0₽ дороже" in html
    assert f'action="/orders/{order_id}/payment"' not in html
    fields = dict(re.findall(r'name="(amount|currency)" value="([^"]+)"', html))
    await browser.send(f"/orders/{order_id}/price-consent", fields)
    assert fake.order_states[order_id].premium == roubles("9100")
    assert f'action="/orders/{order_id}/payment"' in browser.page.text


async def test_the_order_page_is_renewed_only_when_something_changed(browser: Browser, fake: FakeMarketplace) -> None:
    """Without it a screen reader would read the same page aloud every second."""
    order_id = await order_of(browser, fake)
    fake.move(order_id, status="issuing")
    html = await browser.open(f"/orders/{order_id}")
    found = re.search(r'hx-get="([^"]+)"', html)
    assert found
    assert (await browser.http.get(found[1])).status_code == 204
    fake.issue(order_id)
    renewed = await browser.http.get(found[1])
    assert "Полис ваш" in renewed.text
    assert "hx-get" not in renewed.text, "an issued order with its document does not change any more"


async def test_the_personal_link_opens_the_order_in_another_browser(browser: Browser, fake: FakeMarketplace) -> None:
    """Without it a policy bought on the phone could not be found on the computer."""
    order_id = await order_of(browser, fake)
    found = re.search(r'id="personal-link" readonly value="http://site.test([^"]+)"', browser.page.text)
    assert found
    browser.http.cookies.clear()
    await browser.open(f"/orders/{order_id}")
    assert browser.page.status_code == 404
    await browser.open(found[1])
    assert browser.address == f"/orders/{order_id}", "the address that opens it stays nowhere in sight"
    assert browser.page.history[0].headers["Referrer-Policy"] == "no-referrer"
    assert str(order_id) in await browser.open("/orders")


async def test_the_policy_is_handed_out_as_a_file(browser: Browser, fake: FakeMarketplace) -> None:
    """Without it the one thing that was bought could not be had."""
    order_id = await order_of(browser, fake)
    fake.issue(order_id)
    answer = await browser.http.get(f"/orders/{order_id}/policy.pdf")
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.content.startswith(b"%PDF")


async def test_ending_a_policy_shows_refund_and_ground_before_anything_ends(
    browser: Browser, fake: FakeMarketplace
) -> None:
    """Without it a person would end a policy without knowing what comes back."""
    order_id = await order_of(browser, fake)
    fake.issue(order_id)
    address = f"/orders/{order_id}/cancellation"
    await browser.open(address)
    html = await browser.send(address, {})
    assert "5\u00a0200\u00a0₽" in html
    assert "Статья 10" in html
    assert ("cancellation", "") not in [(what, "") for what, _ in fake.calls]
    preview = re.search(r'name="preview" value="([^"]+)"', html)
    assert preview
    await browser.send(address, {"preview": preview[1]})
    assert browser.address == f"/orders/{order_id}"
    policy = fake.order_states[order_id].policy
    assert policy is not None
    assert policy.status == "cancelled"


async def test_verification_shows_no_personal_data_and_knows_no_strangers(browser: Browser) -> None:
    """Without it the code on a policy would tell strangers who is insured, or call a fake paper genuine."""
    assert "Полис настоящий и действует" in await browser.open("/verify/abcdef")
    assert "Такого полиса мы не знаем" in await browser.open("/verify/nothing")
    assert browser.page.status_code == 404
