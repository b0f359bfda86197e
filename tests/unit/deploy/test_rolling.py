"""One machine at a time: what the rolling playbook holds to, and how the twin runs it."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from cluster.fetching import PartFailed, Reporter
from deploy.twin import playbook
from deploy.twin.inventory import DEPLOY
from deploy.twin.playbook import GO_BACK, LEAVE, ROLLING, SITE, play, wanted
from tests.unit.deploy.made import inventory

ONE_BY_ONE = frozenset({"etcd", "postgresql", "haproxy", "edge", "dns", "cdn", "kubernetes"})


def plays(book: Path) -> list[dict[str, Any]]:
    """The plays of a playbook."""
    found: list[dict[str, Any]] = yaml.safe_load(book.read_text(encoding="utf-8"))
    return found


def roles(one: Mapping[str, Any]) -> Iterator[str]:
    """The roles that a play gives its machines."""
    yield from (role["role"] for role in one.get("roles", ()))


def test_what_the_site_gets_is_rolled_in_the_same_order() -> None:
    """A function that was added would be changed everywhere at once, or before what it stands on."""
    site = [role for one in plays(SITE) for role in roles(one) if role not in {"authority", "base", "firewall"}]
    assert [role for one in plays(ROLLING) for role in roles(one)] == site


@pytest.mark.parametrize("role", sorted(ONE_BY_ONE))
def test_machines_come_one_by_one_between_gates(role: str) -> None:
    """Two machines of a function would be away at once, or the next one would go while the last is not back."""
    (one,) = (one for one in plays(ROLLING) if role in roles(one))
    assert (one["serial"], one["any_errors_fatal"]) == (1, True)
    gate = {"name": role, "tasks_from": "gate"}
    assert one["pre_tasks"][0]["ansible.builtin.import_role"] == gate
    assert one["post_tasks"][-1]["ansible.builtin.import_role"] == gate
    assert (DEPLOY / "roles" / role / "tasks" / "gate.yaml").exists()


@pytest.mark.parametrize("book", [SITE, ROLLING, LEAVE, GO_BACK], ids=lambda book: book.stem)
def test_one_failure_stops_the_run(book: Path) -> None:
    """The same fault would go through all machines of a function."""
    lax = [one["name"] for one in plays(book) if one["hosts"] != "localhost" and not one.get("any_errors_fatal")]
    assert lax == []


@pytest.mark.parametrize("role", sorted({role for one in plays(SITE) for role in roles(one)}))
def test_a_role_can_be_rolled_alone(role: str) -> None:
    """Its tag would run nothing, or more than was asked for."""
    tags = [one["tags"] for one in plays(ROLLING) if role in roles(one)]
    assert tags in ([[role]], [])


def test_a_rehearsal_is_asked_for_by_its_variables() -> None:
    """The rehearsal would change nothing and look like one that went well."""
    assert wanted() == ()
    assert wanted("postgresql", restart=True) == ("--tags", "always,postgresql", "-e", "restart_programs=true")
    assert wanted(upgrade_packages=True) == ("-e", "upgrade_packages=true")
    told = yaml.safe_load((DEPLOY / "group_vars" / "all.yaml").read_text(encoding="utf-8"))
    assert (told["restart_programs"], told["upgrade_packages"]) == (False, False)


def test_a_run_that_stops_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person would look for one sentence in thousands of lines, as the end is a count of all machines."""
    fake = tmp_path / "ansible-playbook"
    lines = [
        *("TASK [postgresql : Wait] ***", "[ERROR]: Task failed: Module failed: Status code was -1", ""),
        *("TASK [postgresql : Stop] ***", "[ERROR]: Task failed: Action failed: Nobody leads, bring one up.", ""),
        *("PLAY RECAP ***", *(f"spb-w-{number} : ok=1" for number in range(40))),
    ]
    fake.write_text(f"#!{sys.executable}\nprint({chr(10).join(lines)!r})\nraise SystemExit(2)\n", encoding="utf-8")
    fake.chmod(0o755)
    monkeypatch.setattr(playbook, "ansible", lambda program: tmp_path / program)
    with pytest.raises(PartFailed, match=r"^rolling.yaml stopped: Nobody leads, bring one up\. All"):
        play(tmp_path, inventory(), ["spb-db-1"], Reporter(Console(quiet=True)), book=ROLLING)
