"""A drill goes on when one of its faults cannot be brought to its end, and is judged when those who look on leave."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import cast

import pytest
from rich.console import Console
from rich.table import Table

from cluster.fetching import PartFailed, Reporter
from deploy.drills import drill
from deploy.drills.drill import Drill, Outcome
from deploy.drills.faults import Fault, Scene
from deploy.twin.whole import Twin


class Rehearsal(Drill):
    """A drill without a crowd, on no twin at all."""

    @property
    def histories(self) -> tuple[Path, ...]:
        return (self.folder / "history.jsonl",)

    def wait_whole(self) -> None:
        (self.folder / "whole").touch()

    def fail_back(self) -> None:
        """Nothing has moved."""

    def prepare(self) -> None:
        """Nobody comes."""

    @contextmanager
    def crowd(self) -> Iterator[Callable[[], str]]:
        yield lambda: "nobody is there" if (self.folder / "gone").exists() else ""

    @contextmanager
    def _watched(self) -> Iterator[None]:
        yield

    def judged(self, began: float, automatic: Mapping[str, bool]) -> Outcome:
        del began, automatic
        return Outcome(Table(), ("late: one of them",))


class Nobody:
    """Databases that are always led from the witness."""

    def __init__(self, twin: Twin) -> None:
        del twin

    def wait_led_from_witness(self) -> None:
        """At once."""


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pauses, and without databases."""
    monkeypatch.setattr(drill, "_WARM_UP", 0.0)
    monkeypatch.setattr(drill, "_SETTLE", 0.0)
    monkeypatch.setattr(drill, "Databases", Nobody)


def rehearsed(folder: Path, strike: Callable[[str], None], mend: Callable[[str], None] = lambda _: None) -> Outcome:
    """Three faults; what strikes and mends each is told its name."""

    def fault(name: str) -> Fault:
        def strikes(scene: Scene) -> tuple[str, ...]:
            del scene
            strike(name)
            return (name,)

        return Fault(name, "something", strikes, lambda _, names: mend(*names), lasts=0.0)

    drilled = Rehearsal(cast("Twin", None), folder, Reporter(Console(file=StringIO())))
    return drilled.run([fault(name) for name in ("first", "second", "third")])


def test_a_fault_that_breaks_off_does_not_take_the_others_along(tmp_path: Path) -> None:
    """An hour of faults that were gone through would come to nothing, and nobody would be told which one was not."""
    struck: list[str] = []
    mended: list[str] = []

    def strike(name: str) -> None:
        struck.append(name)
        if name == "second":
            raise PartFailed("the playbook stopped")

    told = rehearsed(tmp_path, strike, mended.append)

    assert struck == ["first", "second", "third"]
    assert mended == ["first", "third"]
    assert told.violations == ("late: one of them", "broken off: second: the playbook stopped")


def test_a_drill_that_nobody_looks_at_any_more_ends_and_is_judged(tmp_path: Path) -> None:
    """Half an hour more of faults would be seen by nobody, and what was seen before would be thrown away."""
    struck: list[str] = []

    def strike(name: str) -> None:
        struck.append(name)
        if name == "second":
            (tmp_path / "gone").touch()

    told = rehearsed(tmp_path, strike)

    assert struck == ["first", "second"]
    assert told.violations == ("late: one of them", "broken off after second: nobody is there")
