"""The twin that `make test-twin` has brought up, people in its regions, and an origin in each site."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.twin.whole import Twin
from tests.twin.origins import Origins
from tests.twin.people import Person


@pytest.fixture(scope="session")
def twin() -> Twin:
    """The machines; without root or without them there is nothing to test."""
    if os.geteuid() != 0:
        pytest.fail("The twin's tests need root.")
    return Twin.opened(Path(os.environ.get("TWIN_HOME", "var/twin")).absolute())


@pytest.fixture(scope="session")
def central(twin: Twin) -> Person:
    """Somebody near St Petersburg."""
    return Person(twin, "central")


@pytest.fixture(scope="session")
def eastern(twin: Twin) -> Person:
    """Somebody near Moscow."""
    return Person(twin, "eastern")


@pytest.fixture(scope="session")
def origins(twin: Twin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Origins]:
    """A marketplace in each site, in place of the cluster."""
    origins = Origins(twin, tmp_path_factory.mktemp("origins"))
    try:
        origins.start("spb", "msk")
        yield origins
    finally:
        origins.stop("spb", "msk")
