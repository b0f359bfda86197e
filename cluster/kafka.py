"""Kafka in KRaft mode: three brokers that are controllers too, one for each site and one for the witness."""

import base64
import shutil
import subprocess
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cluster import probes
from cluster.ports import Ports, free_base
from cluster.processes import Processes, ProcessFailed, Program

ZONES = ("spb", "msk", "witness")
_LOG_SETTINGS = Path(__file__).with_name("data") / "log4j2.properties"
_MEMORY = (
    "-Xms64m",
    "-Xmx256m",
    "-XX:MaxMetaspaceSize=128m",
    "-XX:ReservedCodeCacheSize=64m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",  # the better compiler costs more than it saves in a quarter of an hour
    "-Xss512k",
    "-Djava.awt.headless=true",
    "-XX:-UsePerfData",  # it would leave files in /tmp when killed
)


@dataclass(frozen=True)
class Kafka:
    """The brokers of a data folder; ``libraries`` holds Kafka's jars, ``java`` the program that runs them.

    ``brokers`` may be 1 where a test needs Kafka but not its failures.
    """

    folder: Path
    ports: Ports
    libraries: Path
    java: str = "java"
    brokers: int = 3

    @property
    def numbers(self) -> Sequence[int]:
        return range(1, self.brokers + 1)

    @property
    def bootstrap(self) -> str:
        """Bootstrap servers, ``host:port,…``."""
        return ",".join(f"127.0.0.1:{self.ports.broker(number)}" for number in self.numbers)

    def programs(self) -> list[Program]:
        return [self._program(number) for number in self.numbers]

    def prepare(self) -> None:
        """Write the configuration, and make the folders of new brokers; needs some seconds the first time."""
        self.folder.mkdir(parents=True, exist_ok=True)
        making = []
        for number in self.numbers:
            self._settings_file(number).write_text(self.settings(number), encoding="utf-8")
            if not (self._data(number) / "meta.properties").exists():
                making.append(self._format(number))
        for maker in making:
            said, _ = maker.communicate()
            if maker.returncode:
                raise ProcessFailed(f"Kafka cannot make its folder: {said.decode(errors='replace').strip()[-500:]}")

    def settings(self, number: int) -> str:
        """One broker's ``server.properties``."""
        copies = min(3, self.brokers)
        in_sync = min(2, self.brokers)
        voters = ",".join(f"{one}@127.0.0.1:{self.ports.controller(one)}" for one in self.numbers)
        broker, controller = self.ports.broker(number), self.ports.controller(number)
        return _lines(
            {
                "process.roles": "broker,controller",
                "node.id": number,
                "broker.rack": ZONES[number - 1],
                "controller.quorum.voters": voters,
                "listeners": f"PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}",
                "advertised.listeners": f"PLAINTEXT://127.0.0.1:{broker}",
                "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
                "controller.listener.names": "CONTROLLER",
                "inter.broker.listener.name": "PLAINTEXT",
                "log.dirs": self._data(number),
                # Topics come from a command of ours and never from a misspelt name.
                "auto.create.topics.enable": "false",
                "default.replication.factor": copies,
                "min.insync.replicas": in_sync,
                "num.partitions": 6,
                "offsets.topic.replication.factor": copies,
                "offsets.topic.num.partitions": 9,
                "transaction.state.log.replication.factor": copies,
                "transaction.state.log.min.isr": in_sync,
                "transaction.state.log.num.partitions": 3,
                "share.coordinator.state.topic.replication.factor": copies,
                "share.coordinator.state.topic.min.isr": in_sync,
                # A dead broker's partitions have new leaders after six seconds.
                "broker.session.timeout.ms": 6000,
                "broker.heartbeat.interval.ms": 1000,
                "replica.lag.time.max.ms": 10000,
                "group.initial.rebalance.delay.ms": 500,
                # Leadership goes back to where it belongs soon after a broker is back.
                "leader.imbalance.check.interval.seconds": 30,
                # Small: everything runs on one machine.
                "log.cleaner.dedupe.buffer.size": 16777216,
                "num.network.threads": 2,
                "num.io.threads": 4,
            }
        )

    def _program(self, number: int) -> Program:
        return Program(
            name=f"kafka-{number}",
            role="kafka",
            zone=ZONES[number - 1],
            command=(
                self.java,
                *_MEMORY,
                *shared_classes(self.libraries),
                f"-Dlog4j2.configurationFile={_LOG_SETTINGS}",
                "-cp",
                class_path(self.libraries),
                "kafka.Kafka",
                str(self._settings_file(number)),
            ),
            probe=probes.kafka(self.ports.broker(number)),
            start_limit=180,
            stop_limit=30,
        )

    def _format(self, number: int) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            (
                self.java,
                "-Xmx128m",
                "-XX:+UseSerialGC",
                "-XX:TieredStopAtLevel=1",
                *shared_classes(self.libraries),
                f"-Dlog4j2.configurationFile={_LOG_SETTINGS}",
                "-cp",
                class_path(self.libraries),
                "kafka.tools.StorageTool",
                "format",
                "--cluster-id",
                self._cluster_id(),
                "--config",
                str(self._settings_file(number)),
            ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def _cluster_id(self) -> str:
        """Kafka's 22 characters for a cluster, made once for this folder."""
        path = self.folder / "cluster.id"
        if not path.exists():
            path.write_text(base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("="), encoding="ascii")
        return path.read_text(encoding="ascii")

    def _data(self, number: int) -> Path:
        return self.folder / f"broker-{number}"

    def _settings_file(self, number: int) -> Path:
        return self.folder / f"broker-{number}.properties"


def class_path(libraries: Path) -> str:
    """All jars by name, sorted: an archive of shared classes is of use only to the very same class path."""
    return ":".join(str(jar) for jar in sorted(libraries.glob("*.jar")))


def shared_classes(libraries: Path) -> tuple[str, ...]:
    """Options that let the JVM take classes parsed before from an archive beside the jars, when there is one."""
    archive = libraries.with_name("classes.jsa")
    return (f"-XX:SharedArchiveFile={archive}", "-Xshare:auto") if archive.exists() else ()


def _lines(settings: dict[str, object]) -> str:
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def archive_classes(libraries: Path, java: str, archive: Path, folder: Path) -> None:
    """Run one broker for as long as it needs to start, and keep the classes it parsed where every start finds them."""
    shutil.rmtree(folder, ignore_errors=True)
    kafka = Kafka(folder / "data", Ports(free_base()), libraries, java, brokers=1)
    kafka.prepare()
    made = folder / "classes.jsa"
    [broker] = kafka.programs()
    command = (broker.command[0], f"-XX:ArchiveClassesAtExit={made}", *broker.command[1:])
    broker = replace(broker, command=command, stop_limit=120)
    processes = Processes(folder)
    try:
        processes.start(broker)
        processes.wait_healthy([broker])
    finally:
        processes.stop([broker])
    if made.exists():  # else every start takes as long as it takes
        made.replace(archive)
    shutil.rmtree(folder)
