"""Lets a file be read by a process of its own and gives its lines as they come."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from uuid import UUID

import msgspec

from insuretech.settlement.reconciliation.domain.columns import columns_of
from insuretech.settlement.reconciliation.domain.reading import Fault
from insuretech.settlement.reconciliation.reader import Report

TIME_LIMIT = 900.0  # seconds for one file, waiting for the database included
_PIECE = 256 * 1024
_MODULE = "insuretech.settlement.reconciliation.reader"


class Reading:
    """One file being read: take ``lines`` to their end, then ask for the ``report``."""

    def __init__(self, process: asyncio.subprocess.Process, party: str) -> None:
        self._process = process
        self._party = party
        self._said = asyncio.create_task(_all_of(process.stderr))

    async def lines(self) -> AsyncIterator[bytes]:
        """COPY text in pieces."""
        while self._process.stdout is not None and (piece := await self._process.stdout.read(_PIECE)):
            yield piece

    async def report(self) -> Report:
        """How it ended. A process that was stopped by its limits counts as a fault of the file."""
        said = await self._said
        code = await self._process.wait()
        if code == 0:
            return msgspec.json.decode(said, type=Report)
        fault = Fault(line=0, code="unreadable", detail="reading took more memory or time than a file is given")
        return Report(columns_version=columns_of(self._party).version, faults=[fault], fault_count=1)


@asynccontextmanager
async def reading(content: bytes, party: str, statement: UUID) -> AsyncIterator[Reading]:
    """Start reading; the process is gone at the end of the block."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        "-m",
        _MODULE,
        party,
        str(statement),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={},  # it needs nothing, and least of all our secrets
    )
    feeding = asyncio.create_task(_feed(process, content))
    opened = Reading(process, party)
    try:
        async with asyncio.timeout(TIME_LIMIT):
            yield opened
    finally:
        feeding.cancel()
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _feed(process: asyncio.subprocess.Process, content: bytes) -> None:
    """Hand the file over; a reader that has seen enough closes its end."""
    if process.stdin is None:
        return
    with suppress(BrokenPipeError, ConnectionResetError):
        for start in range(0, len(content), _PIECE):
            process.stdin.write(content[start : start + _PIECE])
            await process.stdin.drain()
    process.stdin.close()


async def _all_of(stream: asyncio.StreamReader | None) -> bytes:
    return await stream.read() if stream is not None else b""
