"""Static files under names that hold the hash of their content, kept compressed in memory.

A page may therefore be cached for a year: another content is another address. Style sheets and scripts are joined into
one file each at start, in the order given here, so that a page costs three requests without a build step.
"""

import gzip
import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from litestar import Request, Response, get
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from insuretech.kit.web import UNCOMPRESSED

STATIC = Path(__file__).parent / "static"
COMPONENTS = ("tokens", "base", "layout", "controls", "forms", "messages", "lists")
"""Style sheets that every service's pages begin with."""
MEDIA_TYPES = {
    ".css": "text/css",
    ".js": "text/javascript",
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
    """A service's static files: by their plain name for templates, by their hashed name for browsers.

    ``folder`` holds what the service adds to the shared files. ``prefix`` is where it serves all of them, so that its
    pages need no other service to look right.
    """

    def __init__(self, folder: Path, *, styles: Sequence[str], scripts: Sequence[str], prefix: str = "/static") -> None:
        self.prefix = prefix
        self._addresses: dict[str, str] = {}
        self._files: dict[str, Asset] = {}
        folders = (folder, STATIC)
        for root in folders:
            for path in sorted(root.rglob("*")):
                if path.suffix in {".svg", ".woff2"}:
                    self._add(path.relative_to(root).as_posix(), path.read_bytes())
        sheets = "\n".join(_find(folders, f"css/{name}.css").read_text(encoding="utf-8") for name in styles)
        self._add("site.css", _LINK.sub(lambda found: f'url("{self.address(found[1])}")', sheets).encode())
        self._add("site.js", b";\n".join(_find(folders, name).read_bytes() for name in scripts))

    def address(self, name: str) -> str:
        """The address of a file for a page: ``css/site.css`` becomes ``/static/site.1a2b3c4d5e.css``."""
        try:
            return f"{self.prefix}/{self._addresses[name]}"
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


def _find(folders: Sequence[Path], name: str) -> Path:
    found = next((folder / name for folder in folders if (folder / name).is_file()), None)
    if found is None:
        raise AssetMissing(name)
    return found


def static_files(assets: Assets) -> HTTPRouteHandler:
    """Serves them at ``<prefix>/<hashed name>``, to be kept for ever."""

    @get(f"{assets.prefix}/{{name:path}}", opt={UNCOMPRESSED: True}, include_in_schema=False)
    async def static(request: Request[Any, Any, Any], name: FromPath[str]) -> Response[bytes]:
        asset = assets.find(str(name).lstrip("/"))
        if asset is None:
            raise HTTPException(status_code=404)
        headers = {"Cache-Control": IMMUTABLE, "X-Content-Type-Options": "nosniff", "Vary": "Accept-Encoding"}
        if asset.packed is not None and "gzip" in request.headers.get("accept-encoding", ""):
            return Response(asset.packed, media_type=asset.media_type, headers={**headers, "Content-Encoding": "gzip"})
        return Response(asset.body, media_type=asset.media_type, headers=headers)

    return static
