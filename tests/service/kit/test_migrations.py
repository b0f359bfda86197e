"""Schemas follow the code, and only forwards."""

import re
import sys
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy.engine import URL

import insuretech
from insuretech.kit.migrations import SchemaUnknown, migrate

FILES = sorted(Path(insuretech.__file__).parent.glob("*/migrations/versions/*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parts[-4]}-{file.stem}")
def test_a_migration_is_named_by_its_revision(file: Path) -> None:
    """Otherwise a start takes the schema for up to date and every query after it fails."""
    revision = re.search(r'^revision(?:: str)? = "(\w+)"$', file.read_text(encoding="utf-8"), re.MULTILINE)

    assert revision is not None
    assert file.name.startswith(f"{revision[1]}_")


async def test_alembic_stays_away_when_nothing_is_to_be_done(admin_url: URL, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise every start pays half a second and ten megabytes for finding that out."""
    monkeypatch.setitem(sys.modules, "alembic", None)

    await migrate(admin_url, ["quotes", "orders"])


async def test_data_of_a_newer_program_are_refused(admin_url: URL) -> None:
    """Otherwise an older program writes into tables whose meaning it does not know."""
    connection = await asyncpg.connect(
        host=str(admin_url.query["host"]), user=admin_url.username, database=admin_url.database
    )
    await connection.execute("update quotes.schema_version set version_num = '9999'")
    await connection.close()

    with pytest.raises(SchemaUnknown, match=r"^The data of quotes were written by another version .*9999"):
        await migrate(admin_url, ["quotes"])


async def test_a_service_sees_its_own_schema_only(admin_url: URL) -> None:
    """Otherwise one service's slip, or a hole in it, opens the data of all."""
    connection = await asyncpg.connect(host=str(admin_url.query["host"]), user="quotes", database=admin_url.database)
    try:
        assert await connection.fetchval("select count(*) from quotes.quotes") == 0
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.fetchval("select count(*) from orders.outbox")
    finally:
        await connection.close()


async def test_services_get_into_a_database_that_is_closed_to_everybody(admin_url: URL) -> None:
    """Otherwise no service starts where nobody but those who are named may connect."""
    host, name = str(admin_url.query["host"]), str(admin_url.database)
    owner = await asyncpg.connect(host=host, user=admin_url.username, database=name)
    await owner.execute(f'revoke connect on database "{name}" from public')
    await owner.close()
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await asyncpg.connect(host=host, user="quotes", database=name)

    await migrate(admin_url, ["quotes"])

    await (await asyncpg.connect(host=host, user="quotes", database=name)).close()
