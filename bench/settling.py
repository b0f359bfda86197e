"""Closes a month in a process of its own: ``python -m bench.settling DATABASE HOME``; prints JSON with what it took."""

import asyncio
import resource
import sys
import time
from datetime import UTC, date, datetime
from pathlib import Path

import msgspec
from sqlalchemy.engine import make_url

from insuretech.connectors.directory import open_directory
from insuretech.kit.clock import FixedClock
from insuretech.kit.db import Database
from insuretech.kit.http import new_client
from insuretech.kit.keyring import Keyring
from insuretech.kit.live import LiveHub
from insuretech.kit.logging import configure_logging
from insuretech.kit.platform import Platform
from insuretech.kit.roles import service_url
from insuretech.kit.settings import Settings
from insuretech.settlement.app import build
from insuretech.settlement.domain import RegisterStatus


class Took(msgspec.Struct):
    """Seconds for the sums, for files with hashes and signature, and altogether; megabytes resident at most."""

    lines: int
    closing: float
    files: float
    seconds: float
    processor: float
    memory: float
    sizes: dict[str, int]


async def _settle(address: str, home: Path) -> Took:
    admin, settings = make_url(address), Settings(home=home)
    databases: dict[str, Database] = {}

    def database(name: str) -> Database:
        return databases.setdefault(name, Database(name, service_url(admin, name, settings.database_secret)))

    async with new_client() as http:
        clock = FixedClock(datetime(2026, 11, 2, tzinfo=UTC))
        platform = Platform(settings, clock, Keyring.generate(), http, LiveHub(), database)
        settlement = build(platform, insurers=open_directory(platform))
        began = time.monotonic()
        (register,) = await settlement.bookkeeping.close("bystra", date(2026, 10, 1))
        closed = time.monotonic()
        await settlement.dispatch.step()
        ended = time.monotonic()
        prepared = await settlement.books.register(register.id)
        if prepared is None or prepared.status is not RegisterStatus.PREPARED:
            raise RuntimeError(f"the register was not prepared: {await settlement.books.task(register.id)}")
        files = await settlement.books.files(register)
    for one in databases.values():
        await one.dispose()
    used = resource.getrusage(resource.RUSAGE_SELF)
    return Took(
        lines=register.lines,
        closing=closed - began,
        files=ended - closed,
        seconds=ended - began,
        processor=used.ru_utime + used.ru_stime,
        memory=used.ru_maxrss / 1024,
        sizes={one.file.kind: one.file.size for one in files},
    )


if __name__ == "__main__":
    configure_logging("ERROR")
    sys.stdout.write(msgspec.json.encode(asyncio.run(_settle(sys.argv[1], Path(sys.argv[2])))).decode())
