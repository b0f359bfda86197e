"""The limit for reads: a Litestar application that does nothing but return bytes it was given.

Run by Granian as ``bench.bare:app`` with the settings our own server has; ``BENCH_BODIES`` names a folder whose
files are served under their names.
"""

import os
from pathlib import Path

from litestar import Litestar, Response, get
from litestar.handlers import HTTPRouteHandler


def _returning(path: str, body: bytes) -> HTTPRouteHandler:
    @get(path, media_type="application/json")
    async def bare() -> Response[bytes]:
        return Response(body, media_type="application/json")

    return bare


def application(folder: Path) -> Litestar:
    """One handler per file."""
    handlers = [_returning(f"/{file.name}", file.read_bytes()) for file in sorted(folder.iterdir())]
    return Litestar(handlers, openapi_config=None, logging_config=None)


app = application(Path(os.environ["BENCH_BODIES"]))
