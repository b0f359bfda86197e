"""What the inventory says of the twin, resolved by Ansible itself: templates, groups, layout and size."""

import os
import sys
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path

import msgspec
import yaml

from deploy.commands import TwinFailed, run
from deploy.twin.cgroups import USUAL_WEIGHT

DEPLOY = Path(__file__).resolve().parents[1]
SOURCE = DEPLOY / "inventory" / "twin"
_PLAYBOOK = Path(__file__).with_name("resolve.yaml")
_EVERYWHERE = ("authority", "base", "firewall", "gate")
_ROLES = {"control_plane": "kubernetes", "worker": "kubernetes"}
"""Functions whose role has another name."""
_RESOLVING = 600.0  # seconds; two when the machine has nothing else to do


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """One machine. ``memory`` is its limit in MiB, ``weight`` its part of the processor's time where that is short
    (1024 is usual); ``groups`` are its functions and its site.

    ``folders`` lie outside its overlay; ``shared`` are pairs of a folder here and where the machine finds it, read
    only; ``sysctls`` are settings of the kernel that it wants, which all machines share.
    """

    name: str
    site: str
    address: str
    memory: int
    weight: int = USUAL_WEIGHT
    groups: tuple[str, ...]
    folders: tuple[str, ...] = ()
    shared: tuple[tuple[str, str], ...] = ()
    sysctls: dict[str, str] = {}


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """Where people of a region are sent: sites and points of the CDN, the nearest first."""

    sites: tuple[str, ...]
    points: tuple[str, ...]


class Inventory(msgspec.Struct, frozen=True, kw_only=True):
    """The twin as it shall be: machines, places with their nets, people's namespaces with their addresses.

    ``kubernetes`` says which of two versions: that of ``now`` or the one before.
    ``addresses`` are those by which people reach the sites, ``ways`` where the people of each region are sent,
    ``points`` the sites that each point of the CDN asks, in its order.
    """

    prefix: str
    octet: int
    size: str
    layout: str
    kubernetes: str = "now"
    release: str
    mirror: str
    places: dict[str, str]
    people: dict[str, str]
    addresses: dict[str, str] = {}
    ways: dict[str, Way] = {}
    points: dict[str, tuple[str, ...]] = {}
    machines: tuple[Machine, ...]

    def net(self, place: str) -> IPv4Network:
        return IPv4Network(self.places[place])

    def gateway(self, place: str) -> IPv4Interface:
        """The router's address in a place."""
        net = self.net(place)
        return IPv4Interface(f"{net[1]}/{net.prefixlen}")

    def carrier(self, place: str) -> IPv4Interface:
        """The address of the machine that carries the twin."""
        net = self.net(place)
        return IPv4Interface(f"{net[-2]}/{net.prefixlen}")

    def machine(self, name: str) -> Machine:
        for machine in self.machines:
            if machine.name == name:
                return machine
        raise TwinFailed(f"The twin has no machine {name}; it has {', '.join(one.name for one in self.machines)}.")

    def chosen(self, names: Iterable[str]) -> tuple[Machine, ...]:
        """Machines by their own names or those of groups; all when none is named."""
        wanted = set(names)
        known = {one for machine in self.machines for one in (machine.name, machine.site, *machine.groups)}
        if wanted - known:
            raise TwinFailed(
                f"Neither a machine nor a group of the twin: {', '.join(sorted(wanted - known))}. "
                f"Groups: {', '.join(sorted(known - {machine.name for machine in self.machines}))}."
            )
        return tuple(one for one in self.machines if not wanted or wanted & {one.name, one.site, *one.groups})

    def roles(self, names: Iterable[str]) -> tuple[str, ...]:
        """What is to be built where only functions were asked for, as tags of the playbook; all where not."""
        wanted = set(names)
        functions = {group for machine in self.machines for group in machine.groups} - self.places.keys() - {"machine"}
        if not wanted or wanted - functions:
            return ()
        return (*_EVERYWHERE, *sorted({_ROLES.get(name, name) for name in wanted}))


def resolve(home: Path, size: str, layout: str, kubernetes: str = "now") -> Inventory:
    """Ask Ansible what the inventory comes to; raises ``TwinFailed`` when it is wrong. A second or two."""
    known = {"size": ("small", "full"), "layout": ("witness", "3+2"), "version of Kubernetes": ("now", "before")}
    for (name, values), value in zip(known.items(), (size, layout, kubernetes), strict=True):
        if value not in values:
            raise TwinFailed(f"The {name} is {' or '.join(values)}, not {value}.")
    target = home / "inventory.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_suffix(".new")
    run(
        *(ansible("ansible-playbook"), "-i", SOURCE, _PLAYBOOK, "-e", f"target={fresh}"),
        environment=surroundings(home) | {"SIZE": size, "LAYOUT": layout, "KUBERNETES": kubernetes},
        limit=_RESOLVING,
    )
    inventory = decode(fresh.read_bytes())
    fresh.replace(target)
    return inventory


def decode(document: bytes) -> Inventory:
    """The resolved inventory from its JSON; refuses what does not fit together."""
    try:
        inventory = msgspec.json.decode(document, type=Inventory)
    except msgspec.ValidationError as error:
        raise TwinFailed(f"The inventory is wrong: {error}.") from None
    if not inventory.prefix or len(inventory.prefix) > 3 or not inventory.prefix.isalnum():
        raise TwinFailed(f"The prefix of all names is one to three letters or digits, not {inventory.prefix!r}.")
    taken: dict[str, str] = {}
    for machine in inventory.machines:
        if machine.site not in inventory.places:
            raise TwinFailed(f"{machine.name} stands in {machine.site}, which is none of the places.")
        if IPv4Address(machine.address) not in inventory.net(machine.site):
            raise TwinFailed(f"{machine.name} has the address {machine.address}, outside the net of {machine.site}.")
        if machine.address in taken:
            raise TwinFailed(f"{machine.name} and {taken[machine.address]} have the same address {machine.address}.")
        taken[machine.address] = machine.name
    return inventory


def known(home: Path) -> Inventory:
    """The inventory of the twin that was brought up last from a folder."""
    try:
        return decode((home / "inventory.json").read_bytes())
    except FileNotFoundError:
        raise TwinFailed(f"No twin in {home}; bring one up with `make twin`.") from None


def packages(roles: Path = DEPLOY / "roles") -> tuple[str, ...]:
    """All that the roles install, by their own lists ``<role>_packages``: so that the base of the machines has them."""
    found: set[str] = set()
    for defaults in roles.glob("*/defaults/main.yaml"):
        role = defaults.parents[1].name
        found.update((yaml.safe_load(defaults.read_text(encoding="utf-8")) or {}).get(f"{role}_packages", ()))
    return tuple(sorted(found))


def ansible(program: str) -> Path:
    """One of Ansible's programs in this environment."""
    found = Path(sys.executable).with_name(program)
    if not found.exists():
        raise TwinFailed(f"{program} is not in this environment; run `tools/environment deploy`.")
    return found


def surroundings(home: Path, inventory: Inventory | None = None) -> dict[str, str]:
    """The environment in which Ansible finds the twin: as it was brought up, once it has been."""
    chosen = {}
    if inventory is not None:
        chosen = {"TWIN_PREFIX": inventory.prefix, "TWIN_OCTET": str(inventory.octet)}
        chosen |= {"SIZE": inventory.size, "LAYOUT": inventory.layout, "KUBERNETES": inventory.kubernetes}
        workers = (one for one in inventory.machines if "worker" in one.groups)
        # Without a cluster there is no S3 for copies of the database.
        chosen["TWIN_BACKUPS"] = "yes" if any((home / "machines" / one.name).exists() for one in workers) else "no"
    return {
        **os.environ,
        "ANSIBLE_CONFIG": str(DEPLOY / "ansible.cfg"),
        "ANSIBLE_HOME": str(home / "ansible"),
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(control_sockets(home)),
        "LC_ALL": "C.UTF-8",
        "TWIN_HOME": str(home),
        **chosen,
    }


def control_sockets(home: Path) -> Path:
    """Where Ansible's ssh keeps its sockets: a short path, as a socket's name may not be long."""
    return Path("/run/insuretech-twin") / f"{abs(hash_of(home)):x}"


def hash_of(home: Path) -> int:
    """A number that follows from a folder's place alone."""
    number = 0
    for byte in str(home).encode():
        number = (number * 31 + byte) % 2**32
    return number
