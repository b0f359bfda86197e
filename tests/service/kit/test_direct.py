"""Statements run by the driver itself: the same rows, the same refusals, within a transaction and without."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.ext.asyncio import AsyncConnection

from insuretech.kit.db import Database
from insuretech.kit.direct import Direct
from insuretech.orders import tables as orders

_TABLE = sa.Table(
    "things",
    sa.MetaData(),
    sa.Column("id", pg.UUID(as_uuid=True), primary_key=True),
    sa.Column("amount", sa.Numeric(14, 2)),
    sa.Column("at", sa.DateTime(timezone=True)),
    sa.Column("data", sa.LargeBinary),
    sa.Column("name", sa.Text),
    prefixes=["temporary"],
)
_ADD = Direct(
    sa.insert(_TABLE)
    .values({column.name: sa.bindparam(column.name, type_=column.type) for column in _TABLE.c})
    .returning(_TABLE.c.id)
)
_FIND = Direct(
    sa.select(_TABLE)
    .where(_TABLE.c.id == sa.bindparam("id"), _TABLE.c.name == sa.any_(sa.literal(["a", "b"], pg.ARRAY(sa.Text))))
    .limit(1)
)
THING = {
    "id": UUID(int=7),
    "amount": Decimal("8697.22"),
    "at": datetime(2026, 11, 22, 9, 0, tzinfo=UTC),
    "data": b"\x00\xff",
    "name": "a",
}


@pytest.fixture(params=["autocommit", "transaction"])
async def connection(
    request: pytest.FixtureRequest, database: Callable[[str], Database]
) -> AsyncIterator[AsyncConnection]:
    """A connection of either kind with an empty table."""
    kept = database("orders")
    if request.param == "autocommit":
        async with kept.reading() as connection:
            await connection.execute(sa.schema.CreateTable(_TABLE))
            yield connection
            await connection.invalidate()
    else:
        async with kept.engine.connect() as connection:
            await connection.execute(sa.schema.CreateTable(_TABLE))
            yield connection
            await connection.rollback()


async def test_what_is_written_is_read(connection: AsyncConnection) -> None:
    """A value would change on its way past SQLAlchemy."""
    added = await _ADD.first(connection, THING)
    assert added is not None
    assert added["id"] == THING["id"]
    found = await _FIND.first(connection, {"id": THING["id"]})
    assert found is not None
    assert {**found} == THING
    assert await _FIND.first(connection, {"id": UUID(int=8)}) is None


def test_a_list_of_varying_length_is_refused() -> None:
    """The statement would be compiled with a placeholder no database understands."""
    with pytest.raises(TypeError):
        Direct(sa.select(_TABLE).where(_TABLE.c.name.in_(["a", "b"])))


async def test_null_is_null(connection: AsyncConnection) -> None:
    """What is not known would become something."""
    await _ADD.all(connection, {**THING, "amount": None})
    found = await _FIND.first(connection, {"id": THING["id"]})
    assert found is not None
    assert found["amount"] is None


async def test_a_constraint_that_forbids_it_is_told_in_one_way(connection: AsyncConnection) -> None:
    """A caller would have to know which of the two ways its statement was run."""
    await _ADD.all(connection, THING)
    with pytest.raises(sa.exc.IntegrityError):
        await _ADD.all(connection, THING)


async def test_a_cancelled_statement_leaves_no_answer_behind(database: Callable[[str], Database]) -> None:
    """The next request would read the answer to somebody else's question."""
    slow = Direct(sa.select(sa.func.pg_sleep(30).label("slept")))
    kept = database("orders")

    async def ask() -> None:
        async with kept.reading() as connection:
            await slow.all(connection, {})

    asked = [asyncio.create_task(ask()) for _ in range(4)]
    await asyncio.sleep(0.2)
    for one in asked:
        one.cancel()
    assert all(isinstance(end, asyncio.CancelledError) for end in await asyncio.gather(*asked, return_exceptions=True))
    async with asyncio.timeout(20), kept.reading() as connection:
        found = await Direct(sa.select(sa.literal_column("1").label("one"))).first(connection, {})
    assert found is not None
    assert found["one"] == 1


async def test_a_primary_that_was_is_left_for_the_one_that_is(database: Callable[[str], Database]) -> None:
    """Otherwise buyers read in the moments of a switch-over that something broke, as often as they try."""
    clear = sa.delete(orders.offers).where(sa.false()).returning(orders.offers.c.id)
    no_writes = sa.text("set session characteristics as transaction read only")
    kept = database("orders")

    async with kept.reading() as connection:
        await connection.execute(no_writes)
        with pytest.raises(ConnectionError):
            await Direct(clear).all(connection, {})
    async with kept.reading() as connection:
        await Direct(clear).all(connection, {})
        await connection.execute(no_writes)
    with pytest.raises(sa.exc.DBAPIError) as refused:
        async with kept.transaction() as connection:
            await connection.execute(clear)
    assert refused.value.connection_invalidated
    async with kept.transaction() as connection:
        await connection.execute(clear)


async def test_other_refusals_are_told_in_one_way_too(connection: AsyncConnection) -> None:
    """Otherwise a database without room for another statement is a bug of ours in the eyes of a caller."""
    with pytest.raises(sa.exc.DBAPIError) as refused:
        await Direct(sa.select((1 / sa.cast(sa.literal("0"), sa.Integer)).label("one"))).all(connection, {})
    assert getattr(refused.value.orig, "sqlstate", None) == "22012"


async def test_a_lost_connection_is_told_and_thrown_away(database: Callable[[str], Database]) -> None:
    """After a restart of the database every request would meet the same dead connection."""
    ping = Direct(sa.select(sa.literal_column("1").label("one")))
    kept = database("orders")
    async with kept.reading() as connection:
        pid = (await connection.execute(sa.text("select pg_backend_pid()"))).scalar_one()
        async with kept.reading() as other:
            await other.execute(sa.text("select pg_terminate_backend(:pid)").bindparams(pid=pid))
        with pytest.raises(ConnectionError):
            await ping.all(connection, {})
    async with kept.reading() as connection:
        assert await ping.first(connection, {}) is not None


async def test_a_connection_kept_for_the_next_reader_is_one_on_which_all_went_well(
    database: Callable[[str], Database],
) -> None:
    """Otherwise whoever comes next reads somebody else's answer, or two read at once from one connection."""
    kept = database("orders")
    number = Direct(sa.select(sa.func.pg_backend_pid().label("pid")))
    slow = Direct(sa.select(sa.func.pg_sleep(30).label("slept")))

    async def pid() -> int:
        async with kept.reading() as connection:
            row = await number.first(connection, {})
            assert row is not None
            return int(row["pid"])

    first = await pid()
    assert await pid() == first
    async with kept.reading() as one, kept.reading() as other:
        numbers = [await number.first(connection, {}) for connection in (one, other)]
    assert numbers[0] != numbers[1]
    with pytest.raises(TimeoutError):
        async with kept.reading() as connection, asyncio.timeout(0.05):
            await slow.first(connection, {})
    assert await asyncio.wait_for(pid(), 5)


async def test_kept_connections_are_there_for_transactions_when_all_others_are_lent_out(
    database: Callable[[str], Database],
) -> None:
    """Otherwise a purchase waits, and is refused, beside connections that nobody uses."""
    kept = database("orders")
    one = Direct(sa.select(sa.literal_column("1").label("one")))
    async with kept.reading() as connection, kept.reading() as other:
        await one.first(connection, {})
        await one.first(other, {})
    async with AsyncExitStack() as busy:
        for _ in range(kept._pool.size()):
            _ = await busy.enter_async_context(kept.transaction())
    async with kept.reading() as connection:
        assert await one.first(connection, {}) is not None
