"""Closing the month of an insurer: sums, CSV, workbook, PDF, hashes, signature, and all of it in storage.

Lines are made by PostgreSQL itself, four fifths of them policies and payments in pairs, on a durable server with the
settings of ``make run``; closing is a process of its own, whose memory is measured. Limit: the seconds PostgreSQL takes
to copy the same lines out as they are, once for each of the two lists.
"""

import asyncio
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg
import msgspec
from sqlalchemy.engine import make_url

from bench.report import Figure
from bench.settling import Took
from insuretech.compose.database import create_database
from insuretech.kit.embedded_postgres import EmbeddedPostgres
from insuretech.kit.migrations import migrate

_LINES = """
insert into settlement.lines (id, event_id, order_id, kind, occurred_at, month, insurer, register_month, product,
    policy_id, policy_number, starts_on, ends_on, payment_id, premium, collected, commission, vat, rate, agreement)
select uuidv7(), uuidv7(), ('00000000-0000-7000-8000-' || lpad(to_hex(i / 2), 12, '0'))::uuid,
    case i % 2 when 0 then 'policy_issued' else 'payment_captured' end,
    timestamptz '2026-10-01 00:00+03' + i * interval '31 days' / {lines}, '2026-10-01', 'bystra', '2026-10-01',
    (array['osago', 'mortgage', 'travel'])[1 + i / 2 % 3], uuidv7(), 'BYS-' || lpad((i / 2)::text, 8, '0'),
    '2026-10-09', '2027-10-08', uuidv7(),
    case i % 2 when 0 then 1000 + i / 2 % 999999 / 100.0 else 0 end,
    case i % 2 when 0 then 0 else 1000 + i / 2 % 999999 / 100.0 end,
    case i % 2 when 0 then round((1000 + i / 2 % 999999 / 100.0) * 0.1, 2) else 0 end, 0, 0.1, 'bystra-2026'
from generate_series({first}, {last}) i
"""
_STEP = 50_000


async def measure(lines: int) -> list[Figure]:
    """Seconds and memory of closing one register with so many lines."""
    with TemporaryDirectory(prefix="insuretech-bench-") as folder:
        Path(folder).chmod(0o755)  # noqa: ASYNC240 - PostgreSQL may have to run as another user
        with EmbeddedPostgres(Path(folder) / "postgres") as server:
            admin = make_url(server.dsn(database="bench"))
            await create_database(admin)
            await migrate(admin, ("settlement",))
            connection = await asyncpg.connect(host=str(server.socket_folder), user=admin.username, database="bench")
            try:
                for first in range(0, lines, _STEP):
                    last = min(first + _STEP, lines) - 1
                    await connection.execute(_LINES.format(lines=lines, first=first, last=last))
                await connection.execute("vacuum analyze settlement.lines")
                limit = await _bare_copies(connection)
                took = await _closing(admin.render_as_string(hide_password=False), Path(folder) / "home")
            finally:
                await connection.close()
    return _figures(took, limit)


async def _bare_copies(connection: "asyncpg.Connection[asyncpg.Record]") -> float:
    """Seconds for copying the lines out twice, thrown away as they come."""

    async def away(_: bytes) -> None:
        return

    began = time.monotonic()
    for _ in range(2):
        await connection.copy_from_query("select * from settlement.lines order by occurred_at, id", output=away)
    return time.monotonic() - began


async def _closing(address: str, home: Path) -> Took:
    command = (sys.executable, "-m", "bench.settling", address, str(home))
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"closing ended with {process.returncode}")
    return msgspec.json.decode(output, type=Took)


def _figures(took: Took, limit: float) -> list[Figure]:
    sizes = ", ".join(f"{kind} {size / 1e6:.1f} MB" for kind, size in took.sizes.items())
    return [
        Figure(
            name="closing a register",
            value=took.seconds,
            value_unit="s",
            direction="at most",
            aim=60.0,
            ours=took.seconds,
            limit=limit,
            unit="s",
            notes=f"{took.lines:,} lines: sums {took.closing:.1f} s, files {took.files:.1f} s, of which "
            f"{took.processor:.1f} s of our processor; {sizes}; limit: two bare copies out of PostgreSQL",
        ),
        Figure(
            name="memory while closing",
            value=took.memory,
            value_unit="MB",
            direction="at most",
            aim=500.0,
            ours=took.memory,
            limit=None,
            unit="MB",
            notes=f"resident at most, of the process that closes {took.lines:,} lines",
        ),
    ]
