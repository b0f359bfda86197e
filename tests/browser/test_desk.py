"""The staff desk in a browser: from the link to the last discrepancy, on every screen, with and without JavaScript."""

import json
import re
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from insuretech.kit.clock import MOSCOW
from tests.browser.test_pages import WIDTHS, overflows, serious
from tests.browser.visitor import Visitor, visiting
from tests.system.answers import ANSWERS
from tests.system.buyer import PATIENCE, Buyer
from tests.system.running import COMMAND, RunningMarketplace
from tests.system.sandbox import Sandbox

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

HEADING = "Номер полиса;Дата заключения;Страховая премия"


@dataclass(frozen=True)
class SignedIn:
    """The profile of somebody at the desk, and the month in which everything happened."""

    storage: str
    month: str

    @property
    def party(self) -> str:
        return f"/staff/settlement/bystra/{self.month}"


def link(shop: RunningMarketplace, name: str) -> str:
    """The one-time link of a new account, as the command prints it."""
    told = subprocess.run(
        [str(COMMAND), "staff", "add", name, "--json"],
        env=shop.environment(),
        capture_output=True,
        check=True,
        timeout=PATIENCE,
    )
    return str(json.loads(told.stdout)["link"])


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def desk(
    chromium: Browser, shop: RunningMarketplace, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[SignedIn]:
    """Two policies sold by an insurer whose register has slips, and somebody who signed in and had it fetched."""
    async with httpx.AsyncClient(base_url=shop.base_url, timeout=PATIENCE, trust_env=False) as http:
        sandbox = Sandbox(http)
        await sandbox.calm()
        for _ in range(2):
            await Buyer(http).buy("travel", ANSWERS["travel"](), "bystra")
        await sandbox.behave("bystra", statement_amounts=1.0, statement_invents=1)
    storage = tmp_path_factory.mktemp("desk") / "state.json"
    async with visiting(chromium, shop.base_url) as visitor:
        visitor.expected.append("401")
        await visitor.open("/staff/settlement")
        await visitor.page.get_by_text("личную ссылку").wait_for()
        await visitor.page.goto(link(shop, "olga"))
        await visitor.page.get_by_role("button", name="Войти").click()
        await visitor.page.get_by_role("heading", name="Сверка").wait_for()
        await visitor.context.storage_state(path=storage)
        signed_in = SignedIn(str(storage), f"{datetime.now(UTC).astimezone(MOSCOW):%Y-%m}")
        await fetched(visitor, signed_in.party)
    yield signed_in


async def fetched(visitor: Visitor, path: str) -> None:
    """Have the other side's file fetched, and wait until it was compared."""
    await visitor.open(path)
    await visitor.page.get_by_role("button", name="Запросить у них").click()
    await visitor.page.get_by_text(re.compile("Сверено: версия")).wait_for()


async def test_a_month_from_the_file_to_the_last_discrepancy(
    chromium: Browser, shop: RunningMarketplace, desk: SignedIn
) -> None:
    """Otherwise nobody can do by the page what the service can."""
    async with visiting(chromium, shop.base_url, storage_state=desk.storage) as visitor:
        page = visitor.page
        await visitor.open("/staff/settlement")
        await page.get_by_role("link", name="Быстра").wait_for()
        await fetched(visitor, desk.party)
        await page.get_by_role("link", name="Показать результат").click()
        await page.get_by_role("link", name="Суммы различаются").click()
        await page.get_by_role("status").wait_for()
        await page.keyboard.press("j")
        number = await page.evaluate("document.activeElement.textContent")
        await page.keyboard.press("Enter")
        await page.get_by_role("heading", name=number).wait_for()
        assert await page.get_by_text("0,01 ₽").count() == 1
        await page.get_by_role("button", name="Решить").click()
        await page.get_by_text("Не сохранено").wait_for()
        await page.get_by_label("Как решено").select_option("theirs_corrected")
        await page.get_by_label("Комментарий").fill("Исправят в следующем месяце")
        await page.get_by_role("button", name="Решить").click()
        await page.get_by_role("button", name="Отменить мой последний шаг").click()
        await page.get_by_text("Последний шаг отменён").wait_for()
        await page.keyboard.press("k")
        visitor.expected.append("422")


async def test_money_agrees_with_the_payment_provider(
    chromium: Browser, shop: RunningMarketplace, desk: SignedIn
) -> None:
    """Every kopeck that was taken must be in the provider's own register, under the provider's own id."""
    async with visiting(chromium, shop.base_url, storage_state=desk.storage) as visitor:
        path = f"/staff/settlement/yookassa.payments/{desk.month}"
        await fetched(visitor, path)
        await visitor.open(path)
        await visitor.page.get_by_text("Всё сошлось").wait_for()


async def test_without_scripts(chromium: Browser, shop: RunningMarketplace, desk: SignedIn, tmp_path: Path) -> None:
    """Otherwise a script that does not load stops the month's work."""
    file = tmp_path / "register.csv"
    file.write_text(f"{HEADING}\nБЫС-1;31.12.2026;много\nБЫС-2;вчера;1,00\n", encoding="cp1251")
    async with visiting(chromium, shop.base_url, storage_state=desk.storage, scripts=False) as visitor:
        page = visitor.page
        await visitor.open(desk.party)
        await page.get_by_label(re.compile("CSV или Excel")).set_input_files(file)
        await page.get_by_role("button", name="Загрузить и сверить").click()
        await page.get_by_text("2 ошибки: файл не учтён").wait_for()
        assert await page.get_by_text("Это не сумма").count() == 1
        await visitor.open(f"/staff/settlement/discrepancies?month={desk.month}")
        await page.locator("[data-row] a").first.click()
        await page.get_by_role("button", name="Взять").click()
        await page.get_by_text("Взято в работу").wait_for()


async def test_an_upload_with_scripts_ends_at_its_errors(
    chromium: Browser, shop: RunningMarketplace, desk: SignedIn, tmp_path: Path
) -> None:
    """The progress must lead where the form leads."""
    file = tmp_path / "register.csv"
    file.write_text(f"{HEADING}\nБЫС-3;никогда;1,00\n", encoding="utf-8")
    async with visiting(chromium, shop.base_url, storage_state=desk.storage) as visitor:
        await visitor.open(desk.party)
        await visitor.page.get_by_label(re.compile("CSV или Excel")).set_input_files(file)
        await visitor.page.get_by_role("button", name="Загрузить и сверить").click()
        await visitor.page.get_by_text("1 ошибка: файл не учтён").wait_for()
        await visitor.page.get_by_text("Это не дата").wait_for()


@pytest.mark.looks
@pytest.mark.parametrize(("scheme", "language"), [("light", "ru"), ("dark", "en")])
async def test_every_page_of_the_desk_fits_and_everybody_can_use_it(
    chromium: Browser, shop: RunningMarketplace, desk: SignedIn, scheme: str, language: str, pictures: Path
) -> None:
    """Otherwise a phone scrolls sideways, or a screen reader, a weak eye or a keyboard is left out."""
    found = []
    async with visiting(
        chromium, shop.base_url, color_scheme=scheme, language=language, storage_state=desk.storage
    ) as visitor:
        visitor.expected += ["401", "404", "410"]
        paths = await paths_of(visitor, desk)
        for name, path in paths.items():
            await visitor.open(path)
            await visitor.page.evaluate("document.fonts.ready")
            found += [f"{path}: {fault}" for fault in await faults(visitor.page, pictures / f"desk-{name}-{scheme}")]
    assert not found, "\n".join(found)


async def paths_of(visitor: Visitor, desk: SignedIn) -> dict[str, str]:
    """Every kind of page that the desk has."""
    await visitor.open("/staff/settlement/discrepancies")
    case = await visitor.page.locator("[data-row] a").first.get_attribute("href") or ""
    await visitor.open(desk.party)
    file = await visitor.page.locator('a[href^="/staff/settlement/statements/"]').first.get_attribute("href") or ""
    return {
        "months": "/staff/settlement",
        "empty": "/staff/settlement?month=2024-01",
        "comparison": desk.party,
        "nothing": f"/staff/settlement/molchun/{desk.month}",
        "statement": file,
        "discrepancies": "/staff/settlement/discrepancies",
        "none": "/staff/settlement/discrepancies?number=zzz",
        "case": case,
        "deeds": "/staff/deeds",
        "spent": "/staff/sign-in?token=spent",
        "signed-out": "/staff/sign-in",
        "missing": "/staff/settlement/statements/nothing",
    }


async def faults(page: Page, picture: Path) -> list[str]:
    """What does not fit and what some cannot use, at every width."""
    found = []
    for width in WIDTHS:
        await page.set_viewport_size({"width": width, "height": 800})
        found += [f"at {width}: {fault}" for fault in await overflows(page)]
        if width != 768:
            found += [f"at {width}: {fault}" for fault in await serious(page)]
            await page.screenshot(path=picture.with_name(f"{picture.name}-{width}.png"), full_page=True)
    return found
