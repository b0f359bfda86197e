"""What is wrong with an inventory must be said before a machine is made of it."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from deploy.commands import TwinFailed
from deploy.twin.inventory import DEPLOY, decode, known, packages

SIZE = {"memory": 640, "weight": 1024}
MACHINES: list[dict[str, Any]] = [
    {"name": "spb-db-1", "site": "spb", "address": "10.60.1.11", **SIZE, "groups": ["postgresql"]},
    {"name": "msk-edge-1", "site": "msk", "address": "10.60.2.21", **SIZE, "groups": ["edge", "etcd"]},
]
INVENTORY: dict[str, Any] = {
    "prefix": "tw", "octet": 60, "size": "small", "layout": "witness", "release": "trixie",
    "mirror": "http://mirror.test/debian", "places": {"spb": "10.60.1.0/24", "msk": "10.60.2.0/24"},
    "people": {}, "machines": MACHINES,
}  # fmt: skip


def decoded(**changes: Any) -> Any:
    """The inventory with some values changed."""
    return decode(msgspec.json.encode({**INVENTORY, **changes}))


def test_gateway_and_carrier_follow_from_the_net() -> None:
    """Otherwise a changed net needs changes in many places."""
    inventory = decoded()
    assert str(inventory.gateway("msk")) == "10.60.2.1/24"
    assert str(inventory.carrier("msk")) == "10.60.2.254/24"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"prefix": "twin-one"}, "prefix"),
        ({"machines": [{**MACHINES[0], "site": "omsk"}]}, "stands in omsk"),
        ({"machines": [{**MACHINES[0], "address": "10.60.2.11"}]}, "outside the net of spb"),
        ({"machines": [MACHINES[0], {**MACHINES[0], "name": "spb-db-2"}]}, "have the same address"),
        ({"machines": [{**MACHINES[0], "memory": "much"}]}, "The inventory is wrong"),
    ],
)
def test_what_does_not_fit_is_said(changes: dict[str, Any], sentence: str) -> None:
    """Otherwise a wrong inventory fails somewhere in the middle."""
    with pytest.raises(TwinFailed, match=sentence):
        decoded(**changes)


def test_machines_are_chosen_by_name_site_and_function() -> None:
    """Otherwise ONLY= starts what nobody asked for."""
    inventory = decoded()
    assert [one.name for one in inventory.chosen([])] == ["spb-db-1", "msk-edge-1"]
    assert [one.name for one in inventory.chosen(["etcd"])] == ["msk-edge-1"]
    assert [one.name for one in inventory.chosen(["spb", "msk-edge-1"])] == ["spb-db-1", "msk-edge-1"]
    with pytest.raises(TwinFailed, match=r"varnish.*Groups: .*postgresql"):
        inventory.chosen(["varnish"])


def test_who_asks_for_functions_gets_their_roles_alone() -> None:
    """Otherwise ONLY=etcd builds a Kubernetes on the witness, which has a worker's part as well."""
    inventory = decoded()
    assert inventory.roles(["etcd"]) == ("authority", "base", "firewall", "gate", "etcd")
    for everything in ([], ["spb"], ["etcd", "spb-db-1"]):
        assert inventory.roles(everything) == ()


def test_without_a_twin_the_way_to_one_is_named(tmp_path: Path) -> None:
    """Otherwise people do not know what to do next."""
    with pytest.raises(TwinFailed, match="make twin"):
        known(tmp_path)


def test_every_role_names_its_packages() -> None:
    """Otherwise a machine fetches at every start what its base should hold."""
    assert {"postgresql-17", "patroni", "etcd-server", "haproxy", "nftables"} <= set(packages(DEPLOY / "roles"))
