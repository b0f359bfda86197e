"""A drill of the whole: people of both regions search and buy by the names they know while parts of the twin fail."""

import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import httpx
import msgspec
from rich.table import Table

from deploy import console
from deploy.commands import TwinFailed
from deploy.drills import report
from deploy.drills.database_drill import DatabaseDrill
from deploy.drills.drill import ROOT, URGENT, Drill, Outcome, sightings
from deploy.drills.history import read
from deploy.drills.judge import READ_GOAL, WRITE_GOAL
from deploy.drills.sale.books import all_reactions, left_behind, read_books, still_moving
from deploy.drills.sale.judge import Charge, Verdict, Violation, Window, judge
from deploy.twin import network, person
from deploy.twin.inside import kubectl, look
from deploy.twin.readiness import wait_well
from tests.system.sandbox import BEST, BEST_PROVIDER

_WHOLE = 900.0
_QUIET = 240.0
_ANSWER = 60.0
"""Seconds until all pods are ready again; until nothing moves any more; for one answer."""
_PAYABLE = 90
"""Seconds for which the provider lets a payment be paid."""
_SPREAD_AGAIN = 600.0
"""Seconds within which the descheduler has services in both sites again."""
_HANDED_ON = 30.0
"""Seconds after which an event that still waits for Kafka has stayed behind."""
_AGREED = 10.0
"""Seconds in which projections must equal their source once all is well."""
_CHECKS: tuple[tuple[Charge, str, tuple[str, ...]], ...] = (
    ("differs", "projections do not equal their source", ("projections", "check", "--patience", str(_AGREED))),
    ("document", "files are not as they were kept", ("documents", "check", "--json")),
)
_COLUMNS = (
    "fault",
    "no write for",
    "no read for",
    "no purchase for",
    "well after",
    "attempts",
    "unknown",
    "p99",
    "goal",
)


@dataclass(frozen=True)
class Market(Drill):
    """``searches`` and ``purchases`` arrive a second in each region, whatever becomes of those before them.

    Beside them two clients of the databases write and two read, as a probe for two primaries at once: what people do
    does not tell which database took it.
    """

    searches: float = 0.6
    purchases: float = 0.2

    @property
    def histories(self) -> tuple[Path, ...]:
        return tuple(self.folder / f"history-{region}.jsonl" for region in person.NEAR)

    @property
    def probe(self) -> DatabaseDrill:
        return DatabaseDrill(self.twin, self.folder / "databases", self.reporter, writers=2, readers=2)

    def wait_whole(self) -> None:
        """Databases, sites, nodes and every pod."""
        self.databases.wait_whole()
        wait_well(self.twin, _WHOLE)

    def fail_back(self) -> None:
        """Wait until services that one site has taken over stand in both again and no event has stayed behind, both of
        which come to be by themselves: the next fault must not put right what this one has left.
        """
        self._until(self._spread, _SPREAD_AGAIN, "services stand in both sites")
        schemas = self._schemas()
        self._until(lambda: not asyncio.run(left_behind(self.rows, schemas, _HANDED_ON)), _QUIET, "events go on")
        self.wait_whole()

    def _until(self, done: Callable[[], bool], limit: float, what: str) -> None:
        until = time.monotonic() + limit
        while not done():
            if time.monotonic() > until:
                raise TwinFailed(f"After {limit:.0f} s it is still not so that {what}.")
            time.sleep(2)

    def _spread(self) -> bool:
        places = [set(one.ready) for one in look(self.twin).workloads if one.service]
        return bool(places) and all(len(zones) >= len(person.NEAR) for zones in places)

    def _schemas(self) -> list[str]:
        """Schemas of services that have events."""
        return sorted({one.database.service for one in all_reactions(self.folder)} | {"quotes"})

    def prepare(self) -> None:
        """Insurers and the provider at their best: the faults are ours."""
        with self._at_a_site() as http:
            for one in http.get("/sandbox/api/insurers").raise_for_status().json():
                http.put(f"/sandbox/api/insurers/{one['code']}", json=BEST).raise_for_status()
            mood = {**BEST_PROVIDER, "confirmation_s": _PAYABLE}
            http.put("/sandbox/api/payments", json=mood).raise_for_status()
        self.probe.begin()

    @contextmanager
    def crowd(self) -> Iterator[Callable[[], str]]:
        with ExitStack() as stack:
            pairs = zip(person.NEAR, self.histories, strict=True)
            loads = [stack.enter_context(self._load(region, path)) for region, path in pairs]
            probing = stack.enter_context(self.probe.crowd())
            ended = f"the people ended by themselves; see {self.folder}/load-*.log"
            yield lambda: ended if any(load.poll() is not None for load in loads) else probing()

    @contextmanager
    def _load(self, region: str, path: Path) -> "Iterator[subprocess.Popen[bytes]]":
        where = network.NAMESPACES / network.people_of(self.twin.inventory, region)
        command = [
            *URGENT,
            *("nsenter", f"--net={where}", sys.executable, "-m", "deploy.drills.sale.load", person.ADDRESS, str(path)),
            *("--searches", str(self.searches), "--purchases", str(self.purchases), "--called", region),
            *("--servers", ",".join(person.servers(self.twin, region))),
        ]
        surroundings = os.environ | person.environment(self.twin)
        with (self.folder / f"load-{region}.log").open("wb") as log:
            people = subprocess.Popen(command, cwd=ROOT, env=surroundings, stdout=log, stderr=log)
            try:
                yield people
            finally:
                people.terminate()
                people.wait(timeout=120)

    # ------------------------------------------------------------ the end

    def judged(self, began: float, automatic: Mapping[str, bool]) -> Outcome:
        self._wait_quiet(began)
        with self._at_a_site() as http:
            sandbox = http.get("/sandbox/api/books").raise_for_status().json()
        books = asyncio.run(read_books(self.rows, sandbox, self.folder, began))
        calls, marks = read(*self.histories, self.marks)
        verdict = judge(calls, marks, books, {name for name, itself in automatic.items() if not itself})
        more = (*_late(verdict.windows, automatic), *self._checked())
        verdict = msgspec.structs.replace(verdict, violations=(*verdict.violations, *more))
        picture = report.picture(calls, marks, sightings(self.sights), verdict.windows)
        _write(self.folder, verdict, picture)
        for path in (self.marks, self.sights):
            shutil.copy(path, self.probe.folder)
        probed = self.probe.judged(began, automatic)
        said = tuple(f"{one.charge}: {one.text}" for one in verdict.violations)
        # For how long nothing succeeded people say: a probe of two clients is too few for that.
        faults = (text for text in probed.violations if not text.startswith("late:"))
        return Outcome(_table(verdict), (*said, *(f"databases: {text}" for text in faults)))

    def _checked(self) -> Iterator[Violation]:
        """What commands inside the cluster find; every projection is compared and every paper read back."""
        words = (*kubectl(self.twin), "--namespace", "insuretech")
        for charge, text, command in _CHECKS:
            done = console.carry_out(words, command)
            if done.code:
                yield Violation(charge=charge, text=f"{text}: {done.said.strip()}")

    def _wait_quiet(self, began: float) -> None:
        """Until nothing moves any more; what still moves then is left to the judge."""
        until, schemas = time.monotonic() + _QUIET, self._schemas()
        while time.monotonic() < until and asyncio.run(still_moving(self.rows, schemas, began)):
            time.sleep(2)

    async def rows(self, statement: str) -> list[asyncpg.Record]:
        """What a statement gives, asked as the administrator."""
        connection = await self.primary()
        try:
            return await connection.fetch(statement)
        finally:
            await connection.close()

    @contextmanager
    def _at_a_site(self) -> Iterator[httpx.Client]:
        """A client that asks a site itself, past names and points, whichever answers."""
        authority = str(self.twin.home / "secrets" / "tls" / "ca.crt")
        first = min(person.NEAR.values(), key=lambda site: not look(self.twin).sites.get(site, False))
        address = self.twin.inventory.addresses[first]

        def named(request: httpx.Request) -> None:
            request.extensions["sni_hostname"] = person.HOST

        with httpx.Client(
            base_url=f"https://{address}",
            headers={"Host": person.HOST},
            verify=authority,
            timeout=_ANSWER,
            trust_env=False,
            event_hooks={"request": [named]},
        ) as client:
            yield client


def _late(windows: Sequence[Window], automatic: Mapping[str, bool]) -> Iterator[Violation]:
    for window in windows:
        for what, gap, goal in (("write", window.write_gap, WRITE_GOAL), ("read", window.read_gap, READ_GOAL)):
            if gap > goal and automatic.get(window.fault, True):
                text = f"{window.fault}: no {what} for {gap:.1f} s, the goal is {goal:.0f} s"
                yield Violation(charge="late", text=text)


# ---------------------------------------------------------------- the report


def _rows(windows: Sequence[Window]) -> list[tuple[str, ...]]:
    return [
        (
            one.fault,
            *(f"{gap:.1f}" for gap in (one.write_gap, one.read_gap, one.purchase_gap)),
            f"{one.well - one.heal:.1f}" if one.well >= one.heal else "never",
            str(one.calls),
            str(one.unknown),
            f"{one.p99:.2f}",
            report.goal(one.fault, one.write_gap, one.read_gap),
        )
        for one in windows
    ]


def _table(verdict: Verdict) -> Table:
    charges = {name: sum(one.charge == name for one in verdict.violations) for name in ("lost", "doubled")}
    caption = ", ".join(f"{count:,} {name}" for name, count in verdict.counts.items())
    title = f"Drills of the whole: {charges['lost']} lost, {charges['doubled']} doubled"
    drawn = Table(title=title, caption=caption)
    for name in _COLUMNS:
        drawn.add_column(name, justify="left" if name in {"fault", "goal"} else "right")
    for row in _rows(verdict.windows):
        drawn.add_row(*row)
    return drawn


def _write(folder: Path, verdict: Verdict, picture: bytes) -> None:
    """``drill.json``, ``drill.html`` and, for ``docs/drills.md``, the table as ``drill.md``."""
    rows = _rows(verdict.windows)
    lines = (_COLUMNS, ("---", *("---:" for _ in _COLUMNS[1:])), *rows)
    (folder / "drill.md").write_text("".join(f"| {' | '.join(line)} |\n" for line in lines), encoding="utf-8")
    when, load = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), os.getloadavg()[1]
    document = {"when": when, "cores": os.cpu_count(), "load": round(load, 1), "verdict": verdict}
    (folder / "drill.json").write_bytes(msgspec.json.format(msgspec.json.encode(document)))
    page = report.page(
        title="Drill of the whole",
        when=f"{when}, {os.cpu_count()} cores, load {load:.1f}",
        columns=_COLUMNS,
        rows=rows,
        charges=[f"{one.charge}: {one.text}" for one in verdict.violations],
        counts=verdict.counts,
        picture=picture,
    )
    (folder / "drill.html").write_text(page, encoding="utf-8")
