"""Roles and passwords of services, over TCP and without a superuser, as a real database demands it."""

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy.engine import URL

from insuretech.kit.db import Database
from insuretech.kit.embedded_postgres import SUPERUSER, EmbeddedPostgres
from insuretech.kit.migrations import migrate, schema_problem
from insuretech.kit.roles import role_password, service_url
from tests.conftest import services_with_migrations
from tests.ports import free_port

SECRET = "what passwords are made from"
HBA = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
SERVICES = services_with_migrations()


@pytest.fixture
async def deployer(tmp_path: Path) -> AsyncIterator[URL]:
    """An empty database on a server that wants passwords, and who may make schemas in it: no superuser."""
    port, rules = free_port(), tmp_path / "hba.conf"
    rules.write_text(HBA)
    rules.chmod(0o644)
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o711)
    settings = {"listen_addresses": "127.0.0.1", "port": str(port), "hba_file": str(rules), "log_statement": "all"}
    with EmbeddedPostgres(tmp_path / "postgres", durable=False, settings=settings) as server:
        connection = await asyncpg.connect(
            host=str(server.socket_folder), port=port, user=SUPERUSER, database="postgres"
        )
        await connection.execute("create role deployer login createrole password 'of the deployer'")
        await connection.execute("create database shop owner deployer")
        await connection.close()
        yield URL.create("postgresql+asyncpg", "deployer", "of the deployer", "127.0.0.1", port, "shop")


async def test_every_service_signs_in_with_a_password_of_its_own(deployer: URL) -> None:
    """Otherwise whoever has the password of one service reads the data of all."""
    await migrate(deployer, SERVICES, SECRET)
    for service in SERVICES:
        database = Database(service, service_url(deployer, service, SECRET), pool_size=2)
        assert await schema_problem(database) is None
        await database.dispose()
    stolen = deployer.set(username="quotes", password=role_password(SECRET, "orders"))
    assert not await signs_in(stolen)
    assert not await signs_in(deployer.set(username="quotes", password="of the deployer"))


async def test_a_new_secret_takes_effect_with_the_next_migration(deployer: URL) -> None:
    """Otherwise a secret that got out opens the database for ever."""
    await migrate(deployer, ["quotes"], SECRET)
    await migrate(deployer, ["quotes"], "another secret")
    assert not await signs_in(service_url(deployer, "quotes", SECRET))
    assert await signs_in(service_url(deployer, "quotes", "another secret"))


async def test_passwords_are_not_said_to_the_server(deployer: URL, tmp_path: Path) -> None:
    """Otherwise every password of a service stands in the log of a server that logs its statements."""
    await migrate(deployer, ["quotes"], SECRET)
    said = (tmp_path / "postgres" / "postgres.log").read_text(errors="replace")
    assert "alter role" in said
    assert role_password(SECRET, "quotes") not in said


def test_an_address_of_the_service_itself_is_taken_as_it_is() -> None:
    """Otherwise a deployment that gives each service no more than its own password could not exist."""
    own = URL.create("postgresql+asyncpg", "quotes", "its own", "db", 5432, "shop")
    assert service_url(own, "quotes", SECRET) == own
    assert service_url(own, "orders", SECRET).password == role_password(SECRET, "orders")
    assert service_url(own, "orders").password == "its own", "without a secret all have the administrator's"


async def signs_in(url: URL) -> bool:
    """Whether the server takes this role with this password."""
    try:
        connection = await asyncpg.connect(
            host=url.host, port=url.port or 5432, user=url.username, password=url.password, database=url.database
        )
    except asyncpg.InvalidPasswordError:
        return False
    await connection.close()
    return True
