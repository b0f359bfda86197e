"""The whole cluster of a data folder: which programs there are, and what has to be done before and between them."""

import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import msgspec

from cluster import database, mail, parts, probes
from cluster.garage import BUCKET, REGION, Garage
from cluster.haproxy import Proxy
from cluster.kafka import Kafka
from cluster.part import until_brokers
from cluster.ports import Ports, require_free
from cluster.processes import POLL, Processes, ProcessFailed, Program
from cluster.redis import RedisCluster
from cluster.services import Services, make_secrets
from cluster.stages import ClusterFailed, Stage

_COMMAND_LIMIT = 180.0  # seconds for one of our commands
_ROUTES_LIMIT = 30.0


class Description(msgspec.Struct, frozen=True):
    """What others need to know of a running cluster, kept as ``cluster.json`` in its folder."""

    base: int
    settings: dict[str, str] = {}


@dataclass(frozen=True)
class Cluster:
    """All of it; ``settings`` are added to those of every service."""

    folder: Path
    ports: Ports
    installed: parts.Installed
    settings: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def opened(cls, folder: Path) -> "Cluster":
        """The cluster that was brought up on a folder; raises ``ClusterFailed`` when there is none."""
        folder = folder.absolute()
        try:
            kept = msgspec.json.decode((folder / "cluster.json").read_bytes(), type=Description)
        except (FileNotFoundError, msgspec.MsgspecError):
            raise ClusterFailed(f"There is no cluster in {folder}; bring one up with `make cluster`.") from None
        return cls(folder, Ports(kept.base), parts.find(), kept.settings)

    # ------------------------------------------------------------ parts

    @cached_property
    def processes(self) -> Processes:
        return Processes(self.folder)

    @cached_property
    def kafka(self) -> Kafka:
        return Kafka(self.folder / "kafka", self.ports, self.installed.kafka, self.installed.java)

    @cached_property
    def redis(self) -> RedisCluster:
        return RedisCluster(self.folder / "redis", self.ports, self.installed.redis_server)

    @cached_property
    def garage(self) -> Garage:
        return Garage(self.folder / "s3", self.ports, self.installed.garage)

    @cached_property
    def proxy(self) -> Proxy:
        return Proxy(
            folder=self.folder / "haproxy",
            ports=self.ports,
            sockets=self.sockets,
            replicas={name: self.services.instances(name) for name in self.services.names},
            postgres=database.socket_path(self.folder / "postgres"),
            s3={f"s3-{number}": self.ports.garage(number) for number in self.garage.numbers},
            haproxy=self.installed.haproxy,
        )

    @cached_property
    def services(self) -> Services:
        return Services(self.folder / "services", self.ports, self._surroundings())

    @property
    def sockets(self) -> Path:
        """The private folder of Unix sockets: short, as a socket's path may have 107 bytes."""
        name = hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:16]
        return Path("/tmp", f"insuretech-cluster-{name}")  # noqa: S108 - made with mode 0700, nobody else's is taken

    @property
    def control_socket(self) -> Path:
        """Where the supervisor takes orders."""
        return self.sockets / "control.sock"

    @property
    def public_url(self) -> str:
        return f"http://127.0.0.1:{self.ports.public}"

    @property
    def database_url(self) -> str:
        """PostgreSQL as its administrator, by way of the load balancer."""
        return f"postgresql://postgres@/{database.NAME}?host={self.sockets}"

    # ------------------------------------------------------------ programs, in the order of their start

    @cached_property
    def servers(self) -> list[Program]:
        """All that services rely on."""
        return [
            database.program(self.folder / "postgres"),
            *self.garage.programs(),
            *self.redis.programs(),
            *self.kafka.programs(),
            mail.program(self.folder / "mail", self.ports),
        ]

    @cached_property
    def stages(self) -> list[Stage]:
        """From nothing to ready; it stops in the opposite order."""
        return [
            Stage("Starting PostgreSQL, S3, Redis and Kafka", self.servers, self._form),
            Stage("Starting HAProxy", [self.proxy.program()]),
            Stage("Preparing schemas, keys, topics and products", [], self._fill),
            Stage("Starting services", self.services.programs(), self._until_routed),
        ]

    @cached_property
    def programs(self) -> list[Program]:
        return [program for stage in self.stages for program in stage.programs]

    def program(self, name: str) -> Program:
        for one in self.programs:
            if one.name == name:
                return one
        raise ClusterFailed(f"There is no {name}; there are {', '.join(one.name for one in self.programs)}.")

    # ------------------------------------------------------------ what is done before and between

    def prepare(self) -> None:
        """Folders, secrets and configuration; clears away what an end by force has left."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o711)  # PostgreSQL may have to run as another user, who passes through
        self.processes.end_leftovers()
        self.garage.prepare()
        keys = self.garage.keys
        make_secrets(self.folder / "secrets", {"s3-access-key": keys.access_key, "s3-secret-key": keys.secret_key})
        require_free(self._ports())
        self._make_sockets_folder()
        self._description.write_bytes(msgspec.json.encode(Description(self.ports.base, dict(self.settings))))
        for part in (self.redis, self.kafka, self.proxy):
            part.prepare()

    def _form(self) -> None:
        """Let the started nodes of each kind become one."""
        self.garage.form()
        self.redis.form()
        until_brokers(self.kafka.bootstrap, self.kafka.brokers)

    def _fill(self) -> None:
        """What has to be there before the first service starts."""
        for words in (("migrate",), ("keys", "create"), ("topics", "apply"), ("products", "load")):
            self.run_command(*words)

    def _until_routed(self) -> None:
        """Return when the load balancer has seen that services are ready."""
        until = time.monotonic() + _ROUTES_LIMIT
        while not self.healthy():
            if time.monotonic() > until:
                raise ProcessFailed(f"{self.public_url}/healthz/ready does not answer; see the log of haproxy.")
            time.sleep(POLL)

    def run_command(self, *words: str) -> None:
        """One of our own commands, such as ``migrate``, in the surroundings of the services."""
        command, environment = self.services.command(*words)
        log = self.processes.log(" ".join(words).replace(" ", "-"))
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("INSURETECH_", "CLUSTER_"))}
        with log.open("ab") as output:
            try:
                done = subprocess.run(
                    command,
                    env={**kept, **environment},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    timeout=_COMMAND_LIMIT,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                raise ProcessFailed(f"`insuretech {' '.join(words)}` did not end in {_COMMAND_LIMIT:.0f} s.") from None
        if done.returncode:
            said = log.read_text(encoding="utf-8", errors="replace")[-2000:].strip()
            raise ProcessFailed(f"`insuretech {' '.join(words)}` failed:\n{said}")

    def healthy(self) -> bool:
        """Whether the public address answers that requests can be carried out."""
        return probes.http(self.ports.public, "/healthz/ready").holds()

    def clear(self) -> None:
        """Remove what says that a cluster runs here; the data stay."""
        shutil.rmtree(self.sockets, ignore_errors=True)
        shutil.rmtree(database.server(self.folder / "postgres").socket_folder, ignore_errors=True)
        with suppress(FileNotFoundError):
            self._description.unlink()

    @property
    def _description(self) -> Path:
        return self.folder / "cluster.json"

    def _ports(self) -> list[int]:
        ports, numbers = self.ports, range(1, 4)
        return [
            *(ports.public, ports.internal, ports.s3, ports.statistics, ports.smtp),
            *(port(number) for port in (ports.broker, ports.controller) for number in numbers),
            *(port(number) for port in (ports.redis, ports.redis_bus) for number in self.redis.numbers),
            *(port(number) for port in (ports.garage, ports.garage_rpc, ports.garage_admin) for number in numbers),
            *(port for name in self.services.names for port in self.services.instances(name).values()),
        ]

    def _make_sockets_folder(self) -> None:
        shutil.rmtree(self.sockets, ignore_errors=True)
        try:
            self.sockets.mkdir(mode=0o700)
        except FileExistsError:
            raise ClusterFailed(f"The folder {self.sockets} belongs to someone else and cannot be removed.") from None

    def _surroundings(self) -> dict[str, str]:
        """What every service is told of the world."""
        secrets = self.folder / "secrets"
        return {
            "DATABASE_URL": self.database_url,
            "INSURETECH_DATABASE_SECRET_FILE": str(secrets / "database"),
            "INSURETECH_INTERNAL_SECRET_FILE": str(secrets / "internal"),
            "INSURETECH_KEYRING_FILE": str(secrets / "keyring.json"),
            "INSURETECH_PUBLIC_URL": self.public_url,
            "INSURETECH_SERVICES_URL": f"http://127.0.0.1:{self.ports.internal}",
            "INSURETECH_KAFKA": self.kafka.bootstrap,
            "INSURETECH_REDIS": self.redis.nodes,
            "INSURETECH_S3_URL": f"http://127.0.0.1:{self.ports.s3}",
            "INSURETECH_S3_BUCKET": BUCKET,
            "INSURETECH_S3_REGION": REGION,
            "INSURETECH_S3_ACCESS_KEY_FILE": str(secrets / "s3-access-key"),
            "INSURETECH_S3_SECRET_KEY_FILE": str(secrets / "s3-secret-key"),
            "INSURETECH_SMTP_URL": f"smtp://127.0.0.1:{self.ports.smtp}",
            "INSURETECH_DRAIN": "3",
            **self.settings,
        }
