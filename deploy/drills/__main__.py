"""``python -m deploy.drills``: break the twin on purpose, and judge what people were told."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from cluster.fetching import Reporter
from deploy.commands import TwinFailed
from deploy.drills.database_drill import DatabaseDrill
from deploy.drills.faults import catalogue
from deploy.drills.market import Market
from deploy.twin.whole import HOME, Twin
from insuretech.cli.running import run_commands

app = typer.Typer(
    name="drills",
    help="Faults of the twin, under load, judged.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command("list")
def show() -> None:
    """What can be broken."""
    table = Table("name", "what", "seconds", "by")
    for fault in catalogue().values():
        table.add_row(fault.name, fault.what, f"{fault.lasts:.0f}", "NAME=work" if fault.work else "")
    Console().print(table)


@app.command()
def run(
    names: Annotated[str, typer.Option(envvar="NAME", help="Faults, with commas; `work`: an operator's work.")] = "",
    twin: Annotated[Path, typer.Option(envvar="TWIN_HOME", help="The folder of the twin.")] = HOME,
    folder: Annotated[Path, typer.Option(help="Where the report goes.")] = Path("var/drills"),
) -> None:
    """Go through faults one after the other; ends with 1 when a statement did not hold.

    Without a name all faults are gone through, but not those of an operator's work of minutes, which ``work`` names.
    People buy while it goes on; where there is no cluster, clients of the databases write and read.
    """
    opened = Twin.opened(twin.absolute())
    known = catalogue()
    chosen = [name.strip() for name in names.split(",") if name.strip()]
    if chosen in ([], ["work"]):
        chosen = [name for name, fault in known.items() if fault.fits(opened) and fault.work == bool(chosen)]
    if set(chosen) - known.keys():
        raise TwinFailed(f"No such fault: {', '.join(sorted(set(chosen) - known.keys()))}. See: {', '.join(known)}.")
    console = Console(highlight=False, width=120)
    kind = Market if known["roll-services"].fits(opened) else DatabaseDrill
    outcome = kind(opened, folder.absolute(), Reporter(console)).run([known[name] for name in chosen])
    console.print(outcome.table)
    for violation in outcome.violations:
        console.print(f"  {violation}", markup=False)
    console.print(f"The report: {folder.absolute() / 'drill.html'}")
    if outcome.violations:
        sys.exit(1)


def main() -> None:
    """Entry point."""
    run_commands(app)


if __name__ == "__main__":
    main()
