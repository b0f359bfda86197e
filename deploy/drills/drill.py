"""What every drill does: a crowd in both regions, faults one after the other, then all books for the judge."""

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
from rich.table import Table

from cluster.fetching import PartFailed, Reporter
from deploy.commands import TwinFailed
from deploy.drills.databases import Databases, Sight
from deploy.drills.faults import Fault, Scene, catalogue
from deploy.drills.history import History, Mark
from deploy.drills.judge import SETTLE
from deploy.twin.whole import Twin

_WARM_UP, _SETTLE = 8.0, SETTLE + 3
"""Seconds before the first fault; and after each, longer than what is still counted as felt of it."""
_LOOK_EVERY = 0.5
ROOT = Path(__file__).resolve().parents[2]
URGENT = ("nice", "-n", "-15")
"""Before people's commands: what they use is not ours, and is not slowed down when all of our machines are busy."""


@dataclass(frozen=True)
class Outcome:
    """What a drill showed: a table for the terminal, and what must not have been, in words."""

    table: Table
    violations: tuple[str, ...]


@dataclass(frozen=True)
class Drill(ABC):
    """A drill of some faults on a running twin; ``folder`` is for what comes out."""

    twin: Twin
    folder: Path
    reporter: Reporter

    @property
    def databases(self) -> Databases:
        return Databases(self.twin)

    @property
    def marks(self) -> Path:
        return self.folder / "marks.jsonl"

    @property
    def sights(self) -> Path:
        return self.folder / "sights.jsonl"

    def run(self, faults: Sequence[Fault]) -> Outcome:
        """All of it; the twin is whole before and after each fault."""
        with self.reporter.step("Waiting until all is whole"):
            self.wait_whole()
        self.begin()
        began = time.time()
        with self.marks.open("a", encoding="utf-8") as file:
            marks = History(file)
            with self.crowd() as missing, self._watched():
                time.sleep(_WARM_UP)
                marks.note(Mark(at=time.time(), what="warm"))
                broken = list(self._all_gone_through(faults, marks, missing))
                marks.note(Mark(at=time.time(), what="quiet"))
        with self.reporter.step("Judging"):
            self.wait_whole()
            outcome = self.judged(began, {name: fault.automatic for name, fault in catalogue().items()})
        return Outcome(outcome.table, (*outcome.violations, *broken))

    def begin(self) -> None:
        """Forget what an earlier drill has left, and have ready what the crowd finds."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in (*self.histories, self.marks, self.sights):
            path.unlink(missing_ok=True)
        self.prepare()

    def _all_gone_through(self, faults: Sequence[Fault], marks: History, missing: Callable[[], str]) -> Iterator[str]:
        """What went wrong with the drill itself. Nothing is rehearsed with nobody there; what was seen is judged."""
        for fault in faults:
            if words := self._gone_through(fault, marks):
                yield words
            if words := missing():
                yield f"broken off after {fault.name}: {words}"
                return

    def _gone_through(self, fault: Fault, marks: History) -> str:
        """Go through a fault. Where it cannot be brought to its end, say why, and let the next one come only when all
        is whole in spite of that.
        """
        try:
            with self.reporter.step(f"{fault.name}: {fault.what}"):
                self._go_through(fault, marks)
        except (TwinFailed, PartFailed) as error:
            self.wait_whole()
            return f"broken off: {fault.name}: {error}"
        finally:
            time.sleep(_SETTLE)
        return ""

    def _go_through(self, fault: Fault, marks: History) -> None:
        scene = Scene(self.twin, self.databases)
        if fault.leader:
            scene.databases.lead(fault.leader)
            time.sleep(_SETTLE)
        names: tuple[str, ...] = ()
        marks.note(Mark(at=time.time(), what="begin", fault=fault.name))
        try:
            names = fault.strike(scene)
            time.sleep(fault.lasts)
        finally:
            marks.note(Mark(at=time.time(), what="heal", fault=fault.name, detail=" ".join(names)))
            if names:
                fault.mend(scene, names)
        self.wait_whole()
        self.databases.wait_led_from_witness()
        marks.note(Mark(at=time.time(), what="well", fault=fault.name))
        self.fail_back()

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Note every half second which database says that it leads."""
        over = threading.Event()

        def watch() -> None:
            with self.sights.open("a", encoding="utf-8") as file:
                while not over.wait(_LOOK_EVERY):
                    for sight in self.databases.look():
                        file.write(msgspec.json.encode(sight).decode() + "\n")

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()

    async def primary(self) -> "asyncpg.Connection[Any]":
        """A connection to whoever takes writes, as the administrator, by HAProxy of one of the sites."""
        password = self.databases.password
        errors = []
        for address in self.databases.proxies("spb"):
            try:
                return await asyncpg.connect(
                    host=address,
                    port=5000,
                    user="insuretech",
                    password=password,
                    database="insuretech",
                    ssl=self.databases.tls,
                    timeout=10,
                )
            except (OSError, TimeoutError, asyncpg.PostgresError) as error:
                errors.append(f"{address}: {error}")
        raise TwinFailed(f"The database cannot be reached: {'; '.join(errors)}.")

    # ------------------------------------------------------------ what differs

    @property
    @abstractmethod
    def histories(self) -> tuple[Path, ...]:
        """Where the crowd notes what it did."""

    @abstractmethod
    def wait_whole(self) -> None:
        """Return when everything that is rehearsed is well; raises ``TwinFailed`` when it stays ill."""

    @abstractmethod
    def fail_back(self) -> None:
        """Return when what moved in the meantime is back in its place; raises ``TwinFailed`` when it stays away."""

    @abstractmethod
    def prepare(self) -> None:
        """What the crowd finds when it comes."""

    @abstractmethod
    def crowd(self) -> AbstractContextManager[Callable[[], str]]:
        """People for as long as the block lasts; they bring to an end what they have begun. What is given says who of
        them has ended by themselves, and is empty while all are there.
        """

    @abstractmethod
    def judged(self, began: float, automatic: Mapping[str, bool]) -> Outcome:
        """What is said of the history since ``began``; ``automatic``: whether writes come back by themselves."""


def sightings(path: Path) -> list[Sight]:
    """What was seen of the databases, in the order of time."""
    decoder = msgspec.json.Decoder(Sight)
    with path.open("rb") as file:
        return [decoder.decode(line) for line in file]
