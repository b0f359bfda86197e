"""Static files, tokens and templates: light, cacheable, ours alone, readable in both themes."""

import gzip
import re
from hashlib import sha256

import pytest

from insuretech.pages import drawing
from insuretech.pages.assets import IMMUTABLE, Assets
from insuretech.pages.assets import STATIC as SHARED
from insuretech.storefront.assets import SCRIPTS, STATIC, STYLES, shipped_assets
from insuretech.storefront.views import TEMPLATES
from tests.unit.storefront.conftest import Browser
from tests.unit.storefront.fake_marketplace import FakeMarketplace
from tests.unit.storefront.test_walk import ask_for_offers

BUDGET = 150 * 1024
FOLDERS = (SHARED, STATIC)
TEMPLATE_FILES = sorted([*TEMPLATES.glob("*.html"), *drawing.TEMPLATES.glob("*.html")])
_TOKENS = (SHARED / "css" / "tokens.css").read_text(encoding="utf-8")
_COLOUR = re.compile(r"--([a-z-]+): (#[0-9a-f]{6});")


def colours(block: str) -> dict[str, str]:
    """The colours a block of tokens.css sets."""
    start = _TOKENS.index(block)
    return dict(_COLOUR.findall(_TOKENS[start : _TOKENS.index("}", start)]))


LIGHT = colours(":root {")
DARK = colours(':root[data-theme="dark"] {')


async def test_a_first_visit_weighs_little(browser: Browser, fake: FakeMarketplace) -> None:
    """Without it the site would load slowly on a phone in the country."""
    quote_id = await ask_for_offers(browser)
    for code in ("aster", "boreas", "cedar", "dune", "ember"):
        fake.answer(quote_id, code, "offered", "8000")
    fonts = sum(len(path.read_bytes()) for path in (SHARED / "fonts").glob("*.woff2"))
    assets = shipped_assets()
    shared = sum(
        len(asset.packed or asset.body) for asset in map(_found(assets), ("site.css", "site.js", "img/mark.svg"))
    )
    for page in ("/", "/products/osago", "/products/osago/start?step=5", f"/quotes/{quote_id}", "/design"):
        html = gzip.compress((await browser.open(page)).encode(), 5)
        assert len(html) + shared + fonts < BUDGET, page


def _found(assets: Assets):  # type: ignore[no-untyped-def]
    return lambda name: assets.find(assets.address(name).removeprefix("/static/"))


async def test_static_files_may_be_kept_for_ever(browser: Browser) -> None:
    """Without it every page would ask for the same files again; with a wrong name, show old ones."""
    html = await browser.open("/")
    for address in re.findall(r'(?:href|src)="(/static/[^"]+)"', html):
        answer = await browser.http.get(address, headers={"Accept-Encoding": "gzip"})
        assert answer.status_code == 200, address
        assert answer.headers["cache-control"] == IMMUTABLE
        assert sha256(answer.content).hexdigest()[:10] in address
    assert (await browser.http.get("/static/site.0000000000.css")).status_code == 404


async def test_a_browser_without_gzip_gets_the_plain_file(browser: Browser) -> None:
    """Without it such a browser would show a page without styles."""
    html = await browser.open("/")
    found = re.search(r'href="(/static/site[^"]+css)"', html)
    assert found
    answer = await browser.http.get(found[1], headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in answer.headers
    assert answer.text.startswith("/* Design tokens")


def test_nothing_is_fetched_from_elsewhere() -> None:
    """Without it a stranger's server would learn who visits, and could change the pages."""
    files = [path for folder in FOLDERS for kind in ("css", "js") for path in (folder / kind).iterdir()]
    sources = [*TEMPLATE_FILES, *files]
    for path in sources:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r'(?:src|href|action|url\()\s*=?\s*["\']?(?:https?:)?//', text), path.name


def test_templates_hold_nothing_inline() -> None:
    """Without it the content policy would silently break a page."""
    for path in TEMPLATE_FILES:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"\sstyle=|<style|\son[a-z]+=|javascript:|<script(?![^>]*\ssrc=)", text), path.name


def test_vendored_files_are_as_published() -> None:
    """Without it nobody could tell whether a library here was changed."""
    for folder in ("vendor", "fonts"):
        noted = (SHARED / folder / "README.md").read_text(encoding="utf-8")
        for path in (SHARED / folder).iterdir():
            if path.suffix in {".js", ".woff2"}:
                row = next(line for line in noted.splitlines() if line.startswith(f"| {path.name} "))
                assert sha256(path.read_bytes()).hexdigest() in row, path.name


def test_every_style_and_script_is_used() -> None:
    """Without it a new file would be edited and never be seen on a page."""
    assert {path.stem for root in FOLDERS for path in (root / "css").glob("*.css")} == set(STYLES)
    scripts = {
        path.relative_to(root).as_posix()
        for root in FOLDERS
        for folder in ("vendor", "js")
        for path in (root / folder).glob("*.js")
    }
    assert scripts == set(SCRIPTS)


def test_dark_is_dark_whether_followed_or_chosen() -> None:
    """Without it the switch would lead to other colours than the system's setting."""
    assert colours(':root:not([data-theme="light"]) {') == DARK
    assert DARK.keys() == set(LIGHT)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("text", "ground"),
    [
        *((text, ground) for text in ("ink", "ink-soft", "ink-faint") for ground in ("paper", "surface")),
        ("ink", "sunken"),
        ("ink-soft", "sunken"),
        ("accent", "paper"),
        ("accent", "surface"),
        ("accent", "accent-soft"),
        ("on-accent", "accent"),
        ("on-accent", "accent-strong"),
        ("ink", "accent-soft"),
        ("ink", "warn-soft"),
        ("warn", "warn-soft"),
        ("ink", "bad-soft"),
        ("bad", "bad-soft"),
        ("bad", "paper"),
        ("surface", "bad"),
        ("on-night", "night"),
        ("on-night-soft", "night"),
    ],
)
def test_text_stands_out_from_its_ground(theme: dict[str, str], text: str, ground: str) -> None:
    """Without it people with weak eyes, or in the sun, could not read (WCAG 2.2, 1.4.3: 4.5 to 1)."""
    assert contrast(theme[text], theme[ground]) >= 4.5


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_borders_of_fields_are_seen(theme: dict[str, str]) -> None:
    """Without it one could not see where to type (WCAG 2.2, 1.4.11: 3 to 1)."""
    assert contrast(theme["line-strong"], theme["surface"]) >= 3
    assert contrast(theme["line-strong"], theme["paper"]) >= 3


def contrast(one: str, other: str) -> float:
    """The contrast ratio of WCAG 2.2 between two colours."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    """Relative luminance of WCAG 2.2."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return float(0.2126 * red + 0.7152 * green + 0.0722 * blue)
