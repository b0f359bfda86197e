"""Up and down again as a person does it, with three tiny programs in place of forty: nothing is ever left behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster import probes
from cluster.processes import Processes
from tests.system.running import eventually

_TINY = Path(__file__).with_name("tiny.py")


class Tiny:
    """A supervisor in a process of its own, over the programs of ``tiny.py``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder.with_suffix(".log")
        self.processes = Processes(folder)

    def up(self, *mood: str) -> "subprocess.Popen[bytes]":
        """Begin."""
        command = [sys.executable, "-m", "tests.unit.cluster.tiny", str(self.folder), *mood]
        with self.log.open("wb") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, cwd=Path.cwd(), start_new_session=True)

    def said(self) -> str:
        """All it told."""
        return self.log.read_text(encoding="utf-8")

    def ready(self) -> bool:
        return "Ready" in self.said()

    def alive(self) -> list[str]:
        """Its programs that live."""
        return [name for name in ("first", "second", "third") if self.processes.alive(name)]


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Tiny]:
    """Three programs, gone at the end whatever happened."""
    tiny = Tiny(tmp_path / "home")
    yield tiny
    tiny.processes.end_leftovers()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_all_backwards_and_leaves_nothing(tiny: Tiny, number: signal.Signals) -> None:
    """Otherwise Ctrl-C leaves servers on the machine, or services without the database they write to."""
    with tiny.up() as supervisor:
        assert eventually(tiny.ready, 30), tiny.said()
        assert tiny.alive() == ["first", "second", "third"]
        supervisor.send_signal(number)
        assert supervisor.wait(30) == 0, tiny.said()

    assert tiny.alive() == []
    stopped = (tiny.folder / "stopped").read_text().split()
    assert set(stopped[:2]) == {"second", "third"}
    assert stopped[2] == "first"
    assert not (tiny.folder / "control.sock").exists()


def test_ctrl_c_during_the_start_leaves_nothing(tiny: Tiny) -> None:
    """Whoever changes their mind would have to look for processes."""
    with tiny.up("slow") as supervisor:
        assert eventually(lambda: tiny.alive() == ["first"], 30), tiny.said()
        supervisor.send_signal(signal.SIGINT)
        assert supervisor.wait(30) == 0, tiny.said()

    assert tiny.alive() == []


def test_what_cannot_start_takes_all_down_and_says_why(tiny: Tiny) -> None:
    """Half a cluster would stay, and the next start would find its ports taken."""
    with tiny.up("broken") as supervisor:
        assert supervisor.wait(30) == 1
    assert "the disk is full" in tiny.said()
    assert tiny.alive() == []


def test_what_was_killed_starts_again_when_asked(tiny: Tiny) -> None:
    """A rehearsal of failures would need a new cluster after each."""
    with tiny.up() as supervisor:
        assert eventually(tiny.ready, 30), tiny.said()
        tiny.processes.kill("second")
        assert eventually(lambda: "second has ended" in tiny.said(), 10)
        socket = tiny.folder / "control.sock"

        assert probes.ask_json(socket, {"start": ["second"]}) == {"started": ["second"]}
        assert "runs already" in probes.ask_json(socket, {"start": ["first"]})["error"]
        assert "error" in probes.ask_json(socket, {"start": ["nobody"]})
        assert "error" in probes.ask_json(socket, {"dance": 1})
        assert tiny.alive() == ["first", "second", "third"]
        supervisor.send_signal(signal.SIGTERM)
        assert supervisor.wait(30) == 0


def test_nothing_outlives_a_supervisor_that_is_killed_and_the_next_one_starts(tiny: Tiny) -> None:
    """A terminal that was closed by force would leave a machine that has to be restarted."""
    with tiny.up() as supervisor:
        assert eventually(tiny.ready, 30), tiny.said()
        tiny.processes.freeze("second")
        os.kill(supervisor.pid, signal.SIGKILL)
        supervisor.wait()
    assert eventually(lambda: tiny.alive() == [], 10)

    with tiny.up() as again:
        assert eventually(tiny.ready, 30), tiny.said()
        again.send_signal(signal.SIGTERM)
        assert again.wait(30) == 0


def test_a_second_one_on_the_same_folder_is_refused(tiny: Tiny) -> None:
    """Two would write over each other's data."""
    with tiny.up() as supervisor:
        assert eventually(tiny.ready, 30), tiny.said()
        second = Tiny(tiny.folder)
        second.log = tiny.folder.with_suffix(".second")
        with second.up() as refused:
            assert refused.wait(30) == 1
        assert f"runs in {tiny.folder} already (process {supervisor.pid})" in second.said()
        assert tiny.alive() == ["first", "second", "third"]
        supervisor.send_signal(signal.SIGTERM)
        assert supervisor.wait(30) == 0
