"""What came out, as a table for the terminal, a picture, and JSON."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import msgspec
from rich.console import Console
from rich.table import Table

from deploy.drills.history import Call, Mark
from deploy.drills.sale.judge import Verdict, Window
from deploy.drills.sale.load import Rates
from tests.cluster.faults.rehearsal import Felt

mpl.use("Agg")
from matplotlib import pyplot as plt


def table(windows: Sequence[Window], felt: Sequence[Felt], rates: Rates) -> Table:
    """One row a fault; times in seconds."""
    seen = {one.fault: one for one in felt}
    caption = f"{rates.searches:g} searches and {rates.purchases:g} purchases a second; seconds"
    drawn = Table(title="Faults", caption=caption)
    for name in ("fault", "no write for", "no read for", "no purchase for", "well after", "agree after", "attempts",
                 "unknown", "p99"):  # fmt: skip
        drawn.add_column(name, justify="left" if name == "fault" else "right")
    for window in windows:
        one = seen.get(window.fault)
        drawn.add_row(
            window.fault,
            *(f"{gap:.1f}" for gap in (window.write_gap, window.read_gap, window.purchase_gap)),
            f"{one.well_after:.1f}" if one else "",
            f"{one.consistent_after:.1f}" if one and not one.differences else "never",
            str(window.calls),
            str(window.unknown),
            f"{window.p99:.2f}",
        )
    return drawn


def write(
    folder: Path,
    *,
    calls: Sequence[Call],
    marks: Sequence[Mark],
    verdict: Verdict,
    felt: Sequence[Felt],
    rates: Rates,
    quiet_after: float,
) -> None:
    """``faults.txt``, ``faults.json`` and ``faults.png`` in the folder."""
    drawn = table(verdict.windows, felt, rates)
    with (folder / "faults.txt").open("w", encoding="utf-8") as file:
        console = Console(file=file, width=150)
        console.print(drawn)
        for name, count in verdict.counts.items():
            console.print(f"{name}: {count}")
        console.print(f"quiet after {quiet_after} s")
        console.print("No violation." if not verdict.violations else f"{len(verdict.violations)} violations:")
        for violation in verdict.violations:
            console.print(f"  {violation.charge}: {violation.text}", markup=False)
    document = {
        "rates": {"searches": rates.searches, "purchases": rates.purchases},
        "quiet_after": quiet_after,
        "felt": felt,
        "verdict": verdict,
    }
    encoded = msgspec.json.encode(document)
    (folder / "faults.json").write_bytes(msgspec.json.format(encoded))
    picture(folder / "faults.png", calls, marks, verdict.windows)


def picture(path: Path, calls: Sequence[Call], marks: Sequence[Mark], windows: Sequence[Window]) -> None:
    """Above what succeeded each second, with the faults behind it; below how long each fault was felt."""
    began = min((call.start for call in calls), default=0.0)
    figure, (above, below) = plt.subplots(
        2, 1, figsize=(16, 6 + 0.25 * len(windows)), height_ratios=[5, max(3, 0.3 * len(windows))]
    )
    for writes, label, colour in ((False, "reads", "#4477aa"), (True, "writes", "#228833")):
        counted = Counter(int(call.end - began) for call in calls if call.writes is writes and call.belief == "done")
        seconds = range(max(counted, default=0) + 1)
        above.plot(seconds, [counted[second] for second in seconds], label=label, color=colour, linewidth=1)
    unknown = Counter(
        int(call.end - began) for call in calls if call.belief == "unknown" and call.operation != "stream"
    )
    above.bar(list(unknown), [-count for count in unknown.values()], color="#ee6677", label="outcome unknown", width=1)
    for window in windows:
        above.axvspan(window.begin - began, window.heal - began, color="#bbbbbb", alpha=0.5, linewidth=0)
        above.axvspan(window.heal - began, window.well - began, color="#dddddd", alpha=0.5, linewidth=0)
    above.set_xlabel("seconds; grey: a fault, light grey: on the mend")
    above.set_ylabel("a second")
    above.legend(loc="upper left")
    names = [window.fault for window in windows]
    places = range(len(windows))
    below.barh([place + 0.2 for place in places], [window.write_gap for window in windows], 0.38, label="no write for",
               color="#228833")  # fmt: skip
    below.barh([place - 0.2 for place in places], [window.read_gap for window in windows], 0.38, label="no read for",
               color="#4477aa")  # fmt: skip
    below.set_yticks(list(places), names)
    below.invert_yaxis()
    below.set_xlabel("seconds, the longest time that nothing succeeded")
    below.legend(loc="lower right")
    figure.tight_layout()
    figure.savefig(path, dpi=90)
    plt.close(figure)
    del marks
