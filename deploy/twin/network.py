"""The network of the twin: a bridge for every place, and a router between them whose ways can be cut one by one.

A machine stands on the bridge of its place and knows the router's .1 as its way to all others. The machine that
carries the twin has .254 on each bridge, so that it reaches all of them whatever is cut. People are in namespaces on
bridges of their own. A cut way is a rule of the router that swallows what comes from one place for another, as a cut
cable does: nobody is told.
"""

import json
from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from deploy.commands import TwinFailed, run
from deploy.twin.inventory import Inventory

_CUT = 100  # the preference of our rules, before the main table's
NAMESPACES = Path("/run/netns")


def up(inventory: Inventory, owner: Path) -> None:
    """Make what is missing; safe to repeat. ``owner`` is written on the bridges, so that another twin knows whose."""
    router = router_of(inventory)
    if not exists(router):
        run("ip", "netns", "add", router)
    run("ip", "-n", router, "link", "set", "lo", "up")
    _forward(router)
    for place in inventory.places:
        _bridge(inventory, place, owner)
        _uplink(inventory, place)
    for region in inventory.people:
        _people(inventory, region)


def down(inventory: Inventory) -> None:
    """Take away all of it, and nothing else; safe to repeat."""
    for name in (router_of(inventory), *(people_of(inventory, region) for region in inventory.people)):
        if exists(name):
            run("ip", "netns", "delete", name)
    for place in inventory.places:
        bridge = bridge_of(inventory, place)
        if _link(bridge):
            run("ip", "link", "delete", bridge)


def check(inventory: Inventory, owner: Path) -> None:
    """Refuse names and nets that belong to somebody else."""
    ours = {bridge_of(inventory, place) for place in inventory.places}
    links = _json("ip", "-json", "-details", "address", "show")
    for link in links:
        if link["ifname"] in ours and link.get("ifalias") != str(owner):
            whose = f"the twin of {link['ifalias']}" if link.get("ifalias") else "somebody else"
            raise TwinFailed(
                f"The name {link['ifname']} belongs to {whose}. Take that one down, "
                "or choose another with TWIN_PREFIX=xy TWIN_OCTET=70."
            )
    others = [route for route in _json("ip", "-json", "route", "show") if route.get("dev") not in ours]
    for place in inventory.places:
        net = inventory.net(place)
        for route in others:
            if route["dst"] != "default" and net.overlaps(IPv4Network(route["dst"], strict=False)):
                raise TwinFailed(
                    f"The net {net} of {place} is in use: {route['dst']} goes through {route.get('dev', 'a route')}. "
                    "Choose another block with TWIN_OCTET=70."
                )


# ---------------------------------------------------------------- faults


def cut(inventory: Inventory, here: str, there: str, *, one_way: bool = False) -> None:
    """From now on nothing gets from one place to the other (nor back, unless ``one_way``)."""
    for source, target in _ways(inventory, here, there, one_way=one_way):
        if (source, target) not in cuts(inventory):
            _rule(inventory, "add", source, target)


def heal(inventory: Inventory, here: str, there: str) -> None:
    """Undo ``cut``."""
    for source, target in _ways(inventory, here, there, one_way=False):
        if (source, target) in cuts(inventory):
            _rule(inventory, "del", source, target)


def cuts(inventory: Inventory) -> set[tuple[str, str]]:
    """Which ways are cut, each in its direction."""
    places = {str(inventory.net(place).network_address): place for place in inventory.places}
    rules = _json("ip", "-n", router_of(inventory), "-json", "rule", "show")
    return {(rule["iif"], places[rule["dst"]]) for rule in rules if rule.get("action") == "blackhole"}


def _ways(inventory: Inventory, here: str, there: str, *, one_way: bool) -> Iterator[tuple[str, str]]:
    for place in (here, there):
        if place not in inventory.places:
            raise TwinFailed(f"{place} is none of the places: {', '.join(inventory.places)}.")
    yield here, there
    if not one_way:
        yield there, here


def _rule(inventory: Inventory, verb: str, source: str, target: str) -> None:
    match = ("iif", source, "to", inventory.places[target], "preference", str(_CUT))
    run("ip", "-n", router_of(inventory), "rule", verb, *match, "blackhole")


# ---------------------------------------------------------------- names


def router_of(inventory: Inventory) -> str:
    """The namespace of the router between all places."""
    return f"{inventory.prefix}-router"


def bridge_of(inventory: Inventory, place: str) -> str:
    """The bridge of a place."""
    return f"{inventory.prefix}-{place}"


def people_of(inventory: Inventory, region: str) -> str:
    """The namespace in which the people of a region are."""
    return f"{inventory.prefix}-people-{region}"


def exists(namespace: str) -> bool:
    """Whether there is such a namespace."""
    return (NAMESPACES / namespace).exists()


# ---------------------------------------------------------------- pieces


def _forward(router: str) -> None:
    # Not `ip netns exec`, which would mount /sys anew.
    run("nsenter", f"--net={NAMESPACES / router}", "sysctl", "-qw", "net.ipv4.ip_forward=1")


def _bridge(inventory: Inventory, place: str, owner: Path) -> None:
    name = bridge_of(inventory, place)
    if not _link(name):
        run("ip", "link", "add", name, "type", "bridge")
        run("ip", "link", "set", name, "alias", str(owner))
    run("ip", "address", "replace", str(inventory.carrier(place)), "dev", name)
    run("ip", "link", "set", name, "up")


def _uplink(inventory: Inventory, place: str) -> None:
    """The cable between a place and the router; in the router it has the place's name."""
    router = router_of(inventory)
    if not _link(place, router):
        outside = f"{inventory.prefix}r-{place}"[:15]
        run("ip", "link", "add", outside, "type", "veth", "peer", "name", place, "netns", router)
        run("ip", "link", "set", outside, "master", bridge_of(inventory, place), "up")
    run("ip", "-n", router, "address", "replace", str(inventory.gateway(place)), "dev", place)
    run("ip", "-n", router, "link", "set", place, "up")


def _people(inventory: Inventory, region: str) -> None:
    name = people_of(inventory, region)
    if not exists(name):
        run("ip", "netns", "add", name)
    run("ip", "-n", name, "link", "set", "lo", "up")
    if not _link("eth0", name):
        outside = f"{inventory.prefix}p-{region}"[:15]
        run("ip", "link", "add", outside, "type", "veth", "peer", "name", "eth0", "netns", name)
        run("ip", "link", "set", outside, "master", bridge_of(inventory, region), "up")
    address = f"{inventory.people[region]}/{inventory.net(region).prefixlen}"
    run("ip", "-n", name, "address", "replace", address, "dev", "eth0")
    run("ip", "-n", name, "link", "set", "eth0", "up")
    run("ip", "-n", name, "route", "replace", "default", "via", str(inventory.gateway(region).ip))


def _link(name: str, namespace: str = "") -> bool:
    within = ("-n", namespace) if namespace else ()
    return run("ip", *within, "link", "show", "dev", name, check=False).returncode == 0


def _json(*command: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run(*command).stdout or "[]")
    return found
