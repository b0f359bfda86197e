"""For migrations: tables that begin their life partitioned, and tables with rows that become so.

A table with rows becomes the partition of everything up to the next border; nothing is copied. Its name then means
the partitioned table, so that statements of the running version, prepared ones too, go on as they are.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from insuretech.kit.messaging import MessagingTables, messaging_tables
from insuretech.kit.partitions import Plan, Shelf
from insuretech.kit.retention import Retention, messaging_plans

_LOCK_LIMIT = "10s"
"""Rather fail and be run again than hold up everybody behind somebody's long transaction."""


def make_partitions(connection: Connection, schema: str, plans: Sequence[Plan]) -> None:
    """Give partitioned tables that were just made the partitions they need now."""
    for plan in plans:
        shelf = Shelf(connection, schema, plan)
        shelf.make_default()
        shelf.make_current(datetime.now(UTC))


def create_messaging_tables(connection: Connection, schema: str) -> None:
    """Outbox, inbox, dead letters and idempotency keys, the first two in partitions, and the relay's wake-up call."""
    metadata = sa.MetaData(schema=schema)
    messaging_tables(metadata)
    metadata.create_all(connection)
    make_partitions(connection, schema, messaging_plans(Retention()))
    connection.exec_driver_sql(
        f"""
        create function {schema}.outbox_wake() returns trigger language plpgsql as
        $$ begin perform pg_notify('{schema}_outbox', ''); return null; end $$
        """
    )
    _wake_on_insert(connection, schema)
    _vacuum_keys_often(connection, schema)


def partition_messaging(connection: Connection, schema: str) -> None:
    """Put outbox and inbox of a schema that is older than partitions into them; nothing where they are already."""
    tables: MessagingTables = messaging_tables(sa.MetaData(schema=schema))
    outbox, inbox = messaging_plans(Retention())
    if partition_table(connection, schema, outbox, tables.outbox.create, outdated=("outbox_pkey", "outbox_id_key")):
        connection.exec_driver_sql(
            f"select setval(pg_get_serial_sequence('{schema}.outbox', 'position'), greatest(max(position), 1)) "  # noqa: S608
            f"from {schema}.outbox"
        )
        _wake_on_insert(connection, schema)
    partition_table(connection, schema, inbox, tables.inbox.create)
    _vacuum_keys_often(connection, schema)


def _vacuum_keys_often(connection: Connection, schema: str) -> None:
    """A key is unique over all time, so the table has no partitions: what is deleted must soon make room."""
    connection.exec_driver_sql(
        f"alter table {schema}.idempotency_keys set (autovacuum_vacuum_scale_factor = 0.02, fillfactor = 80)"
    )


def _wake_on_insert(connection: Connection, schema: str) -> None:
    connection.exec_driver_sql(
        f"""
        create trigger outbox_wake after insert on {schema}.outbox
        for each statement execute function {schema}.outbox_wake()
        """
    )


# ---------------------------------------------------------------- a table with rows


def is_partitioned(connection: Connection, schema: str, table: str) -> bool:
    """Whether a table of this name is a partitioned one."""
    statement = sa.text("select relkind = 'p' from pg_class where oid = to_regclass(:name)")
    return bool(connection.execute(statement, {"name": f'"{schema}"."{table}"'}).scalar())


def partition_table(
    connection: Connection,
    schema: str,
    plan: Plan,
    create: Callable[[Connection], None],
    *,
    outdated: Sequence[str] = (),
) -> bool:
    """Make a plain table a partitioned one, made by ``create``; False where it is one already.

    The plain one is ``<table>_before`` by then. ``outdated`` names constraints and indexes of it that the partitioned
    table has otherwise or not at all; what it has alike is taken over, the rest is built. Foreign keys to and from the
    table go: partitions that others point to could not be dropped. Triggers go too; the caller makes them anew.
    """
    old = f"{plan.table}_before"
    if is_partitioned(connection, schema, plan.table):
        return False
    connection.exec_driver_sql(f"set local lock_timeout = '{_LOCK_LIMIT}'")
    connection.exec_driver_sql(f'lock table "{schema}"."{plan.table}" in access exclusive mode')
    connection.exec_driver_sql(f'alter table "{schema}"."{plan.table}" rename to "{old}"')
    _strip(connection, schema, old, outdated)
    create(connection)
    shelf, now = Shelf(connection, schema, plan), datetime.now(UTC)
    shelf.make_default()
    shelf.take_in(old, now)
    shelf.make_current(now)
    return True


def _strip(connection: Connection, schema: str, old: str, outdated: Sequence[str]) -> None:
    """Take from a table what a partition may not have, and free the names of its indexes."""
    relation = {"name": f'"{schema}"."{old}"'}
    place = f'"{schema}"."{old}"'
    for name, of in _rows(connection, _FOREIGN_KEYS, relation):
        connection.exec_driver_sql(f'alter table {of} drop constraint "{name}"')
    for (name,) in _rows(connection, _TRIGGERS, relation):
        connection.exec_driver_sql(f'drop trigger "{name}" on {place}')
    for (name,) in _rows(connection, _IDENTITIES, relation):
        connection.exec_driver_sql(f'alter table {place} alter column "{name}" drop identity')
    for name, constraint in _rows(connection, _INDEXES, relation):
        if name not in outdated:
            connection.exec_driver_sql(f'alter index "{schema}"."{name}" rename to "{name}_before"')
        elif constraint:
            connection.exec_driver_sql(f'alter table {place} drop constraint "{name}"')
        else:
            connection.exec_driver_sql(f'drop index "{schema}"."{name}"')


def _rows(connection: Connection, statement: sa.TextClause, values: dict[str, str]) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in connection.execute(statement, values)]


_FOREIGN_KEYS = sa.text(
    """
    select conname, conrelid::regclass::text from pg_constraint
    where contype = 'f' and to_regclass(:name) in (conrelid, confrelid)
    """
)
_TRIGGERS = sa.text("select tgname from pg_trigger where tgrelid = to_regclass(:name) and not tgisinternal")
_IDENTITIES = sa.text(
    "select attname from pg_attribute where attrelid = to_regclass(:name) and attidentity <> '' and not attisdropped"
)
_INDEXES = sa.text(
    """
    select index.relname, exists (select from pg_constraint where conindid = indexrelid and contype in ('p', 'u'))
    from pg_index join pg_class index on index.oid = indexrelid where indrelid = to_regclass(:name)
    """
)
