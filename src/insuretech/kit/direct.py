"""Statements for the requests that must be quick: compiled once, run by the driver itself.

SQLAlchemy spends several times as long on a short statement as PostgreSQL does. Here a Core statement is compiled when
the program starts, and on an autocommit connection (``Database.reading``) asyncpg runs it without anything in between.
Within a transaction SQLAlchemy runs it as usual, since only it knows whether the transaction has begun.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.asyncpg import dialect
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.ext.asyncio import AsyncConnection

Row = Mapping[str, Any]
_DIALECT: Dialect = dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped

_LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # told when the farewell of the server came between two statements
    asyncpg.ReadOnlySQLTransactionError,  # told by a primary that was, some moments before its connections are cut
)


class Direct:
    """A statement with named parameters, all of which are given with every run."""

    def __init__(self, statement: sa.Executable) -> None:
        self._statement = statement
        if not isinstance(statement, sa.ClauseElement):
            raise TypeError("only an expression can be compiled")
        compiled = statement.compile(dialect=_DIALECT)
        self.sql = str(compiled)
        if "POSTCOMPILE" in self.sql:
            raise TypeError("lists of varying length are told as arrays: x = any(:values)")
        self._names: Sequence[str] = getattr(compiled, "positiontup", None) or ()
        self._fixed = {name: value for name, value in (compiled.params or {}).items() if value is not None}

    async def all(self, connection: AsyncConnection, values: Mapping[str, Any]) -> Sequence[Row]:
        """Every row the statement gives.

        Raises ``sqlalchemy.exc.IntegrityError`` where a constraint forbids it, ``ConnectionError`` when the connection
        is lost or leads to a database that takes no writes, and ``sqlalchemy.exc.DBAPIError`` for all else.
        """
        driver = _autocommitting(connection)
        if driver is None:
            result = await connection.execute(self._statement, dict(values))
            return [dict(row) for row in result.mappings()]
        given = {**self._fixed, **values}
        try:
            rows: Sequence[Row] = await driver.fetch(self.sql, *(given[name] for name in self._names))
        except asyncpg.IntegrityConstraintViolationError as error:
            raise sa.exc.IntegrityError(self.sql, None, error) from error
        except _LOST as error:
            await connection.invalidate()
            raise ConnectionError(type(error).__name__) from error
        except asyncpg.PostgresError as error:
            raise sa.exc.DBAPIError(self.sql, None, error) from error
        except asyncio.CancelledError:
            # The answer may still be on its way: nobody else may read it from this connection.
            driver.terminate()
            await connection.invalidate()
            raise
        return rows

    async def first(self, connection: AsyncConnection, values: Mapping[str, Any]) -> Row | None:
        """The first row, if there is one."""
        rows = await self.all(connection, values)
        return rows[0] if rows else None


def _autocommitting(connection: AsyncConnection) -> Any:
    """The driver's own connection, or None where a transaction of SQLAlchemy's may be open on it."""
    adapted: Any = connection.sync_connection.connection.dbapi_connection if connection.sync_connection else None
    return adapted.driver_connection if adapted is not None and adapted.autocommit else None
