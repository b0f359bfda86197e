"""Bringing the database of a moment back, as an operator does it, and looking whether it is that moment's."""

import time

from rich.console import Console

from cluster.fetching import Reporter
from deploy.commands import TwinFailed
from deploy.drills.databases import Databases
from deploy.twin.playbook import RESTORE, play
from deploy.twin.whole import Twin

_APART = 2.0
"""Seconds between what must be there, the moment, and what must not."""
_COPIED_WITHIN = 300.0
BESIDE = ("-h", "/var/lib/postgresql/restored", "-p", "5499")
"""Where the restored one is reached."""


def restore(twin: Twin, databases: Databases) -> tuple[str, ...]:
    """Write before and after a moment, go back to it on a standby, and see that only the former is there.

    Raises ``TwinFailed`` where something else is.
    """
    leader = databases.known_leader()
    wait_copied(twin, leader)
    ask(twin, leader, "create table if not exists drill_moments (word text not null)")
    ask(twin, leader, "truncate drill_moments; insert into drill_moments values ('before')")
    time.sleep(_APART)
    moment = ask(twin, leader, "select now()")
    time.sleep(_APART)
    ask(twin, leader, "insert into drill_moments values ('after')")
    standby = next(name for name in databases.names if name != leader)
    bring_back(twin, standby, moment)
    found = ask(twin, standby, "select string_agg(word, ',') from drill_moments", *BESIDE)
    if found != "before":
        raise TwinFailed(f"{standby}: of {moment} the restored database holds {found!r} in place of 'before'.")
    return (standby,)


def take_away(twin: Twin, names: tuple[str, ...]) -> None:
    """Remove what was restored."""
    for name in names:
        bring_back(twin, name, "")


def bring_back(twin: Twin, name: str, moment: str) -> None:
    """Have the database of a moment on a machine, beside the living one; that of no moment takes it away."""
    away = str(not moment).lower()
    more = ("-e", f"restore_on={name}", "-e", f"restore_to='{moment}'", "-e", f"restore_away={away}")
    play(twin.home, twin.inventory, [name], Reporter(Console(quiet=True)), book=RESTORE, more=more)


def wait_copied(twin: Twin, leader: str) -> None:
    """The first copy is made minutes after the start; without one there is nothing to go back to."""
    until = time.monotonic() + _COPIED_WITHIN
    while (
        "full backup"
        not in twin.machine(leader)
        .ssh("runuser -u postgres -- pgbackrest --stanza=insuretech info || true", limit=60)
        .stdout
    ):
        if time.monotonic() > until:
            raise TwinFailed(
                f"There is no copy of the database after {_COPIED_WITHIN:.0f} s; see its timers on {leader}."
            )
        time.sleep(5)


def ask(twin: Twin, name: str, query: str, *where: str) -> str:
    """What psql says on a machine, asked as its superuser."""
    words = " ".join(("runuser -u postgres -- psql -XAtq -d insuretech", *where, "-c", f'"{query}"'))
    return twin.machine(name).ssh(words, limit=60).stdout.strip()
