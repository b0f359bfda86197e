"""Children: started once, recorded, ended for certain, and nobody else's process ever touched."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.probes import Probe
from cluster.processes import Identity, Processes, ProcessFailed, Program, boot_id
from tests.ports import free_port
from tests.system.running import eventually

_ECHO = """
import signal, socket, sys, time
if sys.argv[2] == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    connection, _ = server.accept()
    connection.recv(100)
    connection.sendall(b"pong")
    connection.close()
"""


def echo(name: str, mood: str = "good", **settings: float) -> Program:
    """A program that answers on a port of its own."""
    port = free_port()
    command = (sys.executable, "-I", "-S", "-c", _ECHO, str(port), mood)
    probe = Probe(("127.0.0.1", port), b"ping", b"pong")
    return Program(name, "echo", command, probe, start_limit=20, stop_limit=settings.get("stop_limit", 5))


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """The programs of a test, gone at its end."""
    processes = Processes(tmp_path)
    yield processes
    processes.end_leftovers()


def test_a_program_is_started_once_and_stopped(processes: Processes) -> None:
    """Two brokers on one folder would destroy it."""
    program = echo("one")
    identity = processes.start(program)
    processes.wait_healthy([program])
    with pytest.raises(ProcessFailed, match="runs already"):
        processes.start(program)

    assert processes.stop([program]) == []
    assert not identity.alive
    assert processes.names() == []


def test_what_does_not_stop_is_killed_and_named(processes: Processes) -> None:
    """A stop that never ends keeps a person at the terminal."""
    program = echo("deaf", "deaf", stop_limit=0.3)
    processes.start(program)
    processes.wait_healthy([program])

    assert processes.stop([program]) == ["deaf"]
    assert not processes.alive("deaf")


def test_a_frozen_one_answers_nothing_until_it_is_resumed(processes: Processes) -> None:
    """A probe that only looked at the port would call it healthy."""
    program = echo("cold")
    identity = processes.start(program)
    processes.wait_healthy([program])

    processes.freeze("cold")
    assert eventually(lambda: identity.frozen, 5)
    assert not program.probe.holds(0.2)
    processes.resume("cold")
    assert eventually(program.probe.holds, 5)


def test_a_frozen_one_is_stopped_all_the_same(processes: Processes) -> None:
    """It would never hear SIGTERM and stay behind."""
    program = echo("cold")
    processes.start(program)
    processes.wait_healthy([program])
    processes.freeze("cold")

    assert processes.stop([program]) == []
    assert not processes.alive("cold")


def test_one_that_ends_while_it_starts_is_told_with_its_log(processes: Processes) -> None:
    """Otherwise a person waits a minute and then has to look for the log."""
    command = (sys.executable, "-I", "-S", "-c", "raise SystemExit('the disk is full')")
    program = Program("broken", "echo", command, Probe(("127.0.0.1", 1), b"", b"-"))
    processes.start(program)
    with pytest.raises(ProcessFailed, match="the disk is full"):
        processes.wait_healthy([program])


def test_another_process_with_the_same_pid_is_never_touched(processes: Processes) -> None:
    """After a restart of the machine the pid in our record may be somebody's editor."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as stranger:
        processes.run.mkdir(parents=True)
        record = {"pid": stranger.pid, "started": 1, "boot": boot_id()}
        (processes.run / "kafka-1.json").write_text(json.dumps(record), encoding="utf-8")

        assert processes.end_leftovers() == []
        assert processes.names() == []
        assert stranger.poll() is None
        stranger.kill()


def test_records_of_an_earlier_boot_mean_nothing(processes: Processes) -> None:
    """Ticks since boot may coincide."""
    processes.run.mkdir(parents=True)
    record = {"pid": os.getpid(), "started": 1, "boot": "earlier"}
    (processes.run / "orders-1.json").write_text(json.dumps(record), encoding="utf-8")

    assert processes.identity("orders-1") is None


def test_children_die_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    """Otherwise forty processes stay on the machine with nobody to stop them."""
    program = echo("orphan")
    starts = (
        "import time; from pathlib import Path; from cluster.processes import Processes, Program\n"
        f"Processes(Path({str(tmp_path)!r})).start(Program('orphan', 'echo', {program.command!r}, None))\n"
        "print('started', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", starts], stdout=subprocess.PIPE, cwd=Path.cwd()) as supervisor:
        assert supervisor.stdout is not None
        assert supervisor.stdout.readline() == b"started\n"
        identity = Processes(tmp_path).identity("orphan")
        assert identity is not None
        assert identity.alive

        supervisor.send_signal(signal.SIGKILL)

        assert eventually(lambda: not identity.alive, 10)


def test_a_process_that_is_gone_takes_no_signal() -> None:
    """Its pid may be somebody else's a moment later."""
    with subprocess.Popen([sys.executable, "-c", "pass"]) as gone:
        time.sleep(0)
    assert not Identity(gone.pid, 1).send(signal.SIGTERM)
