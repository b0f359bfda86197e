"""A real PostgreSQL for every test that asks for one, without anything to install."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import asyncpg
import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy.engine import URL, make_url
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

import insuretech
from insuretech.compose.database import create_database
from insuretech.kit.db import Database
from insuretech.kit.embedded_postgres import EmbeddedPostgres
from insuretech.kit.migrations import migrate
from insuretech.kit.roles import service_url

# How long an example takes says how busy the machine is; a test has the limit of pytest-timeout.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

TOGETHER = ("tests/browser/test_desk.py", "tests/browser/test_pages.py", "tests/system/test_apart.py")
"""Files whose tests share a stage that is expensive to set: one worker takes all of a file."""

TEMPLATE = "migrated"
_numbers = itertools.count(1)


class ByStage(LoadScopeScheduling):  # type: ignore[misc]  # xdist ships no types
    """Files of ``TOGETHER`` as a whole and first, then one test after the other as workers have time.

    ``--dist loadgroup`` would do, but its groups are lost with pytest 9.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return file if file in TOGETHER else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling | None:
    """Ours in place of ``--dist loadscope``."""
    return ByStage(config, log) if config.getoption("dist") == "loadscope" else None


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """One quick and unsafe server for the whole run."""
    with EmbeddedPostgres(tmp_path_factory.mktemp("postgres"), durable=False) as server:
        yield server


@pytest.fixture(scope="session")
def migrated(postgres: EmbeddedPostgres) -> str:
    """The name of a database with every service's schema, to be copied."""
    admin = make_url(postgres.dsn(database=TEMPLATE))

    async def make() -> None:
        await create_database(admin)
        await migrate(admin, services_with_migrations())

    asyncio.run(make())
    return TEMPLATE


@pytest.fixture
async def admin_url(postgres: EmbeddedPostgres, migrated: str) -> AsyncIterator[URL]:
    """A migrated, empty database of the test's own, as the administrator; gone afterwards."""
    admin = make_url(postgres.dsn(database=f"test_{next(_numbers)}"))
    await create_database(admin, template=migrated)
    yield admin
    connection = await asyncpg.connect(host=str(postgres.socket_folder), user=admin.username, database="postgres")
    await connection.execute(f'drop database "{admin.database}" with (force)')
    await connection.close()


@pytest.fixture
async def database(admin_url: URL) -> AsyncIterator[Callable[[str], Database]]:
    """Each service's own access to the test's database, as ``Platform.database`` gives it."""
    opened: dict[str, Database] = {}

    def open_as(service: str) -> Database:
        if service not in opened:
            opened[service] = Database(service, service_url(admin_url, service), pool_size=4)
        return opened[service]

    yield open_as
    for one in opened.values():
        await one.dispose()


def services_with_migrations() -> tuple[str, ...]:
    """Every service that owns a schema."""
    package = Path(insuretech.__file__).parent
    return tuple(sorted(folder.parent.parent.name for folder in package.glob("*/migrations/versions")))
