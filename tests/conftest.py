"""A real PostgreSQL for every test that asks for one, without anything to install."""

from collections.abc import Iterator

import pytest

from insuretech.kit.embedded_postgres import EmbeddedPostgres


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """One quick and unsafe server for the whole run."""
    with EmbeddedPostgres(tmp_path_factory.mktemp("postgres"), durable=False) as server:
        yield server
