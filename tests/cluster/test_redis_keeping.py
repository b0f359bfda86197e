"""Six Redis nodes become one cluster, and one again after disks were lost, without a person."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import redis

from cluster.ports import free_base
from insuretech.kit.redis_keeping import Entry, keep

pytestmark = pytest.mark.cluster
_LIMIT = 40.0  # seconds


@dataclass
class Nodes:
    """Servers of this test, each with its bus where it is by default."""

    folder: Path
    base: int
    running: dict[int, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        return [f"127.0.0.1:{self.base + number}" for number in range(6)]

    def start(self, number: int) -> None:
        folder = self.folder / str(number)
        folder.mkdir(exist_ok=True)
        settings = {
            "port": self.base + number,
            "dir": folder,
            "bind": "127.0.0.1",
            "cluster-enabled": "yes",
            "cluster-node-timeout": 1000,
            "cluster-require-full-coverage": "no",
            "cluster-allow-replica-migration": "no",
            "save": '""',
        }
        words = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
        with (folder / "log").open("ab") as log:
            self.running[number] = subprocess.Popen(["redis-server", *words], stdout=log, stderr=log)

    def lose(self, number: int) -> None:
        """Power and disk of a node."""
        self.running[number].kill()
        self.running.pop(number).wait()
        shutil.rmtree(self.folder / str(number))

    def stop(self) -> None:
        for process in self.running.values():
            process.kill()
            process.wait()

    def masters(self) -> set[int]:
        """Numbers of the nodes that serve slots, as each sees itself."""
        found = set()
        for number in self.running:
            with redis.Redis(port=self.base + number, decode_responses=True, socket_timeout=3) as client:
                client.response_callbacks.clear()
                entries = [Entry.of(line) for line in str(client.execute_command("CLUSTER", "NODES")).splitlines()]
                if any("myself" in entry.flags and entry.slots for entry in entries):
                    found.add(number)
        return found

    def served(self) -> bool:
        """Whether every node sees every slot served."""
        for number in self.running:
            with redis.Redis(port=self.base + number, decode_responses=True, socket_timeout=3) as client:
                facts = str(client.execute_command("CLUSTER", "INFO")).split()
                if not {"cluster_slots_ok:16384", "cluster_known_nodes:6"} <= set(facts):
                    return False
        return True


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    """Six new ones that know nobody."""
    made = Nodes(tmp_path, free_base(size=10))
    for number in range(6):
        made.start(number)
    yield made
    made.stop()


def until_kept(nodes: Nodes) -> None:
    """Passes until all is well, as the keeper makes them."""
    until = time.monotonic() + _LIMIT
    while True:
        done = keep(nodes.names)
        if not done and nodes.served():
            return
        assert time.monotonic() < until, done
        time.sleep(0.3)


def test_new_nodes_become_one_cluster_whose_pairs_are_as_they_are_named(nodes: Nodes) -> None:
    """A pair in one site would die with it."""
    until_kept(nodes)

    assert nodes.masters() == {0, 1, 2}
    for number in range(3):
        with redis.Redis(port=nodes.base + number + 3, decode_responses=True) as copy:
            assert copy.info("replication")["master_port"] == nodes.base + number
    assert keep(nodes.names) == []


@pytest.mark.parametrize("lost", [(0,), (4,), (1, 4), (0, 1, 2, 3, 4, 5)], ids=str)
def test_nodes_that_lost_their_disks_are_taken_in_again(nodes: Nodes, lost: tuple[int, ...]) -> None:
    """A third of what is read would come from the database for ever, and nobody would notice."""
    until_kept(nodes)
    for number in lost:
        nodes.lose(number)
    time.sleep(2.5)  # the others have noticed
    for number in lost:
        nodes.start(number)

    until_kept(nodes)
    assert len(nodes.masters()) == 3
    assert {number % 3 for number in nodes.masters()} == {0, 1, 2}


def test_nothing_is_given_away_while_a_node_is_only_absent(nodes: Nodes) -> None:
    """It would come back with what it had, and find its place taken."""
    until_kept(nodes)
    nodes.running[5].kill()
    nodes.running.pop(5).wait()
    time.sleep(2.5)
    assert keep(nodes.names) == []

    nodes.start(5)
    until_kept(nodes)
    assert nodes.masters() == {0, 1, 2}
