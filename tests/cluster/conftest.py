"""Real servers for tests, each kind once for the whole run, on free ports and a folder of its own.

They come from the cache that ``python -m cluster parts`` fills. A test may kill, freeze and start again what it got,
and leaves all of it running for the next.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster import parts
from cluster.part import RunningGarage, RunningKafka, RunningRedis, run_garage, run_kafka, run_redis


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of this folder needs the servers, so ``make test`` leaves it out; some of it needs the whole cluster."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.cluster)
            if "control" in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.whole)


@pytest.fixture(scope="session")
def installed() -> parts.Installed:
    """The parts from the cache; says what to do when they are not there."""
    return parts.find()


@pytest.fixture(scope="session")
def kafka(installed: parts.Installed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningKafka]:
    """Three brokers; ``kafka.bootstrap`` for clients, ``kafka.kill("kafka-1")`` and the like for faults."""
    with run_kafka(installed, tmp_path_factory.mktemp("kafka")) as running:
        yield running


@pytest.fixture(scope="session")
def redis_cluster(installed: parts.Installed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRedis]:
    """Six nodes; ``redis_cluster.nodes`` for clients."""
    with run_redis(installed, tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture(scope="session")
def s3(installed: parts.Installed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGarage]:
    """Three nodes; ``s3.url``, ``s3.bucket``, ``s3.region``, ``s3.access_key``, ``s3.secret_key`` for clients."""
    with run_garage(installed, tmp_path_factory.mktemp("s3")) as running:
        yield running
