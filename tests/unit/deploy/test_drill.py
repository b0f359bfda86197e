"""A drill goes on when one of its faults cannot be brought to its end."""

from collections.abc import Iterator, Mapping
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
    def crowd(self) -> Iterator[None]:
        yield

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


def test_a_fault_that_breaks_off_does_not_take_the_others_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An hour of faults that were gone through would come to nothing, and nobody would be told which one was not."""
    monkeypatch.setattr(drill, "_WARM_UP", 0.0)
    monkeypatch.setattr(drill, "_SETTLE", 0.0)
    monkeypatch.setattr(drill, "Databases", Nobody)
    struck: list[str] = []
    mended: list[str] = []

    def strike(name: str) -> Fault:
        def strikes(scene: Scene) -> tuple[str, ...]:
            del scene
            struck.append(name)
            if name == "second":
                raise PartFailed("the playbook stopped")
            return (name,)

        return Fault(name, "something", strikes, lambda _, names: mended.extend(names), lasts=0.0)

    told = Rehearsal(cast("Twin", None), tmp_path, Reporter(Console(file=StringIO()))).run(
        [strike(name) for name in ("first", "second", "third")]
    )

    assert struck == ["first", "second", "third"]
    assert mended == ["first", "third"]
    assert told.violations == ("late: one of them", "broken off: second: the playbook stopped")
