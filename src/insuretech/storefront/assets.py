"""Static files under names that hold the hash of their content, kept compressed in memory.

A page may therefore be cached for a year: another content is another address. Style sheets and scripts are joined into
one file each at start, in the order given here, so that a page costs three requests without a build step.
"""

import gzip
import re
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path

STATIC = Path(__file__).parent / "static"
STYLES = ("tokens", "base", "layout", "controls", "forms", "messages", "lists", "pages", "texts")
SCRIPTS = ("vendor/htmx-2.0.11.min.js", "vendor/htmx-ext-sse-2.2.4.min.js", "js/theme.js", "js/masks.js", "js/page.js")
MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}
IMMUTABLE = "public, max-age=31536000, immutable"
_LINK = re.compile(r'url\("\.\./([^"]+)"\)')


@dataclass(frozen=True)
class Asset:
    """One static file as it is sent; ``packed`` is its gzip form, where that is smaller."""

    media_type: str
    body: bytes
    packed: bytes | None


class AssetMissing(Exception):
    """A template or style sheet names a static file that does not exist."""


class Assets:
    """All static files: by their plain name for templates, by their hashed name for browsers."""

    def __init__(self, root: Path = STATIC) -> None:
        self._addresses: dict[str, str] = {}
        self._files: dict[str, Asset] = {}
        for path in sorted(root.rglob("*")):
            if path.suffix in {".svg", ".woff2"}:
                self._add(path.relative_to(root).as_posix(), path.read_bytes())
        styles = "\n".join((root / "css" / f"{name}.css").read_text(encoding="utf-8") for name in STYLES)
        self._add("site.css", _LINK.sub(lambda found: f'url("{self.address(found[1])}")', styles).encode())
        scripts = ((root / name).read_bytes() for name in SCRIPTS)
        self._add("site.js", b";\n".join(scripts))

    def address(self, name: str) -> str:
        """The address of a file for a page: ``css/site.css`` becomes ``/static/site.1a2b3c4d5e.css``."""
        try:
            return f"/static/{self._addresses[name]}"
        except KeyError:
            raise AssetMissing(name) from None

    def find(self, hashed_name: str) -> Asset | None:
        """The file that a browser asks for, or None."""
        return self._files.get(hashed_name)

    def _add(self, name: str, body: bytes) -> None:
        path = Path(name)
        hashed = f"{path.stem}.{sha256(body).hexdigest()[:10]}{path.suffix}"
        packed = gzip.compress(body, 9, mtime=0)
        self._addresses[name] = hashed
        self._files[hashed] = Asset(MEDIA_TYPES[path.suffix], body, packed if len(packed) < len(body) else None)


@cache
def shipped_assets() -> Assets:
    """The files that come with this version, read once."""
    return Assets()
