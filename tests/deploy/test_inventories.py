"""The inventories of the twin and of production: two places that one playbook builds, and nothing else may differ."""

import json
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest

from deploy.twin.inventory import DEPLOY, SOURCE
from tests.deploy.asking import told

PRODUCTION = DEPLOY / "inventory" / "production"
LAYOUTS = ("witness", "3+2")
SITES = ("spb", "msk", "witness")

OF_THE_TWIN_ALONE = frozenset(
    {
        # Blocks of addresses that follow from a number, so that two twins fit on one machine.
        *("prefix", "octet", "lan", "users_lan", "cdn_lan"),
        # How machines are made, and the people who use them.
        *(
            "machine_folders",
            "machine_shared",
            "machine_sysctls",
            "machine_weight",
            "machine_weights",
            "debian_release",
            "debian_mirror",
            "people",
            "memory",
        ),
        # Two versions of Kubernetes, and which one its nodes have.
        *("kubernetes_known", "kubernetes_choice", "kubernetes_chosen"),
        # What stands in for the cluster in tests of the ways in.
        "twin_ingress",
    }
)
"""Variables that production has no use for; there is no other one."""

OF_SOME_MACHINES = frozenset({"here", "public_address"})
"""Said of a machine where it is not as `all` says."""

ONE_OF_EACH = "*-db-1,*-edge-1,*-w-1,*-cp-1,cdn-east-1,witness-1"
MADE_UP = tuple(map(IPv4Network, ("10.0.0.0/8", "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")))


@dataclass(frozen=True)
class Place:
    """An inventory as Ansible reads it."""

    groups: Mapping[str, frozenset[str]]
    """Machines by group."""
    told: Mapping[str, Mapping[str, Any]]
    """What groups are told, as it is written."""
    machines: Mapping[str, Mapping[str, Any]]
    """What machines are told, as it is written."""


def ask(source: Path, home: Path, **surroundings: str) -> Place:
    """What Ansible makes of an inventory."""
    found = json.loads(told("ansible-inventory", "-i", source, "--list", "--export", home=home, **surroundings))
    machines = found.pop("_meta")["hostvars"]
    return Place(
        {name: frozenset(group.get("hosts", ())) for name, group in found.items()},
        {name: group.get("vars", {}) for name, group in found.items()},
        machines,
    )


def twin(home: Path, layout: str, size: str = "full") -> Place:
    """The twin as it would be made."""
    return ask(SOURCE, home, TWIN_HOME=str(home), LAYOUT=layout, SIZE=size)


def written(folder: Path, layout: str) -> Path:
    """Production with another layout in its one line."""
    source = folder / "production"
    shutil.copytree(PRODUCTION, source)
    main = source / "group_vars" / "all" / "main.yaml"
    text = main.read_text(encoding="utf-8")
    assert text.count("\nlayout: witness\n") == 1
    main.write_text(text.replace("\nlayout: witness\n", f'\nlayout: "{layout}"\n'), encoding="utf-8")
    return source


@pytest.fixture(scope="module", params=LAYOUTS)
def layout(request: pytest.FixtureRequest) -> str:
    """Both of them."""
    return str(request.param)


@pytest.fixture(scope="module")
def places(layout: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, Place]:
    """Twin and production, in one layout and of one size."""
    home = tmp_path_factory.mktemp("inventories")
    return twin(home, layout), ask(written(home, layout), home)


@pytest.fixture(scope="module")
def production(places: tuple[Place, Place]) -> Place:
    """Production alone."""
    return places[1]


def test_the_same_machines_do_the_same(places: tuple[Place, Place]) -> None:
    """Drills would rehearse the loss of something else than what people rely on."""
    rehearsed, real = places
    assert rehearsed.groups == real.groups


def test_every_group_is_told_the_same_things(places: tuple[Place, Place]) -> None:
    """A value that production lacks stops the playbook half-way; one that the twin lacks is never rehearsed."""
    rehearsed, real = places
    for group in rehearsed.told:
        assert set(rehearsed.told[group]) - set(real.told[group]) <= OF_THE_TWIN_ALONE, group
        assert set(real.told[group]) <= set(rehearsed.told[group]), group


def test_machines_are_told_the_same_things(places: tuple[Place, Place]) -> None:
    """As above, for what is said of one machine."""
    rehearsed, real = places
    for name in rehearsed.machines:
        differ = set(rehearsed.machines[name]) ^ set(real.machines[name])
        assert differ <= OF_THE_TWIN_ALONE | OF_SOME_MACHINES, name


def test_memberships_are_one_file() -> None:
    """A machine of production would be in other groups than that of the twin with the same functions."""
    assert (PRODUCTION / "memberships.yaml").resolve() == (SOURCE / "memberships.yaml").resolve()


@pytest.mark.parametrize("group", ["etcd", "control_plane"])
def test_quorums_are_odd_and_spread(group: str, layout: str, places: tuple[Place, Place]) -> None:
    """The loss of a site, or of one machine more, would leave nobody to say who leads."""
    for place in places:
        in_site = Counter(site for site in SITES for _ in place.groups[group] & place.groups.get(site, frozenset()))
        members = len(place.groups[group])
        assert members % 2 == 1
        assert in_site.total() == members
        if layout == "witness":
            assert set(in_site) == set(SITES)
            assert max(in_site.values()) <= members // 2, "a site holds the majority, so it may not die"
        else:
            assert in_site["spb"] == members // 2 + 1
            assert set(in_site) == {"spb", "msk"}


def test_the_small_twin_keeps_its_quorums(tmp_path: Path) -> None:
    """What is tried every day would not survive what it is tried for."""
    small = twin(tmp_path, "witness", "small")
    for group in ("etcd", "control_plane"):
        assert sorted(len(small.groups[group] & small.groups[site]) for site in SITES) == [1, 1, 1]


def test_databases_are_two_a_site(production: Place) -> None:
    """Of three standbys two confirm: one of them stands in the other site only where each site has two servers."""
    assert [len(production.groups["postgresql"] & production.groups[site]) for site in ("spb", "msk")] == [2, 2]


def test_nobody_has_anothers_address(production: Place) -> None:
    """Two machines would take each other's connections; a real address would be somebody's."""
    given = [one[kind] for one in production.machines.values() for kind in ("address", "public_address") if kind in one]
    found = [*map(IPv4Address, (one for one in given if "{" not in one))]
    found += map(IPv4Address, production.told["all"]["site_addresses"].values())
    assert max(Counter(found).values()) == 1
    assert all(any(one in net for net in MADE_UP) for one in found)


def test_every_node_has_a_number(production: Place) -> None:
    """A node without one has no net for its pods, and two with one number have the same."""
    nodes = production.groups["control_plane"] | production.groups["worker"]
    for group in ("control_plane", "worker"):
        numbers = production.told[group]["kubernetes_numbers"]
        assert nodes <= set(numbers)
        assert len(numbers) == len(set(numbers)) <= 256


def test_production_holds_no_secret(production: Place) -> None:
    """Whoever reads the repository could read people's data."""
    found = dict(secrets(production))
    assert len(found) >= 5
    for name, value in found.items():
        assert value.startswith("{{ lookup('ansible.builtin.file', secrets_folder"), name


def secrets(place: Place) -> Iterator[tuple[str, str]]:
    """Variables whose name says that nobody may know them."""
    for each in (*place.told.values(), *place.machines.values()):
        yield from ((name, text) for name, text in each.items() if name.endswith(("_password", "_token", "_secret")))


def test_every_value_leads_somewhere(layout: str, tmp_path: Path) -> None:
    """A name that nothing defines is found out in the middle of a bring-up, on machines that are half made."""
    source = written(tmp_path, layout)
    kept = tmp_path / "secrets"
    kept.mkdir()
    for name in ("superuser", "replication", "rewind", "administrator"):
        (kept / f"postgresql-{name}").write_text("made-up\n", encoding="ascii")
    for name in ("cdn-purge", "backups-access-key", "backups-secret-key", "backups-passphrase"):
        (kept / name).write_text("made-up\n", encoding="ascii")
    # In the folder of the playbook, as values that all places share are found beside it.
    names = "query('ansible.builtin.varnames', '^(?!ansible_|(environment|groups|hostvars|omit|vars)$)')"
    task = {"ansible.builtin.assert": {"that": "lookup('ansible.builtin.vars', item) is defined", "quiet": True}}
    play = [{"hosts": "machine", "gather_facts": False, "tasks": [{**task, "loop": f"{{{{ {names} }}}}"}]}]
    book = tmp_path / "values.yaml"
    book.write_text(json.dumps(play), encoding="utf-8")
    (tmp_path / "group_vars").symlink_to(DEPLOY / "group_vars")
    words = ("-i", source, "--limit", ONE_OF_EACH, book)
    told("ansible-playbook", *words, home=tmp_path, INSURETECH_PRODUCTION=str(tmp_path))
