"""Programs as children: started, recorded, signalled, stopped.

A running process is known by its pid and the moment of its start (``/proc/<pid>/stat``), both written to a file of its
name; so a pid that the kernel gave to somebody else meanwhile is never touched.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from cluster.probes import Probe
from insuretech.kit.failures import Unusable

_LAUNCHER = Path(__file__).with_name("launcher.py")
_LOG_LIMIT = 20_000_000  # bytes; a longer log is put aside at the next start
_KILL_LIMIT = 5.0  # seconds for the kernel to carry a SIGKILL out
_GIVES_WAY = 10
"""The niceness of a service that has started; anybody may raise it, nobody but root lower it."""
POLL = 0.05


class ProcessFailed(Unusable):
    """A process did not start, ended by itself or did not stop; the message carries the end of its log."""


@dataclass(frozen=True)
class Program:
    """What to run and how to see that it works.

    ``zone`` is the site it stands for; ``start_limit`` and ``stop_limit`` are seconds.
    """

    name: str
    role: str
    command: tuple[str, ...]
    probe: Probe
    zone: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    start_limit: float = 60.0
    stop_signal: signal.Signals = signal.SIGTERM
    stop_limit: float = 10.0


@dataclass(frozen=True)
class Identity:
    """One process among all that ever had its pid; ``started`` is in clock ticks since boot."""

    pid: int
    started: int

    def state(self) -> str:
        """The kernel's letter (R, S, D, T, …), or an empty string when it is gone; a zombie is gone."""
        found = _stat(self.pid)
        if found is None or found[1] != self.started or (found[0] in "ZX" and not _has_threads(self.pid)):
            return ""
        return found[0]

    @property
    def alive(self) -> bool:
        return bool(self.state())

    @property
    def frozen(self) -> bool:
        return self.state() in {"T", "t"}

    def send(self, number: signal.Signals) -> bool:
        """Signal it if it is still the same process; whether it was."""
        if not self.alive:
            return False
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)
            return True
        return False


class Processes:
    """The programs of one data folder: ``run/NAME.json`` says which process is which, ``log/NAME.log`` what it said.

    Start programs from a thread that lives as long as they shall, as a rule the main one: the kernel kills them when
    it ends. All else may be done by anyone who knows the folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.run = self.folder / "run"
        self.logs = self.folder / "log"
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    # ------------------------------------------------------------ one program

    def start(self, program: Program) -> Identity:
        """Start without waiting until it works; refuses a second one of the same name."""
        running = self.identity(program.name)
        if running is not None and running.alive:
            raise ProcessFailed(f"{program.name} runs already (process {running.pid}).")
        self.reap()
        for folder in (self.run, self.logs):
            folder.mkdir(parents=True, exist_ok=True)
        log_path = self.log(program.name)
        if log_path.exists() and log_path.stat().st_size > _LOG_LIMIT:
            log_path.replace(log_path.with_suffix(".log.old"))
        with log_path.open("ab") as log:
            child = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_LAUNCHER), str(os.getpid()), *_absolute(program.command)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=_environment(program.environment),
                cwd=self.folder,
            )
        self._children[program.name] = child
        found = _stat(child.pid)
        identity = Identity(child.pid, found[1] if found else 0)
        self._record(program.name, identity)
        return identity

    def identity(self, name: str) -> Identity | None:
        """Who was last started under this name, alive or not."""
        try:
            found = json.loads((self.run / f"{name}.json").read_text(encoding="utf-8"))
            if found["boot"] != boot_id():
                return None
            return Identity(int(found["pid"]), int(found["started"]))
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def alive(self, name: str) -> bool:
        identity = self.identity(name)
        return identity is not None and identity.alive

    def send(self, name: str, number: signal.Signals) -> bool:
        """Signal it; whether it was there."""
        identity = self.identity(name)
        return identity is not None and identity.send(number)

    def kill(self, name: str) -> None:
        """SIGKILL, and return when it is gone."""
        self.send(name, signal.SIGKILL)
        self._gone([name], _KILL_LIMIT)

    def freeze(self, name: str) -> None:
        """SIGSTOP: it keeps its connections and answers nothing."""
        self.send(name, signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """SIGCONT."""
        self.send(name, signal.SIGCONT)

    def log(self, name: str) -> Path:
        """Where everything goes that the program says."""
        return self.logs / f"{name}.log"

    def tail(self, name: str, size: int = 2000) -> str:
        """The end of its log."""
        try:
            with self.log(name).open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - size))
                return log.read().decode(errors="replace")
        except FileNotFoundError:
            return ""

    # ------------------------------------------------------------ several

    def wait_healthy(self, programs: Iterable[Program], advance: Callable[[], None] = lambda: None) -> None:
        """Return when every probe holds, having called ``advance`` for each.

        Raises as soon as one of them has ended or has used up its time.
        """
        began = time.monotonic()
        waiting = list(programs)
        while waiting:
            self.reap()
            for program in waiting:
                if program.probe.holds():
                    waiting = [one for one in waiting if one is not program]
                    advance()
                else:
                    self._must_run(program, time.monotonic() - began)
            time.sleep(POLL if waiting else 0)

    def stop(self, programs: Iterable[Program]) -> list[str]:
        """Ask all of them to end, at once; the names of those that had to be killed in the end."""
        asked = [program for program in programs if self.alive(program.name)]
        for program in asked:
            self.send(program.name, program.stop_signal)
            self.send(program.name, signal.SIGCONT)  # one that is frozen would never hear it
        began = time.monotonic()
        for program in sorted(asked, key=lambda one: one.stop_limit):
            self._gone([program.name], max(0.0, program.stop_limit - (time.monotonic() - began)))
        stubborn = [program.name for program in asked if self.alive(program.name)]
        for name in stubborn:
            self.kill(name)
        for program in asked:
            self.forget(program.name)
        return stubborn

    def names(self) -> list[str]:
        """Every name that has a record, alive or not."""
        return sorted(path.stem for path in self.run.glob("*.json"))

    def end_leftovers(self) -> list[str]:
        """Kill what an earlier supervisor left, by its records; the names of those that still ran."""
        left = [name for name in self.names() if self.alive(name)]
        for name in left:
            self.kill(name)
        for name in self.names():
            self.forget(name)
        return left

    def forget(self, name: str) -> None:
        """Remove the record of a process that is gone."""
        self.reap()
        if not self.alive(name):
            (self.run / f"{name}.json").unlink(missing_ok=True)
            self._children.pop(name, None)

    def reap(self) -> None:
        """Take note of children that have ended, which would stay zombies otherwise."""
        for child in self._children.values():
            child.poll()

    # ------------------------------------------------------------ parts

    def _record(self, name: str, identity: Identity) -> None:
        path = self.run / f"{name}.json"
        new = path.with_suffix(".new")
        record = {"pid": identity.pid, "started": identity.started, "boot": boot_id()}
        new.write_text(json.dumps(record), encoding="utf-8")
        new.replace(path)

    def _gone(self, names: Iterable[str], limit: float) -> None:
        """Return when none of them lives, or the time is over."""
        until = time.monotonic() + limit
        for name in names:
            while self.alive(name) and time.monotonic() < until:
                self.reap()
                time.sleep(0.01)
        self.reap()

    def _must_run(self, program: Program, waited: float) -> None:
        if not self.alive(program.name):
            self.reap()
            raise ProcessFailed(f"{program.name} ended while it started:\n{self.tail(program.name)}")
        if waited > program.start_limit:
            raise ProcessFailed(
                f"{program.name} did not work within {program.start_limit:.0f} s:\n{self.tail(program.name)}"
            )


@cache
def boot_id() -> str:
    """The kernel's name for this boot: records of an earlier one mean nothing."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def memory(pid: int) -> int:
    """Resident bytes of a process and all below it, 0 when it is gone.

    Of children only what they share with nobody is counted: PostgreSQL's share its buffers.
    """
    return _pages(pid, shared=True) + sum(_pages(child, shared=False) for child in descendants(pid))


def _pages(pid: int, *, shared: bool) -> int:
    try:
        fields = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()
        pages = int(fields[1]) - (0 if shared else int(fields[2]))
    except (OSError, IndexError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def cpu_seconds(pid: int) -> float:
    """Processor time used so far, 0 when the process is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(") ")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def give_way(identity: Identity, after: float) -> bool:
    """Lower the priority of a process that has used ``after`` seconds of processor time; whether it has."""
    if not identity.alive or cpu_seconds(identity.pid) < after:
        return False
    for thread in Path(f"/proc/{identity.pid}/task").iterdir():
        with suppress(ProcessLookupError):
            os.setpriority(os.PRIO_PROCESS, int(thread.name), _GIVES_WAY)
    with suppress(OSError):  # where sessions share the processors, niceness counts within one of them alone
        Path(f"/proc/{identity.pid}/autogroup").write_text(str(_GIVES_WAY), encoding="ascii")
    return True


def descendants(pid: int) -> Iterator[int]:
    """Children of a process and theirs, as the kernel knows them now."""
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in task.read_text(encoding="ascii").split():
                yield int(child)
                yield from descendants(int(child))


def _stat(pid: int) -> tuple[str, int] | None:
    """State and start time of a process; the name in between may hold blanks and brackets."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(") ")[2].split()
    return fields[0], int(fields[19])


def _has_threads(pid: int) -> bool:
    """Whether a process whose first thread has ended still runs in others, as a Java does while it dies."""
    try:
        return len(list(Path(f"/proc/{pid}/task").iterdir())) > 1
    except OSError:
        return False


def _absolute(command: tuple[str, ...]) -> list[str]:
    """The command with its program's path: exec searches nothing."""
    program = shutil.which(command[0])
    if program is None:
        raise ProcessFailed(f"The program {command[0]} is not installed.")
    return [program, *command[1:]]


def _environment(own: Mapping[str, str]) -> dict[str, str]:
    """What a program sees: ours without settings of the person who started us, and its own."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("INSURETECH_", "CLUSTER_", "PG", "KAFKA_", "GARAGE_"))
        and name not in {"PORT", "HOST", "DATABASE_URL"}
    }
    return {**kept, **own}
