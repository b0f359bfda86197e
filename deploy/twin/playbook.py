"""Running the playbook that builds production, on the twin's machines."""

import re
from collections.abc import Sequence
from pathlib import Path

from cluster.fetching import Reporter, follow
from deploy.twin.inventory import DEPLOY, SOURCE, Inventory, ansible, surroundings

SITE = DEPLOY / "site.yaml"


def play(
    home: Path,
    inventory: Inventory,
    names: Sequence[str],
    reporter: Reporter,
    *,
    book: Path = SITE,
    more: Sequence[str] = (),
) -> None:
    """Run a playbook on some machines; all it says is in ``log/ansible.log``. Raises ``PartFailed`` with its end."""
    log = home / "log" / "ansible.log"
    limit = ",".join(("localhost", *names))
    command = (str(ansible("ansible-playbook")), "-i", str(SOURCE), "--limit", limit, *more, str(book))
    title = re.compile(r"^(TASK|RUNNING HANDLER) \[(.*)\]")
    with reporter.step(f"Playbook {book.name} on {len(names)} machines", _tasks(home)) as advance:

        def look(line: str) -> None:
            if title.match(line):
                advance()

        follow(command, log, surroundings(home, inventory), look, DEPLOY)


def _tasks(home: Path) -> int | None:
    """How many tasks there were the last time, which is the best guess of how many there will be."""
    log = home / "log" / "ansible.log"
    if not log.exists():
        return None
    runs = log.read_text(encoding="utf-8", errors="replace").split("\nPLAY RECAP")
    return runs[-2].count("\nTASK [") if len(runs) > 1 else None
