"""Somebody drops what must not be dropped; the databases go back to the moment before, as an operator has them."""

from datetime import datetime, timedelta

from rich.console import Console

from cluster.fetching import PartFailed, Reporter
from deploy import console
from deploy.commands import TwinFailed
from deploy.drills.databases import Databases
from deploy.drills.restoring import BESIDE, ask, bring_back, wait_copied
from deploy.twin import going_back
from deploy.twin.inside import kubectl
from deploy.twin.whole import Twin

_QUIET = Reporter(Console(quiet=True))
_BEHIND = timedelta(minutes=10)
"""How far before the moment events are sent again: longer than any consumer was behind."""
_COUNTED = "select count(*) from settlement.lines"


def drop(twin: Twin, databases: Databases) -> tuple[str, ...]:
    """Nobody writes from a moment on, whose database is brought back beside the living one; then settlement is lost.

    Gives the machine on which it stands, the moment, and what settlement had in it.
    """
    wait_copied(twin, databases.known_leader())
    going_back.writes(twin, "off", _QUIET)
    try:
        return _dropped(twin, databases)
    except (TwinFailed, PartFailed):
        going_back.writes(twin, "on", _QUIET)
        raise


def _dropped(twin: Twin, databases: Databases) -> tuple[str, ...]:
    leader = databases.known_leader()
    moment = ask(twin, leader, "select now()")
    lines = ask(twin, leader, _COUNTED)
    # Only by a commit after it the log is known to have reached the moment; and it would wait for its time to be sent.
    ask(twin, leader, "select pg_current_xact_id()")
    ask(twin, leader, "select pg_switch_wal()")
    standby = next(name for name in databases.names if name != leader)
    bring_back(twin, standby, moment)
    if (found := ask(twin, standby, _COUNTED, *BESIDE)) != lines:
        raise TwinFailed(f"{standby}: of {moment} the restored database has {found} lines of settlement, not {lines}.")
    ask(twin, leader, "drop schema settlement cascade", "-c", '"set default_transaction_read_only = off"')
    return (standby, moment, lines)


def go_back(twin: Twin, struck: tuple[str, ...]) -> None:
    """The restored one takes their place; projections and receivers of events follow it."""
    standby, moment, lines = struck
    going_back.go_back(twin, standby, _QUIET)
    found = ask(twin, standby, _COUNTED)
    if int(found) < int(lines):
        raise TwinFailed(f"{standby}: settlement has {found} lines after going back, it had {lines}.")
    since = datetime.fromisoformat(moment) - _BEHIND
    words = (*kubectl(twin), "--namespace", "insuretech")
    console.insist(words, ("projections", "rebuild"), ("outbox", "replay", "--since", f"{since:%Y-%m-%dT%H:%M:%S}"))
    for one in twin.chosen(["postgresql"]):
        one.ssh("rm -rf /var/lib/postgresql/*/insuretech-before-*", limit=60)
