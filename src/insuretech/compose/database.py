"""The database of this machine: the one that ``DATABASE_URL`` names, or the embedded one under the home folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import asyncpg
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from insuretech.kit.embedded_postgres import SUPERUSER, EmbeddedPostgres
from insuretech.kit.failures import Unusable
from insuretech.kit.migrations import migrate
from insuretech.kit.settings import Settings, SettingsInvalid

_NAME = "insuretech"


class DatabaseUnusable(Unusable):
    """The database does not answer, or holds what we cannot work with; the message is one sentence for a person."""


@dataclass(frozen=True)
class OpenDatabase:
    """Where the database is, as its administrator; ``postgres`` when this process runs it."""

    admin: URL
    postgres: EmbeddedPostgres | None = None

    def alive(self) -> bool:
        """False when a server of ours has ended; others are not watched."""
        return self.postgres is None or self.postgres.alive()


@contextmanager
def open_database(settings: Settings, *, join: bool = False) -> Iterator[OpenDatabase]:
    """The database, started for as long as the block lasts when it is the embedded one.

    ``join`` uses an embedded database that another process runs already, as commands beside ``serve`` do.
    """
    if settings.database_url:
        yield OpenDatabase(database_address(settings.database_url))
        return
    postgres = EmbeddedPostgres(settings.home / "postgres")
    admin = make_url(postgres.dsn(SUPERUSER, _NAME))
    if join and postgres.in_use():
        yield OpenDatabase(admin)
        return
    with postgres:
        yield OpenDatabase(admin, postgres)


async def prepare(database: OpenDatabase, services: tuple[str, ...], secret: str = "") -> None:
    """Make the database if it is the embedded one and new, then bring every schema up to date.

    ``secret`` is what the services' passwords are made from.
    """
    try:
        if database.postgres is not None:
            await create_database(database.admin)
        await migrate(database.admin, services, secret)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, SQLAlchemyError) as error:
        raise DatabaseUnusable(f"The database {_place(database.admin)} cannot be used: {reason_of(error)}.") from error


async def create_database(admin: URL, *, template: str = "") -> None:
    """Create the database that the address names unless it exists, as a copy of ``template`` if one is given."""
    connection = await asyncpg.connect(
        host=str(admin.query["host"]), user=admin.username, password=admin.password, database="postgres", timeout=5
    )
    try:
        known = await connection.fetchval("select 1 from pg_database where datname = $1", admin.database)
        if not known:
            copied = f' template "{template}" strategy file_copy' if template else ""
            await connection.execute(f'create database "{admin.database}"{copied}')
    finally:
        await connection.close()


def database_address(address: str) -> URL:
    """``DATABASE_URL`` as we connect; raises ``SettingsInvalid``."""
    try:
        url = make_url(address)
    except ArgumentError as error:
        raise SettingsInvalid("DATABASE_URL is not an address such as postgresql://user@host/database.") from error
    if url.get_backend_name() != "postgresql":
        raise SettingsInvalid(f"DATABASE_URL names a {url.get_backend_name()} database, PostgreSQL is needed.")
    return url.set(drivername="postgresql+asyncpg")


def _place(admin: URL) -> str:
    """The address without password."""
    return admin.set(drivername="postgresql").render_as_string(hide_password=True)


def reason_of(error: Exception) -> str:
    """The cause in one line, without SQL and stack."""
    cause = getattr(error, "orig", None) or error
    lines = str(cause).strip().splitlines()
    return lines[0].rpartition("Error'>: ")[2].rstrip(".") if lines else type(cause).__name__
