"""The limit for reads: a Litestar application that does nothing but return bytes it was given.

Run as ``python -m bench.bare <port> <folder>`` by the very server our own process has, with the same settings; every
file of the folder is served under its name.
"""

import asyncio
import sys
from pathlib import Path

import uvloop
from litestar import Litestar, Response, get
from litestar.handlers import HTTPRouteHandler

from insuretech.kit.http_server import serving


def _returning(path: str, body: bytes) -> HTTPRouteHandler:
    @get(path, media_type="application/json")
    async def bare() -> Response[bytes]:
        return Response(body, media_type="application/json")

    return bare


def application(folder: Path) -> Litestar:
    """One handler per file."""
    handlers = [_returning(f"/{file.name}", file.read_bytes()) for file in sorted(folder.iterdir())]
    return Litestar(handlers, openapi_config=None, logging_config=None)


async def serve(port: int, folder: Path) -> None:
    """Serve until killed."""
    async with serving(application(folder), port):
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), Path(sys.argv[2])))
