"""One kind of server alone, as tests need it: started on free ports, stopped at the end of the block."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from cluster import garage, parts, ports
from cluster.garage import Garage
from cluster.kafka import Kafka
from cluster.processes import POLL, Processes, ProcessFailed, Program
from cluster.redis import RedisCluster


@dataclass(frozen=True)
class Running:
    """Servers of one kind, and what a test may do to them; names are like ``kafka-1``."""

    processes: Processes
    programs: tuple[Program, ...]

    @property
    def names(self) -> list[str]:
        return [program.name for program in self.programs]

    def kill(self, name: str) -> None:
        """As when a machine loses power; returns when it is gone."""
        self.processes.kill(name)

    def freeze(self, name: str) -> None:
        """It keeps its connections and answers nothing."""
        self.processes.freeze(name)

    def resume(self, name: str) -> None:
        self.processes.resume(name)

    def start(self, *names: str) -> None:
        """Start again what was killed, all at once, and return when each works; call it from the main thread."""
        chosen = [program for program in self.programs if program.name in names]
        for program in chosen:
            self.processes.start(program)
        self.processes.wait_healthy(chosen)

    def heal(self) -> None:
        """Everything runs again, whatever a test has done."""
        for name in self.names:
            self.processes.resume(name)
        self.start(*(name for name in self.names if not self.processes.alive(name)))


@dataclass(frozen=True)
class RunningKafka(Running):
    """``bootstrap`` is for clients; names are ``kafka-1`` to ``kafka-3``."""

    bootstrap: str

    def controller(self) -> str:
        """The name of the broker that leads the controllers now."""
        return controller_of(self.bootstrap)


@dataclass(frozen=True)
class RunningRedis(Running):
    """``nodes`` is for clients, ``host:port,…``; names are ``redis-1`` to ``redis-6``."""

    nodes: str
    cluster: RedisCluster

    def masters(self) -> list[str]:
        """Names of the nodes that take writes now."""
        return [f"redis-{number}" for number in self.cluster.masters()]


@dataclass(frozen=True)
class RunningGarage(Running):
    """What a client of S3 has to know; names are ``s3-1`` to ``s3-3``, ``urls`` the address of each."""

    urls: tuple[str, ...]
    access_key: str
    secret_key: str
    cluster: Garage
    bucket: str = garage.BUCKET
    region: str = garage.REGION

    @property
    def url(self) -> str:
        """The first node's address."""
        return self.urls[0]


@contextmanager
def run_kafka(installed: parts.Installed, folder: Path, *, brokers: int = 3) -> Iterator[RunningKafka]:
    """Kafka for as long as the block lasts."""
    kafka = Kafka(folder / "data", ports.Ports(ports.free_base()), installed.kafka, installed.java, brokers)
    kafka.prepare()
    with _running(folder, kafka.programs()) as (processes, programs):
        until_brokers(kafka.bootstrap, brokers)
        yield RunningKafka(processes, programs, kafka.bootstrap)


@contextmanager
def run_redis(installed: parts.Installed, folder: Path) -> Iterator[RunningRedis]:
    """A Redis Cluster for as long as the block lasts."""
    cluster = RedisCluster(folder / "data", ports.Ports(ports.free_base()), installed.redis_server)
    cluster.prepare()
    with _running(folder, cluster.programs()) as (processes, programs):
        cluster.form()
        yield RunningRedis(processes, programs, cluster.nodes, cluster)


@contextmanager
def run_garage(installed: parts.Installed, folder: Path) -> Iterator[RunningGarage]:
    """S3 with a bucket for as long as the block lasts."""
    cluster = Garage(folder / "data", ports.Ports(ports.free_base()), installed.garage)
    cluster.prepare()
    with _running(folder, cluster.programs()) as (processes, programs):
        cluster.form()
        urls = tuple(f"http://127.0.0.1:{cluster.ports.garage(number)}" for number in cluster.numbers)
        yield RunningGarage(processes, programs, urls, cluster.keys.access_key, cluster.keys.secret_key, cluster)


def until_brokers(bootstrap: str, count: int, limit: float = 60.0) -> None:
    """Return when so many brokers take part in the cluster."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    until = time.monotonic() + limit
    while True:
        try:
            if len(admin.list_topics(timeout=5).brokers) >= count:
                return
        except KafkaException:
            pass
        if time.monotonic() > until:
            raise ProcessFailed(f"Kafka at {bootstrap} does not have {count} brokers after {limit:.0f} s.")
        time.sleep(POLL)


def controller_of(bootstrap: str) -> str:
    """The name of the broker that leads the controllers now."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    return f"kafka-{admin.list_topics(timeout=10).controller_id}"


@contextmanager
def _running(folder: Path, programs: list[Program]) -> Iterator[tuple[Processes, tuple[Program, ...]]]:
    processes = Processes(folder)
    try:
        for program in programs:
            processes.start(program)
        processes.wait_healthy(programs)
        yield processes, tuple(programs)
    finally:
        processes.stop(programs)
