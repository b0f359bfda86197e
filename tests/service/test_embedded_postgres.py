"""The embedded database starts, survives and fails the way a person on one machine expects."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest

from insuretech.kit.embedded_postgres import EmbeddedPostgres, EmbeddedPostgresFailed

_PARENT = """
import sys, time
from pathlib import Path
from insuretech.kit.embedded_postgres import EmbeddedPostgres
EmbeddedPostgres(Path(sys.argv[1])).start()
print("ready", flush=True)
time.sleep(60)
"""

_AS_NOBODY = """
import os, sys
from pathlib import Path
from insuretech.kit.embedded_postgres import EmbeddedPostgres, EmbeddedPostgresFailed
if os.geteuid() == 0:
    os.setuid(65534)
try:
    EmbeddedPostgres(Path(sys.argv[1])).start()
except EmbeddedPostgresFailed as error:
    print(error)
"""


async def query(server: EmbeddedPostgres, sql: str) -> object:
    """The first value a statement gives."""
    connection = await asyncpg.connect(host=str(server.socket_folder), user="postgres", database="postgres")
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


def postmaster_of(server: EmbeddedPostgres) -> int:
    """The process that all others of a server come from."""
    return int((server.data / "postmaster.pid").read_text().splitlines()[0])


def servers_in(folder: Path) -> list[int]:
    """Processes that work in the folder of the data."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal() and (entry / "cwd").readlink() == folder:
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def eventually(holds: Callable[[], bool], within: float = 10.0) -> bool:
    """Whether a condition comes true in time."""
    until = time.monotonic() + within
    while not holds():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that runs a database under the folder ``shop``."""
    command = [sys.executable, "-c", _PARENT, str(tmp_path / "shop")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        kill(process)
    shutil.rmtree(EmbeddedPostgres(tmp_path / "shop").socket_folder, ignore_errors=True)


def kill(process: subprocess.Popen[str]) -> None:
    """SIGKILL the whole group, as the kernel does when memory ends or a person is impatient."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


async def test_kill_leaves_no_server_and_keeps_the_data(tmp_path: Path, parent: subprocess.Popen[str]) -> None:
    """Otherwise a crash costs the buyer's paid order, or an invisible server holds the folder for ever."""
    server = EmbeddedPostgres(tmp_path / "shop")
    await query(server, "create table paid as select 42 as amount")

    kill(parent)

    assert eventually(lambda: not servers_in(server.data))
    with server:
        assert await query(server, "select amount from paid") == 42


async def test_processes_that_outlived_a_crash_are_ended_first(tmp_path: Path, parent: subprocess.Popen[str]) -> None:
    """Otherwise a start right after a crash fails, because an old session has not yet let go of the data."""
    server = EmbeddedPostgres(tmp_path / "shop")
    session = await asyncpg.connect(host=str(server.socket_folder), user="postgres", database="postgres")
    await session.execute("create table paid as select 42 as amount")
    os.kill(session.get_server_pid(), signal.SIGSTOP)
    os.kill(postmaster_of(server), signal.SIGKILL)
    kill(parent)
    assert eventually(lambda: servers_in(server.data) == [session.get_server_pid()])

    with server:
        assert await query(server, "select amount from paid") == 42

    assert not servers_in(server.data)
    session.terminate()


@pytest.mark.usefixtures("parent")
async def test_second_instance_on_the_same_data_is_refused_in_one_sentence(tmp_path: Path) -> None:
    """Otherwise two shops write over each other, or the person sees a stack trace instead of the reason."""
    server = EmbeddedPostgres(tmp_path / "shop")

    with pytest.raises(EmbeddedPostgresFailed, match=r"already in use by another running instance \(process \d+\)\.$"):
        server.start()

    assert await query(server, "select 1") == 1


def test_unusable_folder_is_said_in_one_sentence(tmp_path: Path) -> None:
    """Otherwise a typing error in INSURETECH_HOME shows a stack trace."""
    (tmp_path / "shop").write_text("a file where a folder should be")

    with pytest.raises(EmbeddedPostgresFailed, match=r"^The folder \S+ cannot be used: \S+: .+\.$"):
        EmbeddedPostgres(tmp_path / "shop").start()


def test_folder_without_permission_is_said_in_one_sentence(tmp_path: Path) -> None:
    """Otherwise a folder of another user shows a stack trace; run as nobody where the tests run as root."""
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    if os.geteuid() == 0:
        for folder in (tmp_path, *tmp_path.parents[:2]):
            folder.chmod(0o755)

    said = subprocess.run(
        [sys.executable, "-c", _AS_NOBODY, str(locked / "shop")], capture_output=True, text=True, check=False
    )

    assert said.stdout == f"The folder {locked}/shop cannot be used: {locked}/shop: Permission denied.\n", said.stderr


def test_broken_data_are_said_in_one_sentence_and_not_touched(tmp_path: Path) -> None:
    """Otherwise damage to the disk looks like an error of the program, or worse, a new empty shop is opened over it."""
    server = EmbeddedPostgres(tmp_path / "shop", durable=False)
    server.start()
    server.stop()
    control = server.data / "global" / "pg_control"
    control.write_bytes(b"\0" * 8192)

    with pytest.raises(EmbeddedPostgresFailed, match=r"^The database in \S+ does not start: .+ \(its log is \S+\)\.$"):
        server.start()

    assert control.read_bytes() == b"\0" * 8192
    (server.data / "PG_VERSION").write_text("9.6\n")
    with pytest.raises(EmbeddedPostgresFailed, match=r"is of PostgreSQL 9\.6, while PostgreSQL 18 is needed\.$"):
        server.start()


async def test_stop_does_not_wait_for_open_transactions(tmp_path: Path) -> None:
    """Otherwise Ctrl-C hangs for as long as somebody's request does."""
    server = EmbeddedPostgres(tmp_path / "shop", durable=False)
    server.start()
    connection = await asyncpg.connect(host=str(server.socket_folder), user="postgres", database="postgres")
    await connection.execute("begin")

    began = time.monotonic()
    server.stop()

    assert time.monotonic() - began < 2
    assert not servers_in(server.data)
    assert not server.socket_folder.exists()
    connection.terminate()


async def test_ctrl_c_in_the_terminal_does_not_reach_the_database(
    tmp_path: Path, parent: subprocess.Popen[str]
) -> None:
    """Otherwise the database goes away under requests that are being answered while we stop."""
    server = EmbeddedPostgres(tmp_path / "shop")

    assert os.getpgid(postmaster_of(server)) != parent.pid

    kill(parent)
    assert eventually(lambda: not servers_in(server.data))
