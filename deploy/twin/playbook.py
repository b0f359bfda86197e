"""Running the playbook that builds production, on the twin's machines."""

import re
from collections.abc import Sequence
from pathlib import Path

from cluster.fetching import PartFailed, Reporter, follow
from deploy.twin.inventory import DEPLOY, SOURCE, Inventory, ansible, surroundings

SITE = DEPLOY / "site.yaml"
ROLLING = DEPLOY / "rolling.yaml"
RESTORE = DEPLOY / "restore.yaml"
PROMOTE = DEPLOY / "promote.yaml"
ALONE = DEPLOY / "alone.yaml"
REPLACE = DEPLOY / "replace.yaml"
LEAVE = DEPLOY / "leave.yaml"
GO_BACK = DEPLOY / "go-back.yaml"
_TITLE = re.compile(r"^(TASK|RUNNING HANDLER) \[(.*)\]")
_REASON = re.compile(r"^\[ERROR\]: Task failed: (?:Action failed: |Module failed: )?(.+)")


def play(
    home: Path,
    inventory: Inventory,
    names: Sequence[str],
    reporter: Reporter,
    *,
    book: Path = SITE,
    more: Sequence[str] = (),
) -> None:
    """Run a playbook on some machines; all it says is in ``log/<its name>.log``.

    Raises ``PartFailed`` with the last thing that went wrong, which is what stopped it.
    """
    log = home / "log" / f"{book.stem}.log"
    limit = ",".join(("localhost", *names))
    command = (str(ansible("ansible-playbook")), "-i", str(SOURCE), "--limit", limit, *more, str(book))
    reason = ""
    with reporter.step(f"Playbook {book.name} on {len(names)} machines", _tasks(log)) as advance:

        def look(line: str) -> None:
            nonlocal reason
            if _TITLE.match(line):
                advance()
            elif said := _REASON.match(line):
                reason = said.group(1).rstrip()

        try:
            follow(command, log, surroundings(home, inventory), look, DEPLOY)
        except PartFailed:
            if not reason:
                raise
            raise PartFailed(f"{book.name} stopped: {reason} All it said is in {log}.") from None


def wanted(tags: str = "", *, restart: bool = False, upgrade_packages: bool = False) -> tuple[str, ...]:
    """What a playbook is told: which roles, and what a rolling run does beside the settings."""
    words = ("--tags", f"always,{tags}") if tags else ()
    told = {"restart_programs": restart, "upgrade_packages": upgrade_packages}
    return words + tuple(word for name, value in told.items() if value for word in ("-e", f"{name}=true"))


def _tasks(log: Path) -> int | None:
    """How many tasks this playbook had the last time, which is the best guess of how many it will have."""
    if not log.exists():
        return None
    runs = log.read_text(encoding="utf-8", errors="replace").split("\nPLAY RECAP")
    return runs[-2].count("\nTASK [") if len(runs) > 1 else None
