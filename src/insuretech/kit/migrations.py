"""Schemas, roles and migrations.

Each service has a schema and a role of the same name that sees no other schema, and one chain of Alembic revisions
under ``<service>/migrations/versions``; a file is named by its revision, as in ``0001_initial.py``, and the last is the
head. Migrations run beside the code of the version before: they add, they do not take away in the same release.

Alembic is imported only when there is something to do: every start would pay half a second and ten megabytes.
"""

from collections.abc import Sequence
from importlib.resources import files

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection
from sqlalchemy.ext.asyncio import create_async_engine

from insuretech.kit.db import Database
from insuretech.kit.failures import Unusable
from insuretech.kit.partitioning import create_messaging_tables
from insuretech.kit.roles import role_password, scram_verifier

_LOCK = 7_204_000_001
_MAY_CONNECT = sa.text("select has_database_privilege(:name, current_database(), 'CONNECT')")
_MAY_ACT_AS = sa.text(
    "select pg_has_role(:name, case when current_setting('server_version_num')::int < 160000 "
    "then 'member' else 'set' end)"
)


class SchemaUnknown(Unusable):
    """A schema is in a state that no migration of ours leads to or from."""


async def migrate(admin: URL, services: Sequence[str], secret: str = "") -> None:
    """Bring every service's schema up to its head; one process at a time, others wait and find it done.

    The administrator need not be a superuser: it has CREATEROLE, CREATE on the database, and owns no tables. Roles get
    their passwords (``kit.roles``) every time, so that a new secret takes effect.
    """
    engine = create_async_engine(admin, connect_args={"timeout": 5})
    try:
        async with engine.begin() as connection:
            await connection.execute(sa.text("select pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            for service in services:
                await connection.run_sync(_prepare, service, _password(admin, service, secret))
                if await connection.run_sync(_revision, service) != _head(service):
                    await connection.run_sync(_upgrade, service)
    finally:
        await engine.dispose()


async def schema_problem(database: Database) -> str | None:
    """What keeps a service from working on its schema, in words; None when it is there and new enough for this code.

    A schema newer than the code is fine: migrations only add, and the code of the version before runs on beside them.
    """
    async with database.reading() as connection:
        revision = await connection.run_sync(_revision, database.service)
    if revision is None:
        return "no schema yet"
    return None if revision >= _head(database.service) else f"schema at {revision}"


def _password(admin: URL, service: str, secret: str) -> str:
    """What stands after ``password`` for a service's role: a verifier (RFC 5803), so that no log holds the secret."""
    if secret:
        return scram_verifier(role_password(secret, service))
    return str(admin.password or "")


def _prepare(connection: Connection, service: str, password: str) -> None:
    quoted = connection.dialect.identifier_preparer.quote(service)
    known = connection.execute(sa.text("select 1 from pg_roles where rolname = :name"), {"name": service}).first()
    if known is None:
        connection.exec_driver_sql(f"create role {quoted} login")
    if not connection.execute(_MAY_ACT_AS, {"name": service}).scalar():
        # Since 16, who has made a role may not yet act as it.
        connection.exec_driver_sql(f"grant {quoted} to current_user")
    if password:
        secret = password.replace("'", "''")
        connection.exec_driver_sql(f"alter role {quoted} password '{secret}'")
    if not connection.execute(_MAY_CONNECT, {"name": service}).scalar():
        # Where the database is closed to everybody it has to be opened to each.
        database = connection.dialect.identifier_preparer.quote(connection.engine.url.database or "")
        connection.exec_driver_sql(f"grant connect on database {database} to {quoted}")
    connection.exec_driver_sql(f"create schema if not exists {quoted} authorization {quoted}")


def _head(service: str) -> str:
    """The newest revision of a service."""
    versions = files("insuretech") / service / "migrations" / "versions"
    return max(file.name.partition("_")[0] for file in versions.iterdir() if file.name.endswith(".py"))


def _revision(connection: Connection, service: str) -> str | None:
    """The revision that a service's schema is at; None before the first."""
    table = f"{connection.dialect.identifier_preparer.quote(service)}.schema_version"
    if connection.execute(sa.text("select to_regclass(:table)"), {"table": table}).scalar() is None:
        return None
    return connection.exec_driver_sql(f"select version_num from {table}").scalar()  # noqa: S608 - quoted above


def _upgrade(connection: Connection, service: str) -> None:
    from alembic import command  # noqa: PLC0415 - see above
    from alembic.config import Config  # noqa: PLC0415 - see above
    from alembic.util import CommandError  # noqa: PLC0415 - see above

    package = files("insuretech")
    config = Config()
    config.set_main_option("script_location", str(package / "kit" / "alembic"))
    config.set_main_option("version_locations", str(package / service / "migrations" / "versions"))
    config.set_main_option("path_separator", "newline")
    config.attributes["connection"] = connection
    config.attributes["schema"] = service
    quoted = connection.dialect.identifier_preparer.quote(service)
    connection.exec_driver_sql(f"set local role {quoted}")
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise SchemaUnknown(
            f"The data of {service} were written by another version of this program ({str(error).rstrip('.')})."
        ) from error
    connection.exec_driver_sql("reset role")


def create_messaging(schema: str) -> None:
    """For a service's first migration: its messaging tables, those that grow in partitions, and the relay's wake-up."""
    from alembic import op  # noqa: PLC0415 - see above

    create_messaging_tables(op.get_bind(), schema)
