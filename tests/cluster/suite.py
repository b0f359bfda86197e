"""``make test-cluster``: servers alone, then the whole cluster, brought up once for all tests that are about it.

``FAULTS`` chooses faults by a part of their names (``tests/cluster/faults/test_faults.py``).
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic

from rich.console import Console

from cluster import parts, ports
from cluster.fetching import Reporter
from insuretech.kit.failures import Unusable
from tests.cluster.totals import totals

FOLDER = Path("var/test-cluster")
REPORTS = Path("var/reports/cluster")  # one file of each run of pytest
SETTINGS = {
    "INSURETECH_INSURER_TIME_LIMIT": "10",
    "INSURETECH_ISSUE_RECHECK": "0.3",
    "INSURETECH_BODY_TIME_LIMIT": "3",  # ten megabytes come over two hops
    "INSURETECH_PAYMENT_DEADLINE": "60",
}
"""Seconds that make a person wait in production and would make a test wait here."""

_START_LIMIT = 400.0  # seconds; the parts are there
_STOP_LIMIT = 120.0
console = Console(highlight=False, soft_wrap=True)


class ClusterDidNotStop(Unusable):
    """The cluster did not end as it should; its log says why."""


def main(arguments: Sequence[str]) -> int:
    """Run everything; what is given goes to pytest. The exit code is 0 only if all of it is well."""
    parts.install(Reporter(console))
    shutil.rmtree(REPORTS, ignore_errors=True)
    began = monotonic()
    codes = [_pytest("servers alone", "not whole", ["tests/cluster"], arguments)]
    with _cluster() as home:
        places = ["tests/system", "tests/browser"]
        codes.append(_pytest("behaviour", "not slow and not single and not looks", places, arguments, home))
        codes.append(_pytest("faults", "whole", ["tests/cluster"], arguments, home))
    console.print(f"All of it: {totals(REPORTS)}; {(monotonic() - began) / 60:.1f} min with the start", style="bold")
    return max(codes)


def _pytest(name: str, marks: str, places: list[str], arguments: Sequence[str], home: Path | None = None) -> int:
    """One run; that there was nothing to run is no failure, as arguments may choose."""
    environment = {**os.environ, **({"CLUSTER_HOME": str(home)} if home else {})}
    console.rule(name)
    report = REPORTS / f"{name.replace(' ', '-')}.xml"
    command = [sys.executable, "-m", "pytest", "-m", marks, f"--junitxml={report}", *places, *arguments]
    code = subprocess.run(command, env=environment, check=False).returncode
    return 0 if code == 5 else code


@contextmanager
def _cluster() -> Iterator[Path]:
    """A cluster on new data, for as long as the block lasts."""
    home, log = FOLDER.absolute() / "home", FOLDER / "cluster.log"
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    chosen = [word for name, value in SETTINGS.items() for word in ("--set", f"{name}={value}")]
    command = [sys.executable, "-m", "cluster", "up", "--folder", str(home), "--port", str(ports.free_base()), *chosen]
    console.rule("the cluster")
    with log.open("wb") as said, subprocess.Popen(command, stdout=said, stderr=said, start_new_session=True) as running:
        try:
            _until_ready(running, log)
            yield home
        finally:
            running.send_signal(signal.SIGTERM)
            try:
                code = running.wait(_STOP_LIMIT)
            except subprocess.TimeoutExpired:
                running.kill()
                raise ClusterDidNotStop(f"The cluster did not stop; see {log}.") from None
        if code:
            raise ClusterDidNotStop(f"The cluster ended with code {code}; see {log}.")


def _until_ready(running: "subprocess.Popen[bytes]", log: Path) -> None:
    """Show what it says until it is ready."""
    until, shown = monotonic() + _START_LIMIT, 0
    while True:
        said = log.read_text(encoding="utf-8")
        sys.stdout.write(said[shown:])
        sys.stdout.flush()
        shown = len(said)
        if "Ready:" in said:
            return
        if running.poll() is not None or monotonic() > until:
            raise ClusterDidNotStop(f"The cluster did not come up; see {log}.")
        with suppress(subprocess.TimeoutExpired):
            running.wait(0.5)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Unusable as error:
        sys.exit(str(error))
