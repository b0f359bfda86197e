"""A drill of the databases: clients of theirs in both regions write and read through the sites' HAProxies."""

import asyncio
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from deploy.drills import report
from deploy.drills.drill import ROOT, URGENT, Drill, Outcome, sightings
from deploy.drills.history import read
from deploy.drills.judge import Books, judge
from deploy.drills.people import SCHEMA, Client, Crowd
from deploy.twin import person


@dataclass(frozen=True)
class DatabaseDrill(Drill):
    """Clients of the databases, in both regions."""

    writers: int = 4
    readers: int = 4

    @property
    def histories(self) -> tuple[Path, ...]:
        return (self.folder / "history.jsonl",)

    def wait_whole(self) -> None:
        self.databases.wait_whole()

    def fail_back(self) -> None:
        """Which database leads is only a matter of distance."""

    def prepare(self) -> None:
        asyncio.run(self._prepare())

    def judged(self, began: float, automatic: Mapping[str, bool]) -> Outcome:
        del began  # the tables are emptied before each drill
        calls, told = read(*self.histories, self.marks)
        verdict = judge(calls, told, asyncio.run(self._books()), automatic)
        report.write(self.folder, verdict, calls, told, sightings(self.sights))
        return Outcome(report.table(verdict), tuple(f"{one.charge}: {one.text}" for one in verdict.violations))

    # ------------------------------------------------------------ those who look on

    @contextmanager
    def crowd(self) -> Iterator[Callable[[], str]]:
        secrets = self.twin.home / "secrets"
        crowd = Crowd(
            clients=tuple(self._clients()),
            authority=str(secrets / "tls" / "ca.crt"),
            password=str(secrets / "postgresql-administrator"),
            history=str(self.histories[0]),
        )
        orders = self.folder / "crowd.json"
        orders.write_bytes(msgspec.json.encode(crowd))
        command = [*URGENT, sys.executable, "-m", "deploy.drills.people", str(orders)]
        with (self.folder / "people.log").open("wb") as log:
            people = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, env=dict(os.environ))
            try:
                ended = f"the clients ended by themselves; see {self.folder / 'people.log'}"
                yield lambda: "" if people.poll() is None else ended
            finally:
                people.terminate()
                people.wait(timeout=150)

    def _clients(self) -> Iterator[Client]:
        for region, site in person.NEAR.items():
            proxies = self.databases.proxies(site)
            for number in range(1, self.writers // 2 + 1):
                yield Client(name=f"{region}-writer-{number}", writes=True, proxies=proxies, every=0.4)
            for number in range(1, self.readers // 2 + 1):
                yield Client(name=f"{region}-reader-{number}", writes=False, proxies=proxies, every=0.4)

    # ------------------------------------------------------------ the books

    async def _prepare(self) -> None:
        connection = await self.primary()
        try:
            await connection.execute(SCHEMA)
            await connection.execute("truncate drill_orders, drill_effects")
        finally:
            await connection.close()

    async def _books(self) -> Books:
        connection = await self.primary()
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
