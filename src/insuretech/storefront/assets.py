"""The site's static files: the shared ones and what only the site has, joined into one style sheet and one script.

A page may be cached for a year: another content is another address. No build step, three requests a page.
"""

from functools import cache
from pathlib import Path

from insuretech.pages.assets import COMPONENTS, Assets

STATIC = Path(__file__).parent / "static"
STYLES = (*COMPONENTS, "pages", "texts")
SCRIPTS = (
    "vendor/htmx-2.0.11.min.js",
    "vendor/htmx-ext-sse-2.2.4.min.js",
    "js/theme.js",
    "js/forms.js",
    "js/masks.js",
    "js/page.js",
)


@cache
def shipped_assets() -> Assets:
    """The files that come with this version, read once."""
    return Assets(STATIC, styles=STYLES, scripts=SCRIPTS)
