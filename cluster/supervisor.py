"""Brings the cluster up, watches it, starts again what it is told to, and takes it down in order.

Everything it starts is its child and dies with it, by the kernel's hand if it must be. Only it starts processes; others
ask it over its socket. Killing, freezing and resuming need no one's permission but the kernel's.
"""

import fcntl
import json
import os
import select
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from cluster.fetching import Reporter
from cluster.processes import Identity, Processes, Program, give_way
from cluster.stages import ClusterFailed, Stage
from insuretech.kit.failures import Unusable

_WATCH = 0.2  # seconds between looks at the children
_ORDER_LIMIT = 65536  # bytes
_START_COSTS = 3.0  # seconds of processor time


class Supervised(Protocol):
    """What a supervisor has to know of a cluster."""

    @property
    def folder(self) -> Path: ...
    @property
    def processes(self) -> Processes: ...
    @property
    def control_socket(self) -> Path: ...
    @property
    def stages(self) -> Sequence[Stage]: ...
    def program(self, name: str) -> Program: ...
    def prepare(self) -> None: ...
    def clear(self) -> None: ...


class Supervisor:
    """One run of a cluster, from the first process to the last."""

    def __init__(self, cluster: Supervised, reporter: Reporter) -> None:
        self.cluster = cluster
        self.processes = cluster.processes
        self._reporter = reporter
        self._dead: set[str] = set()
        self._started: set[Identity] = set()

    def run(self, announce: Callable[[], None]) -> None:
        """Up, until SIGINT, SIGTERM or SIGHUP, and down again; must run in the main thread."""
        with alone(self.cluster.folder), _interruptible():
            try:
                self._bring_up()
                with self._orders() as listener:
                    announce()
                    self._watch(listener)
            except KeyboardInterrupt:
                pass
            finally:
                _ignore_signals()
                self._take_down()

    # ------------------------------------------------------------ up

    def _bring_up(self) -> None:
        with self._reporter.step("Preparing folders and settings"):
            self.cluster.prepare()
        for stage in self.cluster.stages:
            with self._reporter.step(stage.title, len(stage.programs) or None) as advance:
                for program in stage.programs:
                    self.processes.start(program)
                self.processes.wait_healthy(stage.programs, advance)
                stage.then()

    # ------------------------------------------------------------ running

    @contextmanager
    def _orders(self) -> Iterator[socket.socket]:
        """The socket on which others ask for a start."""
        with socket.socket(socket.AF_UNIX) as listener:
            self.cluster.control_socket.unlink(missing_ok=True)
            listener.bind(str(self.cluster.control_socket))
            listener.listen(8)
            listener.settimeout(5)
            yield listener

    def _watch(self, listener: socket.socket) -> None:
        """Until a signal interrupts: carry out orders, and tell of processes that have ended."""
        while True:
            ready, _, _ = select.select([listener], [], [], _WATCH)
            if ready:
                with suppress(OSError):
                    self._take_order(listener)
            self.processes.reap()
            self._tell_of_deaths()
            self._let_starters_pass()

    def _take_order(self, listener: socket.socket) -> None:
        """One JSON line in, one out: ``{"start": [name, …]}``."""
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(5)
            with connection.makefile("rb") as orders:
                answer = self._carry_out(orders.readline(_ORDER_LIMIT))
            connection.sendall(json.dumps(answer).encode() + b"\n")

    def _carry_out(self, line: bytes) -> dict[str, Any]:
        try:
            names = json.loads(line)["start"]
            for program in [self.cluster.program(name) for name in names]:
                self.processes.start(program)
        except (ValueError, KeyError, TypeError):
            return {"error": "That is no order."}
        except Unusable as error:
            return {"error": str(error)}
        return {"started": names}

    def _tell_of_deaths(self) -> None:
        programs = [program for stage in self.cluster.stages for program in stage.programs]
        dead = {program.name for program in programs if not self.processes.alive(program.name)}
        for name in sorted(dead - self._dead):
            self._reporter.console.print(f"{name} has ended; its log is {self.processes.log(name)}", highlight=False)
        for name in sorted(self._dead - dead):
            self._reporter.console.print(f"{name} runs again", highlight=False)
        self._dead = dead

    def _let_starters_pass(self) -> None:
        """On one machine a service that starts shares the processors with all the others; in production it has some.

        Those that have started give way, so that a killed one is back about as soon as it would be there.
        """
        for program in self.cluster.stages[-1].programs:
            identity = self.processes.identity(program.name)
            known = identity is None or identity in self._started
            if identity is not None and not known and give_way(identity, after=_START_COSTS):
                self._started.add(identity)

    # ------------------------------------------------------------ down

    def _take_down(self) -> None:
        """Backwards: services first, as they finish what they do with the help of all others."""
        if not self.processes.names():
            self.cluster.clear()
            return
        stubborn = []
        with self._reporter.step("Stopping"):
            for stage in reversed(self.cluster.stages):
                stubborn += self.processes.stop(stage.programs)
            self.processes.end_leftovers()
            self.cluster.clear()
        if stubborn:
            self._reporter.console.print(f"Had to be killed: {', '.join(stubborn)}", highlight=False)


def supervisor_of(folder: Path) -> int | None:
    """The process that runs the cluster of a folder now."""
    try:
        with (folder / "lock").open("r+", encoding="ascii") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(lock.read() or 0) or None
    except FileNotFoundError:
        return None
    return None


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the folder for as long as this process lives; the kernel lets go even after SIGKILL."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a+", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise ClusterFailed(f"A cluster runs in {folder} already (process {lock.read().strip()}).") from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM and SIGHUP interrupt as Ctrl-C does."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ignore_signals() -> None:
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
