"""A million lines of ours against a million of theirs: from the file to discrepancies, in seconds and megabytes."""

import os
import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

import sqlalchemy as sa
from sqlalchemy.engine import make_url

from bench.report import Figure
from insuretech.compose.database import create_database
from insuretech.connectors.object_storage import FolderStorage
from insuretech.kit.clock import SystemClock
from insuretech.kit.db import Database
from insuretech.kit.embedded_postgres import EmbeddedPostgres
from insuretech.kit.files import FileVault
from insuretech.kit.keyring import Keyring
from insuretech.kit.migrations import migrate
from insuretech.kit.roles import service_url
from insuretech.settlement.reconciliation import queries
from insuretech.settlement.reconciliation.commands import Reconciliation
from insuretech.settlement.reconciliation.repository import PostgresReconciliation
from tests.service.settlement.office import SourceOnPaper

MONTH = date(2026, 10, 1)
SECONDS = 60.0
MEGABYTES = 500.0
_OURS = sa.text(
    """
    insert into settlement.lines (id, event_id, order_id, kind, occurred_at, month, insurer, register_month,
        policy_number, premium, collected, commission, vat)
    select gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'policy_issued',
        '2026-10-01 12:00+03'::timestamptz + (n % 30) * interval '1 day', '2026-10-01', 'bystra', '2026-10-01',
        'BYS-' || lpad(n::text, 10, '0'), 1000 + n % 9000 + 0.5, 0, 0, 0
    from generate_series(1, :lines) n
    """
)


async def measure(lines: int) -> list[Figure]:
    """One file of as many lines as we have; one line in a thousand differs."""
    with TemporaryDirectory() as folder:
        async with _database(Path(folder)) as database:
            async with database.transaction() as connection:
                # A trigger a line would take longer than all that is measured.
                await connection.execute(sa.text("alter table settlement.lines disable trigger user"))
                await connection.execute(_OURS, {"lines": lines})
                await connection.execute(sa.text("alter table settlement.lines enable trigger user"))
                await connection.execute(sa.text("analyze settlement.lines"))
            content = "".join(_file(lines)).encode()
            keyring = Keyring.generate()
            vault = FileVault(FolderStorage(Path(folder) / "files"), keyring, folder="statements", purpose="bench")
            reconciliation = Reconciliation(
                PostgresReconciliation(database), vault, SourceOnPaper(), SystemClock(), ("bystra",)
            )
            began = monotonic()
            received = await reconciliation.receive("bystra", MONTH, "o.csv", content, by="bench", source="command")
            await reconciliation.read_next()
            seconds = monotonic() - began
            async with database.reading() as connection:
                read = await queries.statement(connection, received.statement.id)
                kinds = await queries.kind_totals(connection, "bystra", MONTH)
            assert read is not None
            assert read.lines == lines
            assert {kind.kind.value: kind.count for kind in kinds} == {
                "amount_differs": lines // 1000,
                "only_ours": 1,
                "only_theirs": 1,
            }
    scale = lines / 1_000_000
    memory = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024
    size = f"{lines:,} lines against {lines:,}, a CSV of {len(content) / 1024**2:.0f} MB, {os.cpu_count()} processors"
    return [
        Figure("reconciling a million lines", seconds / scale, "s", "at most", SECONDS, seconds, None, "s", size),
        Figure("memory for it, the largest process", memory, "MB", "at most", MEGABYTES, memory, None, "MB", size),
    ]


def _file(lines: int) -> Iterator[str]:
    """The insurer's table: the last policy is another, and every thousandth amount a kopeck more."""
    yield "Номер полиса;Дата заключения;Страховая премия\r\n"
    for number in range(1, lines + 1):
        name = f"BYS-{number:010d}" if number < lines else "BYS-OTHER"
        kopecks = "51" if number % 1000 == 500 else "50"
        yield f"{name};{number % 30 + 1:02d}.10.2026;{1000 + number % 9000},{kopecks}\r\n"


@asynccontextmanager
async def _database(folder: Path) -> AsyncIterator[Database]:
    """A PostgreSQL of its own, with every commit on the disk."""
    with EmbeddedPostgres(folder / "postgres") as server:
        admin = make_url(server.dsn(database="bench"))
        await create_database(admin)
        await migrate(admin, ("settlement",))
        database = Database("settlement", service_url(admin, "settlement"), 4)
        yield database
        await database.dispose()
