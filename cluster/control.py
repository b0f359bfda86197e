"""Doing to a running cluster what the world may do: kill, freeze, start again, and ask who leads.

Made for tests of faults and for the commands. All calls block; from a coroutine use ``asyncio.to_thread``.
"""

import os
import signal
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cluster import probes
from cluster.part import controller_of
from cluster.processes import POLL, ProcessFailed, Program, descendants, memory
from cluster.stages import ClusterFailed
from cluster.whole import Cluster

_HEALTH_LIMIT = 1.0  # seconds for one probe
HEALTHY, STARTING, FROZEN, DEAD = "healthy", "unhealthy", "frozen", "dead"


@dataclass(frozen=True)
class State:
    """One process as it is now; ``memory`` is resident bytes, its children's too; ``pid`` is 0 when it is dead."""

    name: str
    role: str
    zone: str
    state: str
    pid: int
    memory: int
    log: Path


class Control:
    """A cluster that runs, by its data folder.

    Names are ``orders-1`` to ``orders-3`` and so for each service, ``kafka-1`` to 3, ``redis-1`` to 6, ``s3-1`` to 3,
    ``postgres``, ``haproxy``, ``mail``; roles are ``orders``, …, ``kafka``, ``redis``, ``s3``, ``postgres``, ``proxy``.
    """

    def __init__(self, folder: Path) -> None:
        self.cluster = Cluster.opened(folder)
        self._processes = self.cluster.processes

    @property
    def public_url(self) -> str:
        """The site and the API."""
        return self.cluster.public_url

    # ------------------------------------------------------------ who is there

    def names(self, *roles: str) -> list[str]:
        """All processes, or those of some roles."""
        return [one.name for one in self.cluster.programs if not roles or one.role in roles]

    def services(self) -> list[str]:
        """Names of all service processes."""
        return self.names(*self.cluster.services.names)

    def state(self, name: str) -> str:
        """``healthy``, ``unhealthy`` (runs, does not answer as it should, or not yet), ``frozen`` or ``dead``."""
        identity = self._processes.identity(name)
        if identity is None or not identity.alive:
            return DEAD
        if identity.frozen:
            return FROZEN
        return HEALTHY if self._program(name).probe.holds(_HEALTH_LIMIT) else STARTING

    def states(self) -> list[State]:
        """Every process, asked at once."""
        with ThreadPoolExecutor(16) as pool:
            return list(pool.map(self._look, self.cluster.programs))

    def pid(self, name: str) -> int:
        """The process of a name; raises ``ClusterFailed`` when it is not running."""
        identity = self._processes.identity(name)
        if identity is None or not identity.alive:
            raise ClusterFailed(f"{name} does not run.")
        return identity.pid

    # ------------------------------------------------------------ what may happen to it

    def kill(self, *names: str) -> None:
        """SIGKILL, all at once, as when power is lost; returns when they are gone."""
        family = [pid for name in self._known(names) for pid in self._family(name)]
        for pid in family:
            _signal(pid, signal.SIGKILL)
        for name in names:
            self._processes.kill(name)

    def freeze(self, *names: str) -> None:
        """SIGSTOP: connections stay, answers do not come. PostgreSQL's own processes are frozen with it."""
        for name in self._known(names):
            for pid in self._family(name):
                _signal(pid, signal.SIGSTOP)

    def resume(self, *names: str) -> None:
        """SIGCONT."""
        for name in self._known(names):
            for pid in self._family(name):
                _signal(pid, signal.SIGCONT)

    def stop(self, *names: str) -> None:
        """Ask them to end as a deployment does, and wait; what does not end in its time is killed."""
        self._processes.stop([self._program(name) for name in names])

    def start(self, *names: str) -> None:
        """Start what is dead; returns at once, see ``wait_healthy``."""
        answer = probes.ask_json(self.cluster.control_socket, {"start": list(self._known(names))})
        if "error" in answer:
            raise ClusterFailed(str(answer["error"]))

    def restart(self, *names: str, limit: float = 60.0) -> None:
        """Stop in good order, start, and return when healthy."""
        self.stop(*names)
        self.start(*names)
        self.wait_healthy(names, limit)

    def revive(self, *names: str) -> None:
        """Make them run, whatever was done to them; all of them when none is named. Returns at once."""
        chosen = self._known(names) if names else self.names()
        self.resume(*chosen)
        dead = [name for name in chosen if not self._processes.alive(name)]
        if dead:
            self.start(*dead)

    def heal(self, limit: float = 120.0) -> None:
        """Everything runs and is well again; S3 nodes that were away get what they missed."""
        away = [name for name in self.names("s3") if self.state(name) != HEALTHY]
        self.revive()
        self.wait_healthy(limit=limit)
        if away:
            self.cluster.garage.repair()

    def wait_healthy(self, names: Iterable[str] = (), limit: float = 60.0) -> None:
        """Return when all of them are healthy, every process when none is named; raises after ``limit`` seconds."""
        waiting = list(names) or self.names()
        until = time.monotonic() + limit
        while True:
            with ThreadPoolExecutor(16) as pool:
                found = list(zip(waiting, pool.map(self.state, waiting), strict=True))
            waiting = [name for name, state in found if state != HEALTHY]
            if not waiting:
                return
            if time.monotonic() > until:
                raise ProcessFailed(f"Not healthy after {limit:.0f} s: {', '.join(waiting)}.")
            time.sleep(2 * POLL)

    # ------------------------------------------------------------ who leads

    def kafka_controller(self) -> str:
        """The broker that leads Kafka's controllers, such as ``kafka-2``."""
        return controller_of(self.cluster.kafka.bootstrap)

    def redis_masters(self) -> list[str]:
        """The Redis nodes that take writes, such as ``redis-1``."""
        return [f"redis-{number}" for number in self.cluster.redis.masters()]

    def favourite(self, service: str) -> str:
        """The replica of a service to which the load balancer has given most requests."""
        totals = {row["svname"]: int(row["stot"] or 0) for row in self.balancer() if row["pxname"] == service}
        return max(self.names(service), key=lambda name: totals.get(name, 0))

    def balancer(self) -> list[dict[str, str]]:
        """HAProxy's statistics, one row for each frontend, backend and server, by its own column names."""
        text = probes.ask_text(self.cluster.proxy.administration, "show stat")
        names, *rows = [line.rstrip(",").split(",") for line in text.lstrip("# ").splitlines() if line]
        return [dict(zip(names, row, strict=False)) for row in rows]

    def metrics(self, name: str) -> str:
        """What a service process says at ``/metrics``."""
        if name not in self.services():
            raise ClusterFailed(f"{name} has no metrics of ours.")
        return probes.fetch(int(self._program(name).environment["PORT"]), "/metrics")

    # ------------------------------------------------------------ parts

    def _look(self, program: Program) -> State:
        state = self.state(program.name)
        identity = self._processes.identity(program.name)
        pid = identity.pid if identity is not None and state != DEAD else 0
        used = memory(pid) if pid else 0
        return State(program.name, program.role, program.zone, state, pid, used, self._processes.log(program.name))

    def _program(self, name: str) -> Program:
        return self.cluster.program(name)

    def _known(self, names: Iterable[str]) -> list[str]:
        return [self._program(name).name for name in names]

    def _family(self, name: str) -> list[int]:
        """A process and all below it; PostgreSQL's wrapper is not PostgreSQL."""
        identity = self._processes.identity(name)
        if identity is None or not identity.alive:
            return []
        return [identity.pid, *descendants(identity.pid)]


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
