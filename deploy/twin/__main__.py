"""``python -m deploy.twin``: the commands."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cluster.fetching import Reporter
from deploy.commands import TwinFailed
from deploy.twin import going_back, measuring, network, person, status, switching, whole
from deploy.twin.inventory import Inventory
from deploy.twin.playbook import RESTORE, ROLLING, SITE, play, wanted
from deploy.twin.readiness import until_ready
from deploy.twin.replacing import replaced
from deploy.twin.whole import HOME, Twin
from insuretech.cli.output import AsJson, print_json
from insuretech.cli.running import run_commands

app = typer.Typer(
    name="twin",
    help="Two data centres and a witness on this machine: machines whose power can be cut, and the network between.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
Folder = Annotated[Path, typer.Option(envvar="TWIN_HOME", help="Where its machines' disks and its keys are.")]
Names = Annotated[list[str], typer.Argument(help="Machines, or all of a site or function: spb-db-1, spb, postgresql.")]
Place = Annotated[str, typer.Argument(help="spb, msk, witness, central, cdn-west-1, …")]
Other = Annotated[str, typer.Argument(help="Another place, or `all`.")]
Only = Annotated[str, typer.Option(envvar="ONLY", help="Machines, sites or functions, with commas; else all.")]
Tags = Annotated[str, typer.Option(help="Roles, with commas; else all.")]
Region = Annotated[str, typer.Argument(help="central or eastern.")]
Pattern = Annotated[str, typer.Argument(help="Text of the command lines, say 'postgres:'.")]


@app.command()
def up(
    folder: Folder = HOME,
    size: Annotated[str, typer.Option(envvar="SIZE", help="small or full.")] = "small",
    layout: Annotated[str, typer.Option(envvar="LAYOUT", help="witness or 3+2.")] = "witness",
    kubernetes: Annotated[str, typer.Option(envvar="KUBERNETES", help="Its version: now, or before it.")] = "now",
    only: Only = "",
    *,
    machines_only: Annotated[bool, typer.Option(help="Machines and network alone, without the playbook.")] = False,
) -> None:
    """Make the machines and the network, and let the playbook build both data centres in them. Safe to repeat."""
    console = _console()
    home = folder.absolute()
    reporter = Reporter(console)
    twin = whole.up(home, size, layout, kubernetes, _listed(only), reporter, machines_only=machines_only)
    whole_twin = not only and not machines_only
    if whole_twin:
        until_ready(twin, reporter)
    console.print(status.screen(status.state(twin)))
    if whole_twin:
        console.print(
            f"Ready: {person.ADDRESS} for people of the twin; `make twin-open` lets a browser in.", style="bold"
        )


@app.command()
def down(
    folder: Folder = HOME,
    *,
    keep: Annotated[bool, typer.Option(help="Keep the machines' disks for the next start.")] = False,
) -> None:
    """Take it down: no process, mount, bridge or setting stays behind."""
    if not whole.down(folder.absolute(), Reporter(_console()), forget=not keep):
        _console().print(f"No twin in {folder}.")


@app.command("status")
def show(
    folder: Folder = HOME,
    *,
    measure: Annotated[
        bool, typer.Option("--measure", help="Ask from every region, and tell where calls went and how long they took.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """One screen of everything."""
    twin = _twin(folder)
    if measure:
        measured = measuring.measure(twin)
        return print_json(measured) if as_json else _console().print(measuring.screen(measured))
    found = status.state(twin)
    return print_json(found) if as_json else _console().print(status.screen(found))


@app.command("play")
def play_book(
    folder: Folder = HOME,
    only: Only = "",
    tags: Tags = "",
    book: Annotated[Path, typer.Option(help="Another playbook than the site's.")] = SITE,
) -> None:
    """Run the playbook again on machines that are up."""
    twin = _twin(folder)
    names = [one.name for one in twin.chosen(_listed(only)) if one.runs]
    play(twin.home, twin.inventory, names, Reporter(_console()), book=book.absolute(), more=wanted(tags))


@app.command()
def roll(
    folder: Folder = HOME,
    only: Only = "",
    tags: Tags = "",
    *,
    restart: Annotated[bool, typer.Option("--restart", help="Restart programs although nothing has changed.")] = False,
    upgrade_packages: Annotated[bool, typer.Option("--upgrade-packages", help="Take newer packages first.")] = False,
) -> None:
    """Run the playbook on one machine at a time, each function well before and after; stops where one is not."""
    twin = _twin(folder)
    names = [one.name for one in twin.chosen(_listed(only))]
    more = wanted(tags, restart=restart, upgrade_packages=upgrade_packages)
    play(twin.home, twin.inventory, names, Reporter(_console()), book=ROLLING, more=more)


@app.command()
def restore(
    name: Annotated[str, typer.Argument(help="The machine of the databases on which it shall stand.")],
    to: Annotated[str, typer.Option(help='The moment, as "2026-11-29 10:00:00+00".')] = "",
    folder: Folder = HOME,
    *,
    away: Annotated[bool, typer.Option("--away", help="Take what was restored away again.")] = False,
) -> None:
    """Bring the database of a moment back from its copies, beside the living one."""
    if not to and not away:
        raise typer.BadParameter("say which moment", param_hint="--to")
    twin = _twin(folder)
    more = ("-e", f"restore_on={name}", "-e", f"restore_to='{to}'", "-e", f"restore_away={str(away).lower()}")
    play(twin.home, twin.inventory, [twin.machine(name).name], Reporter(_console()), book=RESTORE, more=more)


@app.command()
def switch(layout: Annotated[str, typer.Argument(help="witness or 3+2.")], folder: Folder = HOME) -> None:
    """Take the running twin to the other layout."""
    reporter = Reporter(_console())
    until_ready(switching.switch(_twin(folder), layout, reporter), reporter)


@app.command()
def writes(on: Annotated[str, typer.Argument(help="on or off.")], folder: Folder = HOME) -> None:
    """Let nobody write into the databases, or everybody again; people read on meanwhile."""
    going_back.writes(_twin(folder), on, Reporter(_console()))


@app.command("go-back")
def go_back(
    name: Annotated[str, typer.Argument(help="The machine on which a restored database stands.")], folder: Folder = HOME
) -> None:
    """Have a database that was brought back take the place of the living ones."""
    going_back.go_back(_twin(folder), name, Reporter(_console()))


@app.command()
def replace(name: Annotated[str, typer.Argument(help="The machine that is lost.")], folder: Folder = HOME) -> None:
    """Lose a machine with its disks, and have an empty one take its place."""
    twin = _twin(folder)
    twin.empty(twin.machine(name).name)
    replaced(twin, name, Reporter(_console()))


@app.command("power-off")
def power_off(names: Names, folder: Folder = HOME) -> None:
    """Cut the power: nothing in the machines gets to do anything any more."""
    for one in _twin(folder).chosen(names):
        one.cut_power()


@app.command()
def boot(names: Names, folder: Folder = HOME) -> None:
    """Switch machines on, and wait until one can get in."""
    twin = _twin(folder)
    twin.boot(twin.chosen(names))


@app.command()
def shutdown(names: Names, folder: Folder = HOME) -> None:
    """Stop machines in good order."""
    whole.halt(_twin(folder).chosen(names))


@app.command()
def freeze(names: Names, folder: Folder = HOME) -> None:
    """Stop machines where they stand: connections stay, answers do not come."""
    for one in _twin(folder).chosen(names):
        one.group.freeze()


@app.command()
def thaw(names: Names, folder: Folder = HOME) -> None:
    """Let frozen machines go on."""
    for one in _twin(folder).chosen(names):
        one.group.thaw()


@app.command()
def kill(name: str, pattern: Pattern, folder: Folder = HOME) -> None:
    """SIGKILL to the processes of a machine whose command line holds a text."""
    _twin(folder).machine(name).send(pattern, signal.SIGKILL)


@app.command()
def stop(name: str, pattern: Pattern, folder: Folder = HOME) -> None:
    """SIGSTOP to the processes of a machine whose command line holds a text."""
    _twin(folder).machine(name).send(pattern, signal.SIGSTOP)


@app.command()
def resume(name: str, pattern: Pattern, folder: Folder = HOME) -> None:
    """SIGCONT to the processes of a machine whose command line holds a text."""
    _twin(folder).machine(name).send(pattern, signal.SIGCONT)


@app.command()
def cut(
    here: Place,
    there: Other,
    folder: Folder = HOME,
    *,
    one_way: Annotated[bool, typer.Option(help="Only from the first to the second.")] = False,
) -> None:
    """Cut the way between two places."""
    inventory = _twin(folder).inventory
    for place in _others(inventory, here, there):
        network.cut(inventory, here, place, one_way=one_way)


@app.command()
def heal(here: Place, there: Other, folder: Folder = HOME) -> None:
    """Mend the way between two places."""
    inventory = _twin(folder).inventory
    for place in _others(inventory, here, there):
        network.heal(inventory, here, place)


@app.command()
def ssh(
    name: str,
    command: Annotated[list[str] | None, typer.Argument(help="What to run; else a shell.")] = None,
    folder: Folder = HOME,
) -> None:
    """Get into a machine."""
    words = (*_twin(folder).machine(name).ssh_words(), *(command or ()))
    os.execvp(words[0], words)  # noqa: S606 - in place of us, so that the terminal is its own


@app.command("as-person")
def as_person(
    region: Region,
    command: Annotated[list[str], typer.Argument(help="What to run there.")],
    folder: Folder = HOME,
) -> None:
    """Run a command where the people of a region are: names lead where they lead them."""
    twin = _twin(folder)
    words = person.words(twin, region, tuple(command))
    os.execvpe(words[0], words, os.environ | person.environment(twin))  # noqa: S606 - as above


@app.command("open")
def open_browser(
    region: Annotated[str, typer.Argument(envvar="REGION", help="central or eastern.")] = "central",
    folder: Folder = HOME,
    program: Annotated[str, typer.Option(envvar="CHROMIUM", help="A Chromium.")] = "chromium",
) -> None:
    """Open the site in a browser as a person of a region; without a screen, say how to look at it."""
    twin = _twin(folder)
    address = person.ADDRESS
    _console().print(
        f"{address} as a person in {region}; names come from {', '.join(person.servers(twin, region))}.\n"
        f"Without a browser: .venv/bin/python -m deploy.twin as-person {region} -- curl -s {address}/"
    )
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise TwinFailed("There is no screen here (DISPLAY is not set); use the command above, or ssh -X.")
    words = person.browser(twin, region, program, address)
    os.execvp(words[0], words)  # noqa: S606 - as above


def _others(inventory: Inventory, here: str, there: str) -> Iterator[str]:
    if there != "all":
        yield there
        return
    yield from (place for place in inventory.places if place != here)


def _twin(folder: Path) -> Twin:
    return Twin.opened(folder.absolute())


def _listed(names: str) -> list[str]:
    return [name.strip() for name in names.split(",") if name.strip()]


def _console() -> Console:
    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = 140  # a log is as wide as its tables
    return console


def main() -> None:
    """Entry point."""
    run_commands(app, "Interrupted; the next run goes on from here.")


if __name__ == "__main__":
    main()
