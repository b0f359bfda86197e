"""What a drill showed: a table for the terminal, JSON, and a page with a picture."""

import base64
import html
import io
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import matplotlib as mpl
import msgspec
from rich.table import Table

from deploy.drills.databases import Sight
from deploy.drills.faults import catalogue
from deploy.drills.history import Call, Mark
from deploy.drills.judge import READ_GOAL, WRITE_GOAL, Verdict, Window

mpl.use("Agg")
from matplotlib import pyplot as plt

_COLUMNS = ("fault", "no write for", "no read for", "well after", "attempts", "failed", "unknown", "first try", "goal")


def table(verdict: Verdict) -> Table:
    """One row a fault; seconds."""
    lost = sum(one.charge == "lost" for one in verdict.violations)
    doubled = sum(one.charge == "doubled" for one in verdict.violations)
    caption = ", ".join(f"{count:,} {name}" for name, count in verdict.counts.items())
    drawn = Table(title=f"Drills of the databases: {lost} lost, {doubled} doubled", caption=caption)
    for name in _COLUMNS:
        drawn.add_column(name, justify="left" if name in {"fault", "goal"} else "right")
    for row in _rows(verdict.windows):
        drawn.add_row(*row)
    return drawn


def _rows(windows: Sequence[Window]) -> list[tuple[str, ...]]:
    return [
        (
            window.fault,
            f"{window.write_gap:.1f}",
            f"{window.read_gap:.1f}",
            f"{window.well - window.heal:.1f}",
            str(window.attempts),
            str(window.failed),
            str(window.unknown),
            f"{window.first_try:.0%}",
            goal(window.fault, window.write_gap, window.read_gap),
        )
        for window in windows
    ]


def goal(fault: str, write_gap: float, read_gap: float) -> str:
    """What is said of a fault: writes need not come back by themselves where a person is part of it."""
    known = catalogue().get(fault)
    if known is not None and not known.automatic and read_gap <= READ_GOAL:
        return "by a person"
    return "held" if write_gap <= WRITE_GOAL and read_gap <= READ_GOAL else "missed"


def write(
    folder: Path, verdict: Verdict, calls: Sequence[Call], marks: Sequence[Mark], sights: Sequence[Sight]
) -> None:
    """``drill.json``, ``drill.html`` and, for ``docs/drills.md``, the table as ``drill.md`` in a folder."""
    rows = _rows(verdict.windows)
    lines = (_COLUMNS, ("---", *("---:" for _ in _COLUMNS[1:])), *rows)
    (folder / "drill.md").write_text("".join(f"| {' | '.join(line)} |\n" for line in lines), encoding="utf-8")
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    load = os.getloadavg()[1]
    document = {"when": when, "cores": os.cpu_count(), "load": round(load, 1), "verdict": verdict}
    (folder / "drill.json").write_bytes(msgspec.json.format(msgspec.json.encode(document)))
    html_page = page(
        title="Drill of the databases",
        when=f"{when}, {os.cpu_count()} cores, load {load:.1f}",
        columns=_COLUMNS,
        rows=rows,
        charges=[f"{one.charge}: {one.text}" for one in verdict.violations],
        counts=verdict.counts,
        picture=picture(calls, marks, sights, verdict.windows),
    )
    (folder / "drill.html").write_text(html_page, encoding="utf-8")


def page(
    *,
    title: str,
    when: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    charges: Sequence[str],
    counts: Mapping[str, int],
    picture: bytes,
) -> str:
    """The whole of a drill on one page of HTML that needs nothing else."""
    image = base64.b64encode(picture).decode()
    head = "".join(f"<th>{html.escape(name)}" for name in columns)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}" for cell in row) for row in rows)
    charged = "".join(f"<li>{html.escape(one)}" for one in charges) or "<li>none"
    counted = "".join(f"<li>{count:,} {html.escape(name)}" for name, count in counts.items())
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title>"
        f"<style>body{{font:16px sans-serif;max-width:75em;margin:2em auto}}td,th{{padding:.2em .8em;text-align:right}}"
        f"td:first-child{{text-align:left}}img{{max-width:100%}}</style>"
        f"<h1>{title}</h1><p>{when}</p>"
        f"<table><tr>{head}{body}</table><p>Seconds. The goal: writes within {WRITE_GOAL:.0f}, reads within "
        f"{READ_GOAL:.0f}, nothing lost, nothing doubled.</p><h2>Violations</h2><ul>{charged}</ul>"
        f"<h2>Judged</h2><ul>{counted}</ul><img alt='Rates over time' src='data:image/png;base64,{image}'></html>\n"
    )


class Span(Protocol):
    """When a fault began, was mended, and all was well."""

    @property
    def begin(self) -> float: ...
    @property
    def heal(self) -> float: ...
    @property
    def well(self) -> float: ...


def picture(calls: Sequence[Call], marks: Sequence[Mark], sights: Sequence[Sight], windows: Sequence[Span]) -> bytes:
    """Successful writes and reads of each region a second; below, who led and on which timeline. A PNG."""
    began = min((call.start for call in calls), default=0.0)
    regions = sorted({call.visitor.split("-")[0] for call in calls})
    figure, axes = plt.subplots(len(regions) + 1, 1, figsize=(16, 3 * len(regions) + 3), sharex=True, squeeze=False)
    for place, region in zip(axes[:, 0], regions, strict=False):
        for writes, label, colour in ((True, "writes", "#228833"), (False, "reads", "#4477aa")):
            counted = Counter(
                int(call.end - began)
                for call in calls
                if call.belief == "done" and call.writes is writes and call.visitor.startswith(region)
            )
            seconds = range(max(counted, default=0) + 1)
            place.plot(seconds, [counted[second] for second in seconds], label=label, color=colour, linewidth=1)
        place.set_ylabel(f"{region}, a second")
        place.legend(loc="upper left")
    below = axes[-1, 0]
    members = sorted({sight.member for sight in sights})
    for height, member in enumerate(members):
        for role, colour in (("primary", "#228833"), ("replica", "#bbccee"), ("", "#ee6677")):
            at = [sight.at - began for sight in sights if sight.member == member and sight.role == role]
            below.scatter(at, [height] * len(at), color=colour, s=9, marker="|")
    below.set_yticks(range(len(members)), members)
    below.set_xlabel("seconds; green: says that it leads, red: says nothing; grey: a fault, light grey: on the mend")
    for place in axes[:, 0]:
        for window in windows:
            place.axvspan(window.begin - began, window.heal - began, color="#bbbbbb", alpha=0.4, linewidth=0)
            place.axvspan(window.heal - began, window.well - began, color="#dddddd", alpha=0.4, linewidth=0)
    for mark in marks:
        if mark.what == "begin":
            axes[0, 0].annotate(mark.fault, (mark.at - began, 0.97), xycoords=("data", "axes fraction"), va="top")
    figure.tight_layout()
    kept = io.BytesIO()
    figure.savefig(kept, dpi=80, format="png")
    plt.close(figure)
    return kept.getvalue()
