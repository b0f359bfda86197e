"""The screen: what it shows is what is there, and keys do what they say to the process under the cursor."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from rich.text import Text
from textual.widgets import DataTable, Static

from cluster.control import DEAD, HEALTHY, Control, State
from cluster.top import Screen, summary
from cluster.watching import Snapshot, Watcher, counters_of, sums

METRICS = """\
# HELP insuretech_consumer_lag Records that a service has not handled yet, by topic.
insuretech_consumer_lag{service="orders",topic="quotes.offer.v1"} 3.0
insuretech_consumer_lag{service="orders",topic="documents.document.v1"} 4.0
insuretech_relay_backlog{service="orders"} 1e+02
python_gc_objects_collected_total{generation="0"} 51.0
"""


class Far(Control):
    """A cluster of three processes that exists in this test only."""

    def __init__(self) -> None:
        self.done: list[tuple[str, str]] = []
        self.dead: set[str] = set()
        self.requests = 0

    def services(self) -> list[str]:
        return ["orders-1", "orders-2"]

    def states(self) -> list[State]:
        return [
            State(name, role, "spb", DEAD if name in self.dead else HEALTHY, 0, 50_000_000, Path("log"))
            for name, role in (("kafka-1", "kafka"), ("orders-1", "orders"), ("orders-2", "orders"))
        ]

    def metrics(self, name: str) -> str:
        if name in self.dead:
            raise OSError(name)
        return METRICS

    def balancer(self) -> list[dict[str, str]]:
        self.requests += 100
        return [
            {"pxname": "public", "svname": "FRONTEND", "req_tot": str(self.requests), "hrsp_5xx": "", "scur": "7"},
            {"pxname": "orders", "svname": "orders-1", "stot": str(self.requests // 2)},
            {"pxname": "orders", "svname": "BACKEND", "stot": "5"},
        ]

    def kill(self, *names: str) -> None:
        self.done += [("kill", name) for name in names]
        self.dead |= set(names)

    def freeze(self, *names: str) -> None:
        self.done += [("freeze", name) for name in names]

    def resume(self, *names: str) -> None:
        self.done += [("resume", name) for name in names]

    def revive(self, *names: str) -> None:
        self.done += [("revive", name) for name in names or ("everything",)]
        self.dead -= set(names) or self.dead


@pytest.fixture
def far() -> Far:
    """A cluster to look at."""
    return Far()


def test_metrics_are_added_up_over_their_labels() -> None:
    """A lag in one topic of many would be hidden by the last line."""
    assert sums(METRICS) == {"insuretech_consumer_lag": 7.0, "insuretech_relay_backlog": 100.0}


def test_events_that_wait_are_counted_once_though_each_replica_counts_them(far: Far) -> None:
    """Three replicas would show three times the backlog."""
    snapshot = Watcher(far).look()

    assert snapshot.waiting == 100
    assert snapshot.lag == 14


def test_rates_are_what_came_since_the_last_look(far: Far) -> None:
    """A total that only grows says nothing of now."""
    watcher = Watcher(far)
    first = watcher.look()
    watcher._moment -= 10.0
    second = watcher.look()

    assert first.rate == 0
    assert second.rate == pytest.approx(10.0, rel=0.1)
    assert second.rows[1].rate == pytest.approx(5.0, rel=0.1)
    assert second.open_requests == 7


def test_a_counter_that_began_anew_gives_no_rate(far: Far) -> None:
    """A restarted balancer would show minus a million requests a second."""
    watcher = Watcher(far)
    watcher.look()
    far.requests = -100

    assert watcher.look().rate == 0


def test_a_dead_process_is_a_row_without_figures(far: Far) -> None:
    """The screen would stop at the very moment it is needed."""
    far.kill("orders-2")
    snapshot = Watcher(far).look()

    assert snapshot.rows[2].lag is None
    assert snapshot.unwell == ["orders-2"]
    assert "unwell: orders-2" in summary(snapshot)


def test_counters_of_a_silent_balancer_are_zero() -> None:
    """Its cells are empty right after its start."""
    row = {"pxname": "public", "svname": "FRONTEND", "req_tot": "", "hrsp_5xx": "", "scur": ""}
    assert counters_of([row])["requests:public"] == 0.0


def table_of(screen: Screen) -> "DataTable[Text]":
    """The processes as they are shown."""
    return screen.query_one(DataTable)


async def test_keys_act_on_the_process_under_the_cursor(far: Far) -> None:
    """Killing the wrong one in a rehearsal in front of others."""
    screen = Screen(far, interval=0.05)
    async with screen.run_test(size=(120, 30)) as pilot:
        await pilot.pause(0.5)
        assert table_of(screen).row_count == 3
        await pilot.press("down", "k")
        await pilot.pause(0.5)
        state = table_of(screen).get_row("orders-1")[2].plain
        await pilot.press("f", "r", "v", "a")
        await pilot.pause(0.5)

    assert state == DEAD
    assert set(far.done) == {
        *((deed, "orders-1") for deed in ("kill", "freeze", "resume", "revive")),
        ("revive", "everything"),
    }


@dataclass
class Deaf(Far):
    """Orders to it fail."""

    done: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        Far.__init__(self)

    def kill(self, *names: str) -> None:
        raise OSError(f"nobody takes orders for {names[0]}")


async def test_an_order_that_fails_is_told_and_the_screen_goes_on() -> None:
    """The screen would be gone when the supervisor is."""
    screen = Screen(Deaf(), interval=0.05)
    async with screen.run_test(size=(120, 30)) as pilot:
        await pilot.pause(0.3)
        await pilot.press("k")
        await pilot.pause(0.5)
        told = str(screen.query_one("#said", Static).render())

    assert told == "kill kafka-1: nobody takes orders for kafka-1"
    assert isinstance(Snapshot().rows, tuple)
