"""People search and buy at a steady rate while parts of the cluster are killed and frozen; then the books must agree.

``FAULTS`` chooses faults by parts of their names, with commas between, ``FAULTS_SEARCHES`` and ``FAULTS_PURCHASES`` the
rate, and ``FAULTS_FOLDER`` where table, picture and history go.
"""

import os
import random
from pathlib import Path

import pytest
from rich.console import Console

from cluster.control import Control
from deploy.drills.history import read
from deploy.drills.sale.load import Rates
from tests.cluster.faults import report
from tests.cluster.faults.rehearsal import Rehearsal
from tests.cluster.faults.scenarios import catalogue

SEED = 20261122
RATES = Rates(
    searches=float(os.environ.get("FAULTS_SEARCHES", "5")), purchases=float(os.environ.get("FAULTS_PURCHASES", "1"))
)
FOLDER = Path(os.environ.get("FAULTS_FOLDER", "var/faults"))
WANTED = os.environ.get("FAULTS", "").split(",")


@pytest.mark.timeout(1500)
def test_nothing_is_lost_or_done_twice_whatever_fails(control: Control) -> None:
    """Otherwise the failure of one part costs somebody money, a policy or its paper."""
    rehearsal = Rehearsal(control, FOLDER.absolute(), RATES)
    faults = [fault for fault in catalogue(control, random.Random(SEED)) if any(each in fault.name for each in WANTED)]
    rehearsal.run(faults)
    quiet_after = rehearsal.quiet()
    verdict = rehearsal.verdict()
    calls, marks = read(rehearsal.calls, rehearsal.marks)
    report.write(
        rehearsal.folder,
        calls=calls,
        marks=marks,
        verdict=verdict,
        felt=rehearsal.felt,
        rates=RATES,
        quiet_after=quiet_after,
    )
    Console(width=150).print(report.table(verdict.windows, rehearsal.felt, RATES))
    checked = rehearsal.command("documents", "check", "--json")
    assert not verdict.violations, "\n".join(f"{one.charge}: {one.text}" for one in verdict.violations)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    differing = [f"{one.fault}: {one.differences}" for one in rehearsal.felt if one.differences]
    assert not differing, "\n".join(differing)
    assert verdict.counts["orders issued"] > len(faults), "too few policies to prove anything"
