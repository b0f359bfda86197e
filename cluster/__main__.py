"""``python -m cluster``: the commands."""

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from cluster import parts
from cluster.control import DEAD, FROZEN, HEALTHY, Control
from cluster.down import down as take_down
from cluster.fetching import Reporter
from cluster.ports import Ports
from cluster.stages import ClusterFailed
from cluster.supervisor import Supervisor
from cluster.top import Screen
from cluster.whole import Cluster
from insuretech.cli.output import AsJson, print_json
from insuretech.cli.running import run_commands

app = typer.Typer(
    name="cluster",
    help="The whole marketplace on this machine: Kafka, Redis Cluster, S3, PostgreSQL, HAProxy, three of each service.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
Folder = Annotated[Path, typer.Option(envvar="CLUSTER_HOME", help="Where its data are.")]
Names = Annotated[list[str], typer.Argument(help="Such as orders-2, kafka-1, redis-3, s3-1, postgres, haproxy.")]
HOME = Path("var/cluster")
_COLOURS = {HEALTHY: "green", FROZEN: "cyan", DEAD: "red"}


@app.command("parts")
def get_parts() -> None:
    """Fetch and build what is missing, check what is there."""
    reporter = Reporter(_console())
    installed = parts.install(reporter)
    reporter.console.print(f"All parts are in {installed.kafka.parent.parent}.", highlight=False)


@app.command()
def up(
    folder: Folder = HOME,
    port: Annotated[int, typer.Option(envvar="CLUSTER_PORT", help="The first of 200 ports.")] = 18000,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="NAME=VALUE, one more setting of every service.")
    ] = None,
) -> None:
    """Bring everything up and keep it up until Ctrl-C."""
    reporter = Reporter(_console())
    installed = parts.install(reporter)
    known = dict(_pair(setting) for setting in settings or ())
    cluster = Cluster(folder.absolute(), Ports(port), installed, known)
    Supervisor(cluster, reporter).run(lambda: _announce(cluster))


@app.command()
def down(folder: Folder = HOME) -> None:
    """Stop it, from another terminal or after its end by force, and leave nothing but its data."""
    if not take_down(folder.absolute(), Reporter(_console())):
        _console().print(f"No cluster runs in {folder}.", highlight=False)


@app.command()
def status(folder: Folder = HOME, *, as_json: AsJson = False) -> None:
    """Every process, its health and its memory."""
    states = Control(folder).states()
    if as_json:
        print_json([{**vars(state), "log": str(state.log)} for state in states])
        return
    table = Table("process", "role", "site", "state", "pid", "memory, MB", "log")
    for one in states:
        colour = _COLOURS.get(one.state, "yellow")
        memory = f"{one.memory / 1e6:.0f}" if one.pid else ""
        place = os.path.relpath(one.log)
        table.add_row(one.name, one.role, one.zone, f"[{colour}]{one.state}", str(one.pid or ""), memory, place)
    table.caption = f"{sum(one.memory for one in states) / 1e6:,.0f} MB in all (shared pages counted more than once)"
    _console().print(table)


@app.command()
def kill(names: Names, folder: Folder = HOME) -> None:
    """SIGKILL, as when power is lost."""
    Control(folder).kill(*names)


@app.command()
def freeze(names: Names, folder: Folder = HOME) -> None:
    """SIGSTOP: connections stay, answers do not come."""
    Control(folder).freeze(*names)


@app.command()
def resume(names: Names, folder: Folder = HOME) -> None:
    """SIGCONT."""
    Control(folder).resume(*names)


@app.command()
def restart(names: Names, folder: Folder = HOME) -> None:
    """Stop in good order, one after the other, and start again."""
    control = Control(folder)
    for name in names:
        control.restart(name)


@app.command()
def revive(
    names: Annotated[list[str] | None, typer.Argument(help="Everything that is dead or frozen when none.")] = None,
    folder: Folder = HOME,
) -> None:
    """Start what is dead, resume what is frozen, and wait until it is healthy."""
    control = Control(folder)
    control.revive(*(names or ()))
    control.wait_healthy(names or ())


@app.command()
def top(folder: Folder = HOME) -> None:
    """All of it on a screen, each second; kill and revive by a key."""
    Screen(Control(folder)).run()


def _announce(cluster: Cluster) -> None:
    console, ports = _console(), cluster.ports
    console.print(f"Ready: {cluster.public_url}", style="bold")
    for name, place in (
        ("Site", cluster.public_url),
        ("API documentation", f"{cluster.public_url}/docs"),
        ("Sandbox controls", f"{cluster.public_url}/sandbox"),
        ("Between services", f"http://127.0.0.1:{ports.internal}"),
        ("PostgreSQL", cluster.database_url),
        ("Kafka", cluster.kafka.bootstrap),
        ("Redis Cluster", cluster.redis.nodes),
        ("S3", f"http://127.0.0.1:{ports.s3} (keys in {cluster.folder}/secrets)"),
        ("Mail", f"smtp://127.0.0.1:{ports.smtp} (kept in {cluster.folder}/mail)"),
        ("Load balancer", f"http://127.0.0.1:{ports.statistics}"),
        ("Logs", str(cluster.processes.logs)),
    ):
        console.print(f"  {name:<18} {place}")
    console.print("Watch it with `make cluster-top`; Ctrl-C stops it, the data stay.")


def _pair(setting: str) -> tuple[str, str]:
    name, divider, value = setting.partition("=")
    if not divider:
        raise ClusterFailed(f"--set wants NAME=VALUE, not {setting}.")
    return name, value


def _console() -> Console:
    return Console(highlight=False, soft_wrap=True)


def main() -> None:
    """Entry point."""
    run_commands(app)


if __name__ == "__main__":
    main()
