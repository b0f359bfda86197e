"""Redis Cluster: three masters and a copy of each, never in the same site."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import redis

from cluster import probes
from cluster.ports import Ports
from cluster.processes import POLL, ProcessFailed, Program

NODES = 6
MASTERS = 3
ZONES = ("spb", "msk", "spb", "msk", "spb", "msk")
"""Node 4 copies 1, 5 copies 2, 6 copies 3: each pair is in two sites."""

_SLOTS = 16384
_JOIN_LIMIT = 30.0  # seconds
MEMORY = "128mb"


@dataclass(frozen=True)
class RedisCluster:
    """The nodes of a data folder."""

    folder: Path
    ports: Ports
    server: str = "redis-server"

    @property
    def numbers(self) -> Sequence[int]:
        return range(1, NODES + 1)

    @property
    def nodes(self) -> str:
        """Nodes to begin with, ``host:port,…``."""
        return ",".join(f"127.0.0.1:{self.ports.redis(number)}" for number in self.numbers)

    def prepare(self) -> None:
        """Write the configuration."""
        for number in self.numbers:
            folder = self.folder / f"node-{number}"
            folder.mkdir(parents=True, exist_ok=True)
            self._settings_file(number).write_text(self.settings(number), encoding="utf-8")

    def settings(self, number: int) -> str:
        """One node's ``redis.conf``. What is in it can be rebuilt: it may forget when full, and lose a second."""
        return "".join(
            f"{name} {value}\n"
            for name, value in {
                "bind": "127.0.0.1",
                "port": self.ports.redis(number),
                "cluster-port": self.ports.redis_bus(number),
                "dir": self.folder / f"node-{number}",
                "daemonize": "no",
                "cluster-enabled": "yes",
                "cluster-config-file": "nodes.conf",
                "cluster-node-timeout": 2000,
                "cluster-replica-validity-factor": 10,
                "cluster-require-full-coverage": "no",
                # A copy whose master died may be the last one: let it stay.
                "cluster-allow-replica-migration": "no",
                "appendonly": "yes",
                "appendfsync": "everysec",
                "save": '""',
                "maxmemory": MEMORY,
                "maxmemory-policy": "volatile-lru",
            }.items()
        )

    def programs(self) -> list[Program]:
        return [
            Program(
                name=f"redis-{number}",
                role="redis",
                zone=ZONES[number - 1],
                command=(self.server, str(self._settings_file(number))),
                probe=probes.redis(self.ports.redis(number)),
                start_limit=30,
            )
            for number in self.numbers
        ]

    def form(self) -> None:
        """Make one cluster of the running nodes unless they are one already; returns when every slot is served."""
        if self._facts(1, "CLUSTER", "INFO")["cluster_slots_assigned"] == "0":
            self._introduce()
        self._until(self._complete, "is not whole")

    def masters(self) -> list[int]:
        """Numbers of the nodes that take writes now, as the first node that answers sees it."""
        for number in self.numbers:
            try:
                view = self._ask(number, "CLUSTER", "NODES")
            except (redis.RedisError, OSError):
                continue
            return masters_in(view, self.ports)
        return []

    def _introduce(self) -> None:
        for number in self.numbers:
            if number <= MASTERS:
                first, last = _SLOTS * (number - 1) // MASTERS, _SLOTS * number // MASTERS - 1
                self._ask(number, "CLUSTER", "ADDSLOTSRANGE", first, last)
            self._ask(number, "CLUSTER", "SET-CONFIG-EPOCH", number)
        for number in self.numbers[1:]:
            self._ask(1, "CLUSTER", "MEET", "127.0.0.1", self.ports.redis(number), self.ports.redis_bus(number))
        self._until(self._acquainted, "does not form, its nodes do not know one another")
        for number in self.numbers[MASTERS:]:
            self._ask(number, "CLUSTER", "REPLICATE", self._ask(number - MASTERS, "CLUSTER", "MYID"))

    def _acquainted(self) -> bool:
        return all(
            int(self._facts(number, "CLUSTER", "INFO")["cluster_known_nodes"]) == NODES for number in self.numbers
        )

    def _complete(self) -> bool:
        """Every node sees every slot served, and every copy is in step with its master."""
        return all(
            self._facts(number, "CLUSTER", "INFO")["cluster_state"] == "ok"
            and self._facts(number, "INFO", "replication").get("master_link_status", "up") == "up"
            for number in self.numbers
        )

    def _until(self, holds: Callable[[], bool], fault: str) -> None:
        until = time.monotonic() + _JOIN_LIMIT
        while not holds():
            if time.monotonic() > until:
                raise ProcessFailed(f"The Redis cluster {fault}, after {_JOIN_LIMIT:.0f} s; see their logs.")
            time.sleep(POLL)

    def _facts(self, number: int, *command: str | int) -> dict[str, str]:
        """An answer of lines ``name:value``."""
        pairs = (line.partition(":") for line in self._ask(number, *command).splitlines())
        return {name: value for name, divider, value in pairs if divider}

    def _ask(self, number: int, *command: str | int) -> str:
        """A node's answer as it is; the client would make something else of some."""
        port = self.ports.redis(number)
        with redis.Redis(host="127.0.0.1", port=port, socket_timeout=5, decode_responses=True) as client:
            client.response_callbacks.clear()
            return str(client.execute_command(*command))

    def _settings_file(self, number: int) -> Path:
        return self.folder / f"node-{number}.conf"


def masters_in(view: str, ports: Ports) -> list[int]:
    """Numbers of the nodes that take writes, from the answer of CLUSTER NODES."""
    by_port = {ports.redis(number): number for number in range(1, NODES + 1)}
    found = []
    for line in view.splitlines():
        _, address, flags, *rest = line.split()
        states = flags.split(",")
        if "master" in states and not {"fail", "noaddr"} & set(states) and len(rest) > 5:
            found.append(by_port[int(address.partition("@")[0].rpartition(":")[2])])
    return sorted(found)
