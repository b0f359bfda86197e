"""One pool of connections per service, under the service's own role, which sees its own schema only."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any, TypeAlias, cast

import asyncpg
import msgspec
from sqlalchemy import MetaData, event, text
from sqlalchemy.engine import URL, ExceptionContext, make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import QueuePool

from insuretech.kit.positions import noted_if_done

Connection = AsyncConnection
"""What a repository works on; named here so that reactions need not know the library."""

Session: TypeAlias = "asyncpg.Connection[Any]"
"""A session of the driver's own, for what belongs to a session."""

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


PATIENCE = 3.0
"""Seconds for which anybody waits for a connection; then a request is answered with 503, while whoever asked still
listens, and what runs in the background tries again."""


def service_metadata(service: str) -> MetaData:
    """Metadata of a service's tables, all in the schema of its name."""
    return MetaData(schema=service, naming_convention=NAMING)


def _leave_a_standby(context: ExceptionContext) -> None:
    """A primary that was takes no writes, and is as good as away: connections made until now are thrown away."""
    told = getattr(context.original_exception, "sqlstate", None)
    if told == asyncpg.ReadOnlySQLTransactionError.sqlstate:
        context.is_disconnect = True


class Database:
    """The database as one service may use it."""

    def __init__(self, service: str, url: str | URL, pool_size: int = 8) -> None:
        self.service = service
        self.url = make_url(url)
        self.engine: AsyncEngine = create_async_engine(
            self.url,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=PATIENCE,
            pool_use_lifo=True,  # the one used last has its statements prepared and its server process awake
            hide_parameters=True,  # they may be personal, and errors are logged
            json_serializer=lambda value: msgspec.json.encode(value).decode(),
            json_deserializer=msgspec.json.decode,
            connect_args={
                "server_settings": {
                    "application_name": service,
                    "jit": "off",
                    # A frozen process must not hold for ever what it had locked.
                    "idle_in_transaction_session_timeout": "20s",
                },
                "timeout": 5,
            },
        )

        event.listen(self.engine.sync_engine, "handle_error", _leave_a_standby)
        self._pool = cast("QueuePool", self.engine.pool)
        self._autocommit = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        self._waiting: dict[object, float] = {}
        self._kept: list[AsyncConnection] = []
        self._most_kept = pool_size // 4
        self.answered_at = float("-inf")
        """When the database last did what it was asked, by the clock of event loops."""

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """One request or message: commits on leaving, rolls back on any exception."""
        place = self._queue_up()
        try:
            await self._make_room()
            with noted_if_done():
                async with self.engine.begin() as connection:
                    del self._waiting[place]
                    yield connection
            self.answered_at = monotonic()
        finally:
            self._waiting.pop(place, None)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection for queries outside any transaction of ours.

        A few are kept between two uses: to take one from the pool and give it back costs five times as much as to run
        a short statement. One on which anything failed, or SQLAlchemy ran a statement, goes back to the pool; so does
        any while somebody waits for one there.
        """
        connection = self._kept.pop() if self._kept else await self._from_pool()
        in_order = False
        try:
            yield connection
            self.answered_at = monotonic()
            in_order = not (connection.invalidated or connection.in_transaction())
        finally:
            if in_order and not self._waiting and len(self._kept) < self._most_kept:
                self._kept.append(connection)
            else:
                await asyncio.shield(connection.close())

    async def _make_room(self) -> None:
        """Give back a kept connection nobody uses, rather than let a transaction wait for one that is lent out."""
        if self._kept and self._pool.checkedout() >= self._pool.size():
            await self._kept.pop().close()

    async def _from_pool(self) -> AsyncConnection:
        place = self._queue_up()
        try:
            return await self._autocommit.connect()
        finally:
            del self._waiting[place]

    def waited(self) -> float:
        """For how long the first in the queue for a connection has waited by now, in seconds; 0 without a queue."""
        return monotonic() - next(iter(self._waiting.values())) if self._waiting else 0.0

    def _queue_up(self) -> object:
        place = object()
        self._waiting[place] = monotonic()
        return place

    async def ping(self) -> None:
        """Raise when the database does not answer."""
        async with self.reading() as connection:
            await connection.execute(text("select 1"))

    async def dispose(self) -> None:
        self._most_kept = 0  # what is still in use goes back to the pool
        while self._kept:
            await self._kept.pop().close()
        await self.engine.dispose()


async def own_connection(database: Database) -> Session:
    """A session beside the pool, of the driver itself: for advisory locks and notifications, which belong to a session.

    The caller closes it.
    """
    url = database.url
    demanded: Any = url.query.get("ssl")  # one of the driver's words, which it checks itself
    return await asyncpg.connect(
        user=url.username,
        password=url.password,
        database=url.database,
        host=str(url.query.get("host") or url.host),
        port=url.port or 5432,
        ssl=demanded,  # as the pool's connections
        timeout=5,
        server_settings={"application_name": f"{database.service} session", "jit": "off"},
    )
