"""What all services together offer to callers, for the process of the site, which runs none of the others.

The site explains the whole API and every kind of problem. Both follow from the code of all services, which a process
of its own loads once at the site's start and then ends: the site keeps its memory and its metrics to itself.
"""

import asyncio
import os
import sys
from collections.abc import Sequence

import msgspec
from litestar import Response, get
from litestar.types import ControllerRouterHandler
from sqlalchemy.engine import URL

from insuretech.kit.failures import Unusable
from insuretech.kit.problems import ProblemKind, Unavailable, problem_kinds

_LIMIT = 60.0  # seconds


class DescriptionFailed(Unusable):
    """The process that describes the services did not end well; the message is the last line it said."""


class Described(msgspec.Struct, frozen=True):
    """The OpenAPI document as bytes of JSON, and every kind of problem by its slug."""

    openapi: msgspec.Raw
    problems: dict[str, ProblemKind]


class Description:
    """The description of the marketplace as a whole; empty until it was read."""

    def __init__(self) -> None:
        self._read: Described | None = None

    async def keep(self) -> None:
        """Read it, and hold it as long as the process runs; the site serves before and without it.

        Raises ``DescriptionFailed``.
        """
        self._read = await _described_elsewhere()
        await asyncio.Event().wait()

    def problems(self) -> dict[str, ProblemKind]:
        """Every kind of problem; those of this process while the rest is not known."""
        return problem_kinds() if self._read is None else self._read.problems

    def routes(self) -> Sequence[ControllerRouterHandler]:
        """Where programs read the description, as in one process."""

        @get("/schema/openapi.json", include_in_schema=False)
        async def openapi() -> Response[bytes]:
            if self._read is None:
                raise Unavailable(headers={"Retry-After": "1"})
            return Response(bytes(self._read.openapi), media_type="application/vnd.oai.openapi+json")

        return [openapi]


async def _described_elsewhere() -> Described:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "insuretech.compose.description"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_LIMIT):
            out, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        lines = said.decode("utf-8", "replace").strip().splitlines()
        raise DescriptionFailed(lines[-1] if lines else f"exit code {process.returncode}")
    return msgspec.json.decode(out, type=Described)


def describe() -> bytes:
    """Wire everything, open nothing, and write down what it offers."""
    from insuretech.compose.single import build
    from insuretech.kit.keyring import Keyring
    from insuretech.kit.settings import load_settings

    nowhere = URL.create("postgresql+asyncpg", query={"host": os.devnull})
    app = build(load_settings(), nowhere, Keyring.generate()).app
    openapi = msgspec.Raw(msgspec.json.encode(app.openapi_schema.to_schema(), enc_hook=str))
    return msgspec.json.encode(Described(openapi, problem_kinds()))


if __name__ == "__main__":
    sys.stdout.buffer.write(describe())
