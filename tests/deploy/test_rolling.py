"""The rolling playbook: whom it takes first, and what it takes for well. No machine is asked; answers are made up."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from deploy.twin.inventory import DEPLOY, SOURCE
from tests.deploy.asking import told

GROUPS = {"kubernetes": "control_plane"}
Found = Sequence[Any]
_asked: list[tuple[str, Mapping[str, Any], str]] = []


def ask(role: str, answers: Mapping[str, Any], name: str) -> int:
    """Have a value of a role computed as if its machines had answered so; which of all values it is."""
    _asked.append((role, answers, name))
    return len(_asked) - 1


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """All values that are asked for, by one run of Ansible, as one takes seconds."""
    home = tmp_path_factory.mktemp("rolling")
    book, target = home / "compute.yaml", home / "found"
    target.mkdir()
    (home / "group_vars").symlink_to(DEPLOY / "group_vars")
    book.write_text(json.dumps([play(role, target) for role in sorted({role for role, _, _ in _asked})]), "utf-8")
    told("ansible-playbook", "-i", SOURCE, book, home=home, TWIN_HOME=str(home))
    return [json.loads((target / str(number)).read_bytes())["found"] for number in range(len(_asked))]


def play(wanted: str, target: Path) -> dict[str, Any]:
    """Writes what one role makes of all answers."""
    folder = DEPLOY / "roles" / wanted
    return {
        "hosts": f"{GROUPS.get(wanted, wanted)}[0]",
        "connection": "local",
        "gather_facts": False,
        "vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}"},
        "vars_files": [str(folder / "defaults/main.yaml"), str(folder / "vars/main.yaml")],
        "tasks": [
            {
                "ansible.builtin.copy": {
                    "content": f"{{{{ {{'found': {name}}} | to_json }}}}",
                    "dest": str(target / str(number)),
                },
                "vars": {**answers, "ansible_connection": "local"},
            }
            for number, (role, answers, name) in enumerate(_asked)
            if role == wanted
        ],
    }


def cluster(leader: str, **changes: Any) -> dict[str, Any]:
    """What Patroni says when all is well, with one member changed."""
    names = ("msk-db-1", "msk-db-2", "spb-db-1", "spb-db-2")
    members: list[dict[str, Any]] = [
        {"name": one, "role": "quorum_standby", "state": "streaming", "timeline": 3, "lag": 0}
        if one != leader
        else {"name": one, "role": "leader", "state": "running", "timeline": 3}
        for one in names
    ]
    members[0].update(changes)
    return {"postgresql_seen": {"status": 200, "json": {"members": members, "scope": "insuretech"}}}


ORDER = ask("postgresql", cluster("msk-db-1"), "postgresql_order")


def test_the_leader_comes_last_and_its_site_before_it(found: Found) -> None:
    """Writes would move twice, or to the other site, where one move to the neighbour is enough."""
    assert found[ORDER] == ["spb-db-1", "spb-db-2", "msk-db-2", "msk-db-1"]


@pytest.mark.parametrize(
    ("asked", "well"),
    [
        (ask("postgresql", cluster("spb-db-1"), "postgresql_well"), True),
        (ask("postgresql", cluster("spb-db-1", lag=5_000_000), "postgresql_well"), True),
        (ask("postgresql", cluster("spb-db-1", lag=50_000_000), "postgresql_well"), False),
        (ask("postgresql", cluster("spb-db-1", lag="unknown"), "postgresql_well"), False),
        (ask("postgresql", cluster("spb-db-1", role="replica"), "postgresql_well"), False),
        (ask("postgresql", cluster("spb-db-1", state="starting"), "postgresql_well"), False),
        (ask("postgresql", cluster("spb-db-1", timeline=2), "postgresql_well"), False),
    ],
)
def test_databases_are_well_when_all_confirm(found: Found, asked: int, *, well: bool) -> None:
    """The next machine would stop while one that must confirm commits is missing: writes hang, or are lost."""
    assert found[asked] is well


SILENT = ask(
    "postgresql",
    {"postgresql_seen": {"status": -1, "msg": "Connection refused"}},
    "[postgresql_well, postgresql_said]",
)


def test_without_an_answer_databases_are_not_well(found: Found) -> None:
    """A machine that says nothing would count as well, or break the run without a sentence."""
    well, said = found[SILENT]
    assert well is False
    assert "no answer" in said


SICK = ask("postgresql", cluster("spb-db-1", state="starting"), "postgresql_said")


def test_a_sick_database_is_named(found: Found) -> None:
    """Who reads the end of the run would not know where to look."""
    assert "msk-db-1 quorum_standby starting" in found[SICK]


def etcd_states() -> dict[str, Any]:
    """Members of which the first leads."""
    states = [
        {
            "Endpoint": f"https://10.60.{place}:2479",
            "Status": {"header": {"member_id": number}, "leader": 13364120297695429377},
        }
        for place, number in (("1.21", 13364120297695429377), ("2.21", 7), ("3.11", 8))
    ]
    return {"etcd_states": {"stdout": json.dumps(states)}}


MEMBERS = ask("etcd", etcd_states(), "etcd_order")


def test_the_leader_of_etcd_comes_last(found: Found) -> None:
    """Each restart of a leader calls a vote; with it first there may be one at every machine."""
    assert found[MEMBERS] == ["msk-edge-1", "witness-1", "spb-edge-1"]


def healths(*each: bool) -> dict[str, Any]:
    """What etcdctl says of the members."""
    return {"etcd_seen": {"stdout": json.dumps([{"endpoint": "a", "health": one} for one in each])}}


@pytest.mark.parametrize(
    ("asked", "well"),
    [
        (ask("etcd", healths(True, True, True), "etcd_well"), True),
        (ask("etcd", healths(True, True), "etcd_well"), False),
        (ask("etcd", healths(True, True, False), "etcd_well"), False),
        (ask("etcd", {"etcd_seen": {"stdout": ""}}, "etcd_well"), False),
    ],
)
def test_etcd_is_well_when_all_members_are(found: Found, asked: int, *, well: bool) -> None:
    """The next restart would take the quorum away."""
    assert found[asked] is well


NODES = ("msk-cp-1", "msk-w-1", "msk-w-2", "spb-cp-1", "spb-w-1", "spb-w-2", "witness-1")


def nodes(*, missing: str = "", ill: str = "", closed: str = "", marked: str = "") -> dict[str, Any]:
    """What kubectl says of the nodes of a small twin."""
    items = [
        {
            "metadata": {"name": one, "annotations": {"insuretech/upgrading": "true"} if one == marked else {"a": "b"}},
            "spec": {"unschedulable": True} if one == closed else {},
            "status": {"conditions": [{"type": "Ready", "status": "Unknown" if one == ill else "True"}]},
        }
        for one in NODES
        if one != missing
    ]
    return {"kubernetes_seen": {"rc": 0, "stdout": json.dumps({"items": items})}}


@pytest.mark.parametrize(
    ("asked", "well"),
    [
        (ask("kubernetes", nodes(), "kubernetes_nodes_well"), True),
        (ask("kubernetes", nodes(missing="spb-w-1"), "kubernetes_nodes_well"), False),
        (ask("kubernetes", nodes(ill="spb-w-1"), "kubernetes_nodes_well"), False),
        (ask("kubernetes", nodes(closed="spb-w-1"), "kubernetes_nodes_well"), False),
    ],
)
def test_nodes_are_well_when_all_take_pods(found: Found, asked: int, *, well: bool) -> None:
    """Another node would be emptied although its pods have nowhere to go."""
    assert found[asked] is well


MARKED = ask("kubernetes", nodes(closed="spb-w-1", marked="msk-w-2"), "kubernetes_marked")


def test_only_nodes_that_an_upgrade_closed_are_opened(found: Found) -> None:
    """A node that a person closed would get pods again, or one of a broken run would stay closed."""
    assert found[MARKED] == ["msk-w-2"]


SETS = ["insuretech-quotes 3 3", "insuretech-orders 3 2", "insuretech-redis-spb 3 ", "idle 0 ", "kube-proxy 7 6"]
LACKING = ask("kubernetes", {"kubernetes_sets": {"rc": 0, "stdout_lines": SETS}}, "kubernetes_sets_ill")


def test_sets_that_lack_pods_are_named(found: Found) -> None:
    """A node would be emptied while a service has a pod too few, and nobody would know which."""
    assert found[LACKING] == ["insuretech-orders", "insuretech-redis-spb", "kube-proxy"]


@pytest.mark.parametrize(
    ("asked", "well"),
    [
        (ask("dns", {"dns_seen": {"stdout_lines": lines}}, "dns_well"), well)
        for lines, well in (
            (["10.62.1.11"] * 3, True),
            (["10.62.1.11", "10.62.1.11", "10.60.1.20"], False),
            (["10.62.1.11"] * 2, False),
            ([""] * 3, False),
            ([";; communications error to 10.60.1.21#53: timed out"] * 3, False),
        )
    ],
)
def test_dns_is_well_when_all_servers_agree(found: Found, asked: int, *, well: bool) -> None:
    """A server that has not asked around yet leads people to where nobody answers."""
    assert found[asked] is well
