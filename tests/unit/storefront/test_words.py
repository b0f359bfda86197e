"""Words of the site: in two languages, for every state, never half a sentence."""

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from insuretech.contracts.money import Money
from insuretech.contracts.text import Text
from insuretech.kit import problems
from insuretech.kit.problems import all_problems
from insuretech.orders.domain import explanations
from insuretech.orders.domain.lifecycle import OrderStatus
from insuretech.pages.drawing import initials
from insuretech.pages.language import choose_language
from insuretech.quotes.domain import LineStatus
from insuretech.storefront.language import WORDINGS
from insuretech.storefront.narration import _REACHED, WAITING, stories
from insuretech.storefront.words import problem_words, prose
from tests.unit.storefront.conftest import Browser

ALL_PAGES = ("/", "/products/osago", "/how-we-rank", "/privacy", "/about", "/design", "/orders", "/problems", "/docs")
_CYRILLIC = re.compile("[А-Яа-яЁё]+")


@pytest.mark.parametrize("code", sorted(explanations._WHAT))
def test_every_explanation_of_an_order_has_a_headline(code: str) -> None:
    """Without it a buyer would read “the order is being worked on” when the insurer has refused."""
    assert code in stories().headlines


def test_every_state_of_an_order_has_its_place_on_the_way() -> None:
    """Without it the line of steps would jump back to its beginning."""
    assert set(_REACHED) == {status.value for status in OrderStatus}


def test_every_outcome_of_an_insurer_has_words() -> None:
    """Without it an insurer would end in “made no offer” and nobody would know why."""
    outcomes = {status.value for status in LineStatus} - WAITING - {"offered"}
    assert outcomes <= set(stories().outcomes) | {"late"}


@pytest.mark.parametrize("slug", sorted(all_problems()))
async def test_every_problem_type_has_a_page(browser: Browser, slug: str) -> None:
    """Without it the `type` of an error would lead to nothing."""
    html = await browser.open(f"/problems/{slug}")
    assert browser.page.status_code == 200
    assert f"/problems/{slug}" in html


def test_the_problems_we_raise_ourselves_are_explained() -> None:
    """Without it a developer would read general words about the errors of the kit."""
    ours = {
        kind.slug for kind in vars(problems).values() if isinstance(kind, type) and issubclass(kind, problems.Problem)
    }
    assert ours <= set(problem_words())


@pytest.mark.parametrize("page", ALL_PAGES)
async def test_pages_in_english_are_english_throughout(browser: Browser, page: str) -> None:
    """Without it half of a page would stay in a language its reader does not know."""
    browser.http.headers["Accept-Language"] = "en-GB"
    html = await browser.open(page)
    assert '<html lang="en"' in html
    text = re.sub(r"<[^>]+>|Русский|ОСАГО|А123ВС77|ООО «Пример»|АО «Образец»", " ", html)
    allowed = {"Москва", "Полюс", "Северный", "щит", "Согласие"}
    assert set(_CYRILLIC.findall(text)) <= allowed | _names(html)


def _names(html: str) -> set[str]:
    """Names of insurers and initials, which stay as they are."""
    return {word for tile in re.findall(r'class="monogram"[^>]*>([^<]+)<', html) for word in (tile, *tile)}


async def test_the_switch_is_kept_over_the_browsers_wish(browser: Browser) -> None:
    """Without it the language would fall back with every page."""
    await browser.http.post("/preferences", data={"lang": "en", "theme": "dark", "next": "/about"})
    html = await browser.open("/about")
    assert '<html lang="en" data-theme="dark">' in html


@pytest.mark.parametrize(
    ("cookie", "header", "expected"),
    [
        (None, "", "ru"),
        (None, "de-DE,de;q=0.9", "ru"),
        (None, "en-US,en;q=0.9,ru;q=0.8", "en"),
        ("ru", "en-US", "ru"),
        ("xx", "en", "en"),
    ],
)
def test_language_follows_choice_then_browser(cookie: str | None, header: str, expected: str) -> None:
    """Without it visitors would get a language they did not ask for."""
    assert choose_language(cookie, header) == expected


@pytest.mark.parametrize(
    ("amount", "ru", "en"),
    [("8697.22", "8 697,22 ₽", "8,697.22 ₽"), ("12000", "12 000 ₽", "12,000 ₽"), ("0.50", "0,50 ₽", "0.50 ₽")],
)
def test_money_is_written_as_readers_write_it(amount: str, ru: str, en: str) -> None:
    """Without it a price could be misread by a factor of a hundred."""
    money = Money(Decimal(amount))
    assert WORDINGS["ru"].money(money).replace("\u00a0", " ") == ru
    assert WORDINGS["en"].money(money).replace("\u00a0", " ") == en


def test_a_moment_says_whose_hour_it_is() -> None:
    """Without it a person in Vladivostok would think that seven hours are left."""
    moment = datetime(2026, 11, 22, 15, 5, tzinfo=UTC)
    assert WORDINGS["ru"].moment(moment).replace("\u00a0", " ") == "22 ноября, 18:05 мск"
    assert WORDINGS["en"].moment(moment).replace("\u00a0", " ") == "22 November, 18:05 MSK"


def test_an_insurers_tile_speaks_the_language_of_its_name() -> None:
    """Without it “Bystra” would stand beside a Б."""
    assert initials(Text("Быстра", "Bystra"), "en") == "B"
    assert initials(Text("Страхование «Северный щит»", "Northern Shield Insurance"), "ru") == "СЩ"


def test_long_texts_are_complete_in_both_languages() -> None:
    """Without it a page about data would lack the sentence that matters in one language."""
    texts = list(_texts([*prose().values(), *problem_words().values(), stories()]))
    assert len(texts) > 50
    for text in texts:
        assert text.ru.strip()
        assert text.en.strip()
        assert not _CYRILLIC.search(text.en), text.en


def _texts(value: Any) -> list[Text]:
    if isinstance(value, Text):
        return [value]
    if isinstance(value, dict):
        return [text for child in value.values() for text in _texts(child)]
    if isinstance(value, list | tuple):
        return [text for child in value for text in _texts(child)]
    fields = getattr(value, "__struct_fields__", ())
    return [text for name in fields for text in _texts(getattr(value, name))]
