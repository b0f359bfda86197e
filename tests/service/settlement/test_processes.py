"""Closing by processes of their own: two at once, and one that is killed half-way."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import sqlalchemy as sa

from tests.service.settlement import closing_process
from tests.service.settlement.world import AFTER_OCTOBER, OCTOBER, World

ROOT = Path(__file__).parents[3]
LINES = 30_000

_MANY = f"""
insert into settlement.lines (id, event_id, order_id, kind, occurred_at, month, insurer, register_month, product,
    policy_number, premium, collected, commission, vat, rate, agreement)
select uuidv7(), uuidv7(), uuidv7(), 'policy_issued', '2026-10-05 12:00+03', '2026-10-01', 'bystra', '2026-10-01',
    'osago', 'BYS-' || i, 100, 0, 10, 0, 0.1, 'bystra-2026' from generate_series(1, {LINES}) i
"""  # noqa: S608 - a number of ours


async def closing(world: World, home: Path) -> asyncio.subprocess.Process:
    """A process that begins to close in this moment."""
    url = world.database.url.render_as_string(hide_password=False)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(closing_process.__file__), url, str(home)),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")])},
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"closing\n"
    return process


async def books(world: World) -> list[tuple[int, int, int]]:
    """Lines and totals of every register, and the events that told of it."""
    statement = sa.text(
        """
        select r.lines, (select sum(t.lines) from settlement.register_totals t where t.register_id = r.id),
            (select count(*) from settlement.outbox o where o.key = r.id::text)
        from settlement.registers r
        """
    )
    async with world.database.reading() as connection:
        return [(row[0], row[1], row[2]) for row in await connection.execute(statement)]


async def half_way(world: World) -> None:
    """Return when a closing has begun and waits for the table of totals."""
    waits = sa.text(
        "select exists (select from pg_locks where relation = 'settlement.register_totals'::regclass and not granted)"
    )
    async with asyncio.timeout(60), world.database.reading() as connection:
        while not await connection.scalar(waits):  # noqa: ASYNC110 - it happens in another process
            await asyncio.sleep(0.02)


async def test_two_processes_and_one_killed_half_way_make_one_register(world: World, tmp_path: Path) -> None:
    """The calendar runs on every replica and any of them may lose its power at any moment: what is half-closed must be
    gone, what is closed must be there once.
    """
    await world.execute(_MANY)
    holder = await world.database.engine.connect()  # holds the closing up until the process is dead
    await holder.execute(sa.text("set local idle_in_transaction_session_timeout = 0"))
    await holder.execute(sa.text("lock table settlement.register_totals in exclusive mode"))
    killed = await closing(world, tmp_path)
    await half_way(world)
    killed.send_signal(signal.SIGKILL)
    assert await killed.wait() == -signal.SIGKILL
    await holder.close()
    assert await books(world) == []
    both = [await closing(world, tmp_path) for _ in range(2)]
    outputs = [await process.communicate() for process in both]
    assert all(output.endswith(b"closed\n") for output, _ in outputs)
    assert await books(world) == [(LINES, LINES, 1)]
    world.clock.at = AFTER_OCTOBER
    (register,) = await world.settlement.bookkeeping.close("bystra", OCTOBER)
    assert register.commission == 10 * LINES
