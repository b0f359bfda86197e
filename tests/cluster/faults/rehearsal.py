"""One load run through many faults: warm-up, fault, heal, look, next; then quiet, and all books for the judge."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, sleep, time
from typing import Any

import asyncpg
import httpx
import msgspec
from sqlalchemy.engine import make_url

from cluster.control import Control
from deploy.drills.history import History, Mark, read
from deploy.drills.sale.books import Books, all_reactions, read_books, still_moving
from deploy.drills.sale.judge import Verdict, judge
from deploy.drills.sale.load import Rates
from tests.cluster.faults.agreement import Agreement, watched
from tests.cluster.faults.scenarios import Fault
from tests.system.sandbox import BEST, BEST_PROVIDER

ROOT = Path(__file__).resolve().parents[3]
CONSISTENT_WITHIN = 10.0
"""Seconds after everything is well in which projections must equal their source (issue 4)."""

MOODS: dict[str, dict[str, Any]] = {
    "tihohod": {"delay_min_ms": 300, "delay_max_ms": 900},
    "kabinet": {"outcome": "pending", "pending_ms": 500, "issue": "pending"},
    "zvonok": {"outcome": "pending", "pending_ms": 700, "issue": "pending", "callback": "duplicated"},
    "otkazov": {"outcome": {"offer": 5, "decline": 5}},
    "peremena": {"confirm_change_percent": 8.5},
    "tumanov": {"issue": "unknown_issued", "lookup_after_ms": 800},
}
"""Insurers as they are on an ordinary day; those not named are at their best. The faults are ours."""

PAYABLE = 90
"""Seconds for which the provider lets a payment be paid. An order that ended meanwhile is watched for as long, as the
provider lets nobody take back a payment page."""

SETTINGS = {
    "INSURETECH_INSURER_TIME_LIMIT": "10",
    "INSURETECH_ISSUE_RECHECK": "1",
    "INSURETECH_PAYMENT_DEADLINE": "60",
}
"""Seconds for which people wait in production and a test would wait here."""


class Felt(msgspec.Struct, frozen=True, kw_only=True):
    """What the one who did a fault saw of its mending: seconds until all was healthy, and until projections agreed."""

    fault: str
    names: tuple[str, ...]
    well_after: float
    consistent_after: float
    differences: str = ""


@dataclass
class Rehearsal:
    """A running cluster, people on the street, and a folder for what comes out."""

    control: Control
    folder: Path
    rates: Rates
    felt: list[Felt] = field(default_factory=list)
    began: float = field(default_factory=time)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in (self.calls, self.marks):
            path.unlink(missing_ok=True)

    @property
    def calls(self) -> Path:
        return self.folder / "history.jsonl"

    @property
    def marks(self) -> Path:
        return self.folder / "marks.jsonl"

    # ------------------------------------------------------------ the run

    def run(self, faults: Sequence[Fault], *, warm_up: float = 10.0, settle: float = 1.5) -> None:
        """All faults in one load; the cluster is whole before and after each."""
        self._set_moods()
        _, surroundings = self.control.cluster.services.command()
        with self.marks.open("a", encoding="utf-8") as file, watched(surroundings) as agreement, self.load():
            history = History(file)
            sleep(warm_up)
            history.note(Mark(at=time(), what="warm"))
            for fault in faults:
                self._go_through(fault, history, agreement)
                sleep(settle)
            history.note(Mark(at=time(), what="quiet"))

    def _go_through(self, fault: Fault, history: History, agreement: Agreement) -> None:
        began = datetime.now(UTC)
        history.note(Mark(at=time(), what="begin", fault=fault.name))
        names = fault.strike(self.control)
        sleep(fault.lasts)
        mending = monotonic()
        history.note(Mark(at=time(), what="heal", fault=fault.name, detail=" ".join(names)))
        fault.mend(self.control, names)
        self.control.heal()
        well = monotonic()
        history.note(Mark(at=time(), what="well", fault=fault.name))
        differences = agreement.until_reached(began, CONSISTENT_WITHIN)
        self.felt.append(
            Felt(
                fault=fault.name,
                names=tuple(names),
                well_after=round(well - mending, 1),
                consistent_after=round(monotonic() - well, 1),
                differences=differences,
            )
        )

    @contextmanager
    def load(self) -> Iterator[None]:
        """People arrive for as long as the block lasts; afterwards those on their way finish."""
        command = [sys.executable, "-m", "deploy.drills.sale.load", self.control.public_url, str(self.calls)]
        command += ["--searches", str(self.rates.searches), "--purchases", str(self.rates.purchases)]
        with (self.folder / "load.log").open("wb") as log:
            people = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
            try:
                yield
                assert people.poll() is None, f"the load ended by itself: {(self.folder / 'load.log').read_text()}"
            finally:
                people.terminate()
                people.wait(timeout=90)

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """One of our commands in the surroundings of the cluster's services."""
        command, environment = self.control.cluster.services.command(*words)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("INSURETECH_", "CLUSTER_"))}
        return subprocess.run(
            command, env={**kept, **environment, "NO_COLOR": "1"}, capture_output=True, text=True, check=False
        )

    # ------------------------------------------------------------ the end

    def quiet(self, limit: float = 150.0) -> float:
        """Wait until nothing moves any more; the seconds it took. What still moves then is left to the judge."""
        began = monotonic()
        while asyncio.run(self._moving()) and monotonic() - began < limit:
            sleep(1)
        return round(monotonic() - began, 1)

    async def _moving(self) -> list[str]:
        return await still_moving(self.rows, self._schemas(), self.began)

    def verdict(self) -> Verdict:
        """What the judge says of everything."""
        calls, marks = read(self.calls, self.marks)
        return judge(calls, marks, asyncio.run(self._books()))

    async def _books(self) -> Books:
        async with httpx.AsyncClient(base_url=self.control.public_url, timeout=60, trust_env=False) as http:
            sandbox = (await http.get("/sandbox/api/books")).raise_for_status().json()
        return await read_books(self.rows, sandbox, self.folder, self.began)

    async def rows(self, statement: str) -> list[asyncpg.Record]:
        """What a statement gives, asked as the administrator."""
        url = make_url(self.control.cluster.database_url)
        connection = await asyncpg.connect(
            host=str(url.query["host"]), user=url.username, database=url.database, timeout=10
        )
        try:
            return await connection.fetch(statement)
        finally:
            await connection.close()

    def _schemas(self) -> list[str]:
        return sorted({reaction.database.service for reaction in all_reactions(self.folder)} | {"quotes"})

    def _set_moods(self) -> None:
        """Through the public controls."""
        with httpx.Client(base_url=self.control.public_url, timeout=30, trust_env=False) as http:
            known = [one["code"] for one in http.get("/sandbox/api/insurers").raise_for_status().json()]
            for code in known:
                _put(http, f"/sandbox/api/insurers/{code}", {**BEST, **MOODS.get(code, {})})
            _put(http, "/sandbox/api/payments", {**BEST_PROVIDER, "confirmation_s": PAYABLE})


def _put(http: httpx.Client, path: str, mood: dict[str, Any]) -> None:
    """Set it, again where a connection broke: a replica that a busy machine holds up is left by the balancer."""
    for pause in (1, 2, 4):
        with suppress(httpx.TransportError):
            http.put(path, json=mood).raise_for_status()
            return
        sleep(pause)
    http.put(path, json=mood).raise_for_status()
