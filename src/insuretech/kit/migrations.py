"""Schemas, roles and migrations.

Each service has a schema and a role of the same name that sees no other schema, and one chain of Alembic revisions
under ``<service>/migrations/versions``. Migrations run beside the code of the version before: they add, they do not
take away in the same release.
"""

from collections.abc import Sequence
from importlib.resources import files

import sqlalchemy as sa
from alembic import command, op
from alembic.config import Config
from sqlalchemy.engine import URL, Connection
from sqlalchemy.ext.asyncio import create_async_engine

from insuretech.kit.messaging import messaging_tables

_LOCK = 7_204_000_001


async def migrate(admin: URL, services: Sequence[str]) -> None:
    """Bring every service's schema up to its head; one process at a time, others wait and find it done."""
    engine = create_async_engine(admin, connect_args={"timeout": 5})
    try:
        async with engine.begin() as connection:
            await connection.execute(sa.text("select pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            for service in services:
                await connection.run_sync(_prepare, service, admin.password)
                await connection.run_sync(_upgrade, service)
    finally:
        await engine.dispose()


def service_url(admin: URL, service: str) -> URL:
    """How a service connects: the administrator's address under the service's own role."""
    return admin.set(username=service)


def _prepare(connection: Connection, service: str, password: object) -> None:
    quoted = connection.dialect.identifier_preparer.quote(service)
    known = connection.execute(sa.text("select 1 from pg_roles where rolname = :name"), {"name": service}).first()
    if known is None:
        connection.exec_driver_sql(f"create role {quoted} login")
    if password:
        secret = str(password).replace("'", "''")
        connection.exec_driver_sql(f"alter role {quoted} password '{secret}'")
    connection.exec_driver_sql(f"create schema if not exists {quoted} authorization {quoted}")


def _upgrade(connection: Connection, service: str) -> None:
    package = files("insuretech")
    config = Config()
    config.set_main_option("script_location", str(package / "kit" / "alembic"))
    config.set_main_option("version_locations", str(package / service / "migrations" / "versions"))
    config.set_main_option("path_separator", "newline")
    config.attributes["connection"] = connection
    config.attributes["schema"] = service
    quoted = connection.dialect.identifier_preparer.quote(service)
    connection.exec_driver_sql(f"set local role {quoted}")
    command.upgrade(config, "head")
    connection.exec_driver_sql("reset role")


def create_messaging(schema: str) -> None:
    """For a service's first migration: outbox, inbox, dead letters, idempotency keys, and the relay's wake-up call."""
    metadata = sa.MetaData(schema=schema)
    messaging_tables(metadata)
    metadata.create_all(op.get_bind())
    op.execute(
        f"""
        create function {schema}.outbox_wake() returns trigger language plpgsql as
        $$ begin perform pg_notify('{schema}_outbox', ''); return null; end $$
        """
    )
    op.execute(
        f"""
        create trigger outbox_wake after insert on {schema}.outbox
        for each statement execute function {schema}.outbox_wake()
        """
    )
