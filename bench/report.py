"""What was measured, as a table for people, a picture, and JSON to compare with later."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).with_name("results")


@dataclass(frozen=True)
class Figure:
    """One measured thing beside its limit and the aim.

    ``direction`` says on which side of ``aim`` to be: ``at least`` or ``at most``; ``value`` is compared with it.
    ``ours`` and ``limit`` are what the value was made of, in ``unit``; ``limit`` is None where there is nothing to
    hold it against. ``notes`` tell how.
    """

    name: str
    value: float
    value_unit: str
    direction: Literal["at least", "at most"]
    aim: float
    ours: float
    limit: float | None
    unit: str
    notes: str = ""
    runs: list[float] = field(default_factory=list)

    @property
    def met(self) -> bool:
        return self.value >= self.aim if self.direction == "at least" else self.value <= self.aim

    @property
    def fulfilment(self) -> float:
        """How far the aim is met: 1 is just so, more is better."""
        if self.direction == "at least":
            return self.value / self.aim
        return self.aim / self.value if self.value > 0 else float("inf")


def show(figures: Sequence[Figure], console: Console) -> None:
    """Print the table."""
    table = Table(title="InsureTech against its limits, measured in the same run", title_justify="left")
    for heading, justify in (
        ("", "left"),
        ("ours", "right"),
        ("limit", "right"),
        ("result", "right"),
        ("aim", "right"),
    ):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    table.add_column("how", overflow="fold", style="dim")
    for figure in figures:
        mark = "[green]✓[/]" if figure.met else "[red]✗[/]"
        table.add_row(
            figure.name,
            f"{number(figure.ours)} {figure.unit}",
            "–" if figure.limit is None else f"{number(figure.limit)} {figure.unit}",
            f"{number(figure.value)} {figure.value_unit} {mark}",
            f"{figure.direction} {number(figure.aim)}",
            figure.notes,
        )
    console.print(table)


def keep(figures: Sequence[Figure], folder: Path = RESULTS) -> tuple[Path, Path]:
    """Write ``latest.json`` and ``latest.png``; figures of an earlier run that were not measured now are kept."""
    folder.mkdir(exist_ok=True)
    path = folder / "latest.json"
    measured = {figure.name: figure for figure in figures}
    if path.exists():
        earlier = [Figure(**item) for item in json.loads(path.read_text(encoding="utf-8"))["figures"]]
        measured = {figure.name: figure for figure in earlier} | measured
    document = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()},
        "figures": [asdict(figure) for figure in measured.values()],
    }
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    picture = folder / "latest.png"
    draw(list(measured.values()), picture)
    return path, picture


def draw(figures: Sequence[Figure], path: Path) -> None:
    """A bar for each figure: how far the aim is met, 1 being just so."""
    import matplotlib as mpl  # noqa: PLC0415 - takes a second, and only drawing needs it

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 - after the choice of backend

    shown = list(reversed(figures))
    chart, axes = plt.subplots(figsize=(10, 0.6 + 0.55 * len(shown)), layout="constrained")
    lengths = [min(figure.fulfilment, 4.0) for figure in shown]
    colours = ["#2f7d4f" if figure.met else "#b3372f" for figure in shown]
    bars = axes.barh([figure.name for figure in shown], lengths, color=colours, height=0.55)
    texts = [
        f" {number(figure.value)} {figure.value_unit}  (aim: {figure.direction} {number(figure.aim)})"
        for figure in shown
    ]
    axes.bar_label(bars, texts, fontsize=8)
    axes.axvline(1.0, color="#444444", linewidth=1, linestyle="--")
    axes.set_xlim(0, 5.6)
    axes.set_xlabel("how far the aim is met: 1 is just so, more is better (cut at 4)")
    axes.spines[["top", "right"]].set_visible(False)
    chart.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(chart)


def number(value: float) -> str:
    """Three significant digits, thousands apart."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
