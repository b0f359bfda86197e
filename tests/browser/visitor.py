"""A visitor of the site: opens pages, answers questions as they are asked, presses buttons; notes what must not be."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, Request, Response

from tests.system.buyer import PATIENCE

Answers = Mapping[str, Any]

WORDS = {
    "ru": {
        "next": "Дальше",
        "offers": "Получить предложения",
        "choose": "Выбрать",
        "place": "К окончательной цене",
        "pay": "Оплатить",
        "policy": "Скачать полис",
    },
    "en": {
        "next": "Next",
        "offers": "Get offers",
        "choose": "Choose",
        "place": "Continue to the final price",
        "pay": "Pay",
        "policy": "Download the policy",
    },
}
"""What buttons say, by language."""

CUSTOMER = {
    "/customer/last_name": "Неизвестная",
    "/customer/first_name": "Пелагея",
    "/customer/middle_name": "Аристарховна",
    "/customer/birth_date": "17.05.1984",
    "/customer/document/number": "4509 876543",
    "/customer/email": "pelageya.neizvestnaya@example.org",
    "/customer/phone": "+7 926 000-11-22",
}


LEFT_BEHIND = ("htmx:sendAbort", "htmx:afterRequest")
"""What htmx says about a request that was under way when the visitor went on to the next page."""


@dataclass
class Visitor:
    """One browser profile with one page."""

    context: BrowserContext
    page: Page
    origin: str
    language: str = "ru"
    scripts: bool = True
    findings: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)
    """Patterns of findings that a test brings about on purpose."""

    def watch(self) -> None:
        """Note errors in the console, failed requests, requests to elsewhere, pages without a policy for content."""
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.findings.append(f"script error: {error}"))
        self.page.on("request", self._request)
        self.page.on("response", self._response)

    def unexpected(self) -> list[str]:
        return [each for each in self.findings if not any(re.search(pattern, each) for pattern in self.expected)]

    async def open(self, path: str) -> None:
        await self.page.goto(f"{self.origin}{path}")

    def say(self, word: str) -> str:
        return WORDS[self.language][word]

    # ------------------------------------------------------------ the wizard

    async def answer_all(self, product: str, answers: Answers) -> None:
        """From the first question to the list of offers."""
        await self.open(f"/products/{product}/start")
        for _ in range(30):
            if not await self.page.locator("#wizard").count():
                break
            await self.answer_step(answers)
        await self.page.get_by_role("button", name=self.say("offers")).click()
        await self.page.wait_for_url("**/quotes/*")

    async def answer_step(self, answers: Answers) -> None:
        """Answer what this step asks, as often as answers bring new questions, and go on."""
        await self.fill_step(answers)
        before = self.page.url
        await self.page.get_by_role("button", name=self.say("next"), exact=True).last.click()
        await self.page.wait_for_load_state()
        if self.page.url == before and await self.page.locator(".alert--bad").count():
            raise AssertionError(await self.page.locator(".alert--bad").first.inner_text())

    async def fill_step(self, answers: Answers) -> None:
        done: set[str] = set()
        for _ in range(5):
            asked = [name for name in await self.asked() if name not in done]
            if not asked:
                return
            for name in asked:
                done.add(name)
                value = at(answers, name)
                if value is not None:
                    await self.fill(name, value)
                    await self.settle()

    async def asked(self) -> list[str]:
        """JSON pointers of the questions on the page."""
        names: list[str] = await self.page.eval_on_selector_all(
            "#wizard input:not([type=hidden]), #wizard select",
            "all => [...new Set(all.map(one => one.name).filter(name => name.startsWith('/')))]",
        )
        return names

    async def fill(self, name: str, value: object) -> None:
        """Answer one question the way its control wants it."""
        control = self.page.locator(f'[name="{name}"]:not([type=hidden])')
        kind = await control.first.get_attribute("type") or ""
        tag = await control.first.evaluate("one => one.tagName")
        if kind in {"radio", "checkbox"}:
            values = value if isinstance(value, list) else [value]
            for each in values:
                choice = self.page.locator(f'[name="{name}"][value="{written(each)}"]')
                if kind == "radio" or value:
                    await choice.check()
        elif tag == "SELECT":
            await control.select_option(written(value))
        else:
            await self.type_into(control, written(value))

    async def type_into(self, control: Locator, text: str) -> None:
        """Type key by key where a mask follows, else at once."""
        if self.scripts and await control.get_attribute("data-mask"):
            await control.fill("")
            await control.press_sequentially(text)
        else:
            await control.fill(text)

    async def settle(self) -> None:
        """A step whose questions depend on each other is drawn anew by the server."""
        await self.page.locator("#wizard-fields.htmx-request").wait_for(state="detached")

    # ------------------------------------------------------------ offers and the order

    async def offers_shown(self, number: int) -> None:
        """Wait until so many offers are on the page."""
        await self.page.locator("input[name=offers]").nth(number - 1).wait_for(state="attached")

    async def choose_offer(self, insurer: str | None = None) -> None:
        """Choose an insurer's offer, or the first one."""
        choice = self.page.get_by_role("link", name=re.compile(self.say("choose")))
        if insurer:
            choice = choice.filter(has_text=insurer)
        await choice.first.click()
        await self.page.wait_for_url("**/offers/*/order*")

    async def fill_customer(self, customer: Mapping[str, str] | None = None) -> None:
        for name, value in (customer or CUSTOMER).items():
            await self.type_into(self.page.locator(f'[name="{name}"]'), value)

    async def give_consents(self, *, all_of_them: bool = False) -> None:
        """Tick the required consents."""
        boxes = self.page.locator('input[name="consent"]')
        for index in range(await boxes.count()):
            box = boxes.nth(index)
            optional = await box.evaluate("one => !!one.closest('label').querySelector('.field__optional')")
            if all_of_them or not optional:
                await box.check()

    async def place_order(self) -> None:
        await self.page.get_by_role("button", name=self.say("place")).click()
        await self.page.wait_for_url("**/orders/*")

    async def to_payment(self) -> None:
        await self.page.get_by_role("button", name=re.compile(f"^{self.say('pay')}")).click()
        await self.page.wait_for_url("**/sandbox/**")

    async def press_at_provider(self, action: str) -> None:
        await self.page.locator(f'button[name="action"][value="{action}"]').click()

    # ------------------------------------------------------------ notes

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and not message.text.startswith(LEFT_BEHIND):
            self.findings.append(f"console {message.type} at {self.page.url}: {message.text}")

    def _request(self, request: Request) -> None:
        if not request.url.startswith((self.origin, "data:", "blob:")):
            self.findings.append(f"request to {request.url}")

    def _response(self, response: Response) -> None:
        if response.request.resource_type == "document" and response.status < 300:
            policy = response.headers.get("content-security-policy", "")
            if response.headers.get("content-type", "").startswith("text/html") and "default-src" not in policy:
                self.findings.append(f"no Content-Security-Policy at {response.url}")
        if response.headers.get("content-type", "").count("charset") > 1:
            self.findings.append(f"two character sets at {response.url}")
        if response.status >= 500:
            self.findings.append(f"{response.status} from {response.url}")


@asynccontextmanager
async def visiting(
    browser: Browser, origin: str, *, language: str = "ru", scripts: bool = True, **context: Any
) -> AsyncIterator[Visitor]:
    """A fresh profile; leaving it fails when something happened that must not."""
    locale = {"ru": "ru-RU", "en": "en-GB"}[language]
    profile = await browser.new_context(locale=locale, java_script_enabled=scripts, **context)
    profile.set_default_timeout(PATIENCE * 1000)
    page = await profile.new_page()
    visitor = Visitor(profile, page, origin, language, scripts)
    visitor.watch()
    try:
        yield visitor
    finally:
        await profile.close()
    unexpected = visitor.unexpected()
    assert not unexpected, "\n".join(unexpected)


def at(answers: Answers, pointer: str) -> Any:
    """The answer a JSON pointer leads to, or None."""
    here: Any = answers
    for part in pointer.split("/")[1:]:
        if isinstance(here, Mapping):
            here = here.get(part)
        elif isinstance(here, list) and part.isdigit() and int(part) < len(here):
            here = here[int(part)]
        else:
            return None
    return here


def written(value: object) -> str:
    """An answer as a person writes it into a form."""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        year, month, day = text.split("-")
        return f"{day}.{month}.{year}"
    return text
