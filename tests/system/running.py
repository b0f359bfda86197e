"""The real marketplace as a person starts it: `insuretech serve` in a process group of its own, on a folder of its own.

What a test may do to it is what the world may do: send requests, stop it politely, kill it, start it again.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from insuretech.kit.embedded_postgres import SUPERUSER, EmbeddedPostgres
from tests.ports import free_port

COMMAND = Path(sys.executable).with_name("insuretech")
START_LIMIT = 170.0  # seconds; a cold start on a busy machine, far above the 5 s we aim at
STOP_LIMIT = 60.0


class MarketplaceFailed(Exception):
    """The marketplace did not start or stop as it should; the message carries the end of its log."""


@dataclass
class RunningMarketplace:
    """One marketplace on one folder; the port stays the same over restarts.

    ``settings`` are environment variables beside ``PORT`` and ``INSURETECH_HOME``.
    """

    home: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    port: int = 0
    ready_after: float = 0.0
    _process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.port = self.port or free_port()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        """Everything the process said on both outputs, over all starts."""
        return self.home.with_name(f"{self.home.name}.log")

    @property
    def pid(self) -> int:
        """The process that was started; it leads the group."""
        assert self._process is not None, "not started"
        return self._process.pid

    @property
    def database(self) -> EmbeddedPostgres:
        """Where its database answers while it runs."""
        return EmbeddedPostgres(self.home / "postgres")

    async def rows(self, statement: str, *arguments: object) -> list[asyncpg.Record]:
        """What a statement gives, asked as the administrator of its database."""
        connection = await asyncpg.connect(
            host=str(self.database.socket_folder), user=SUPERUSER, database="insuretech", timeout=60
        )
        try:
            return await connection.fetch(statement, *arguments)
        finally:
            await connection.close()

    def start(self) -> None:
        """Start and return at the line ``Ready:``; ``ready_after`` holds the seconds it took."""
        began = time.monotonic()
        seen = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [str(COMMAND), "serve"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.environment(),
                start_new_session=True,
            )
        process = self._process

        def ready() -> bool:
            if process.poll() is not None:
                raise MarketplaceFailed(f"It ended with code {process.returncode}:\n{self.tail()}")
            with self.log.open("rb") as log:
                log.seek(seen)
                return b"Ready: " + self.base_url.encode() in log.read()

        if not eventually(ready, START_LIMIT):
            self.kill_group()
            raise MarketplaceFailed(f"It was not ready within {START_LIMIT:g} s:\n{self.tail()}")
        self.ready_after = time.monotonic() - began

    def environment(self) -> dict[str, str]:
        """What the process sees: ours without settings of the person who runs the tests."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("INSURETECH_")}
        return {
            **kept,
            "PORT": str(self.port),
            "INSURETECH_HOME": str(self.home),
            "PYTHONUNBUFFERED": "1",
            "NO_COLOR": "1",
            **self.settings,
        }

    def stop(self) -> float:
        """Ask it to stop as ``docker stop`` does; the seconds it took. Fails on a bad exit or anything left behind."""
        began = time.monotonic()
        process = self._taken()
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self._kill(process)
            raise MarketplaceFailed(f"It did not stop within {STOP_LIMIT:g} s:\n{self.tail()}") from None
        took = time.monotonic() - began
        if code != 0:
            raise MarketplaceFailed(f"It stopped with code {code}:\n{self.tail()}")
        if not eventually(lambda: not list(self.processes()), 20.0):
            raise MarketplaceFailed(f"Processes were left behind: {list(self.processes())}")
        return took

    def kill_group(self) -> None:
        """SIGKILL to the whole group, as when power or memory ends; nothing gets to say goodbye."""
        self._kill(self._taken())

    def restart_after_kill(self) -> None:
        self.kill_group()
        self.start()

    def processes(self) -> Iterator[int]:
        """Every living process that belongs to this marketplace, the database's too."""
        mark = f"INSURETECH_HOME={self.home}\0".encode()
        folder = str(self.home.resolve())
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal() and int(entry.name) != os.getpid():
                with suppress(OSError):
                    works_here = str((entry / "cwd").readlink()).startswith(folder)
                    if works_here or mark in (entry / "environ").read_bytes():
                        yield int(entry.name)

    def tail(self, size: int = 4000) -> str:
        """The end of its log."""
        return self.log.read_bytes()[-size:].decode(errors="replace")

    def _taken(self) -> subprocess.Popen[bytes]:
        process, self._process = self._process, None
        assert process is not None, "not started"
        return process

    @staticmethod
    def _kill(process: subprocess.Popen[bytes]) -> None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def __enter__(self) -> "RunningMarketplace":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Whatever happened, nothing stays running, and nothing of a killed one stays in /tmp."""
        if self._process is not None:
            self.kill_group()
        shutil.rmtree(self.database.socket_folder, ignore_errors=True)


def strain() -> float:
    """How many times longer than alone on the machine a thing may take now: the load of each processor, at least 1.

    What we promise of a start or a stop is for a machine that is there for us; tests share theirs.
    """
    return max(1.0, os.getloadavg()[0] / len(os.sched_getaffinity(0)))


def eventually(holds: Callable[[], bool], within: float, pause: float = 0.02) -> bool:
    """Whether a condition comes true in time."""
    until = time.monotonic() + within
    while not holds():
        if time.monotonic() > until:
            return False
        time.sleep(pause)
    return True
