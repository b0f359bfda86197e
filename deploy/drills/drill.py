"""One drill of the data layer: clients in both regions, faults one after the other, then all books for the judge."""

import asyncio
import hashlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import msgspec

from cluster.fetching import Reporter
from deploy.commands import TwinFailed
from deploy.drills.databases import Databases, Sight
from deploy.drills.faults import Fault, Scene, catalogue
from deploy.drills.history import History, Mark, read
from deploy.drills.judge import SETTLE, Books, Verdict, judge
from deploy.drills.people import SCHEMA, Client, Crowd
from deploy.twin.whole import Twin

_REGIONS = {"central": "spb", "eastern": "msk"}
"""Regions, and the site that is near to their people."""
_WARM_UP, _SETTLE = 8.0, SETTLE + 3
"""Seconds before the first fault; and after each, longer than what is still counted as felt of it."""
_LOOK_EVERY = 0.5
_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Drill:
    """A drill of some faults on a running twin; ``folder`` is for what comes out."""

    twin: Twin
    folder: Path
    reporter: Reporter
    writers: int = 4
    readers: int = 4

    @property
    def databases(self) -> Databases:
        return Databases(self.twin)

    @property
    def history(self) -> Path:
        return self.folder / "history.jsonl"

    @property
    def marks(self) -> Path:
        return self.folder / "marks.jsonl"

    @property
    def sights(self) -> Path:
        return self.folder / "sights.jsonl"

    def run(self, faults: Sequence[Fault]) -> Verdict:
        """All of it; the twin is whole before and after each fault."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in (self.history, self.marks, self.sights):
            path.unlink(missing_ok=True)
        with self.reporter.step("Waiting until the databases are whole"):
            self.databases.wait_whole()
        asyncio.run(self._prepare())
        with self.marks.open("a", encoding="utf-8") as file:
            marks = History(file)
            with self._crowd(), self._watched():
                time.sleep(_WARM_UP)
                marks.note(Mark(at=time.time(), what="warm"))
                for fault in faults:
                    with self.reporter.step(f"{fault.name}: {fault.what}"):
                        self._go_through(fault, marks)
                    time.sleep(_SETTLE)
                marks.note(Mark(at=time.time(), what="quiet"))
        with self.reporter.step("Judging"):
            self.databases.wait_whole()
            calls, told = read(self.history, self.marks)
            books = asyncio.run(self._books())
            return judge(calls, told, books, {name: fault.automatic for name, fault in catalogue().items()})

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
        self.databases.wait_whole()
        self.databases.wait_led_from_witness()
        marks.note(Mark(at=time.time(), what="well", fault=fault.name))

    # ------------------------------------------------------------ those who look on

    @contextmanager
    def _crowd(self) -> Iterator[None]:
        """Clients write and read for as long as the block lasts, and bring to an end what they have begun."""
        secrets = self.twin.home / "secrets"
        crowd = Crowd(
            clients=tuple(self._clients()),
            authority=str(secrets / "tls" / "ca.crt"),
            password=str(secrets / "postgresql-administrator"),
            history=str(self.history),
        )
        orders = self.folder / "crowd.json"
        orders.write_bytes(msgspec.json.encode(crowd))
        command = [sys.executable, "-m", "deploy.drills.people", str(orders)]
        with (self.folder / "people.log").open("wb") as log:
            people = subprocess.Popen(command, cwd=_ROOT, stdout=log, stderr=log, env=dict(os.environ))
            try:
                yield
                if people.poll() is not None:
                    raise TwinFailed(f"The clients ended by themselves; see {self.folder / 'people.log'}.")
            finally:
                people.terminate()
                people.wait(timeout=150)

    def _clients(self) -> Iterator[Client]:
        for region, site in _REGIONS.items():
            proxies = self.databases.proxies(site)
            for number in range(1, self.writers // 2 + 1):
                yield Client(name=f"{region}-writer-{number}", writes=True, proxies=proxies, every=0.4)
            for number in range(1, self.readers // 2 + 1):
                yield Client(name=f"{region}-reader-{number}", writes=False, proxies=proxies, every=0.4)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Note every half second who says that it leads."""
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

    # ------------------------------------------------------------ the books

    async def _prepare(self) -> None:
        connection = await self._primary()
        try:
            await connection.execute(SCHEMA)
            await connection.execute("truncate drill_orders, drill_effects")
        finally:
            await connection.close()

    async def _books(self) -> Books:
        connection = await self._primary()
        try:
            rows = await connection.fetch(
                "select key, (select count(*) from drill_effects e where e.key = o.key) as effects from drill_orders o"
            )
        finally:
            await connection.close()
        # At rest, all have the same; what each holds is asked inside it, past every proxy.
        return Books(
            effects={row["key"]: row["effects"] for row in rows},
            digests={name: self._digest(name) for name in self.databases.names},
        )

    def _digest(self, name: str) -> str:
        query = "copy (select key, attempts from drill_orders order by key) to stdout"
        command = f'runuser -u postgres -- psql -XAtq -d insuretech -c "{query}"'
        told = self.twin.machine(name).ssh(command, limit=30).stdout
        return hashlib.sha256(told.encode()).hexdigest()

    async def _primary(self) -> "asyncpg.Connection[Any]":
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


def sightings(path: Path) -> list[Sight]:
    """What was seen of the databases, in the order of time."""
    decoder = msgspec.json.Decoder(Sight)
    with path.open("rb") as file:
        return [decoder.decode(line) for line in file]
