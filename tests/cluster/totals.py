"""Adds up what several runs of pytest have written with ``--junitxml``."""

from collections import Counter
from pathlib import Path
from xml.etree import ElementTree as ET


def totals(folder: Path) -> str:
    """One line, such as ``2541 passed, 1 failed, 3 skipped in 4 runs, 31.2 min``."""
    counts: Counter[str] = Counter()
    seconds = 0.0
    reports = sorted(folder.rglob("*.xml"))
    for report in reports:
        for suite in ET.parse(report).iter("testsuite"):  # noqa: S314 - pytest wrote it
            found = {name: int(suite.get(name, "0")) for name in ("tests", "failures", "errors", "skipped")}
            counts["failed"] += found["failures"] + found["errors"]
            counts["skipped"] += found["skipped"]
            counts["passed"] += found["tests"] - found["failures"] - found["errors"] - found["skipped"]
            seconds += float(suite.get("time", "0"))
    said = ", ".join(f"{counts[name]} {name}" for name in ("passed", "failed", "skipped"))
    return f"{said} in {len(reports)} runs, {seconds / 60:.1f} min"
