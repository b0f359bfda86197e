"""One screen of the twin: its machines, what they use, what runs in them, and what is cut."""

from collections.abc import Iterator

import msgspec
from rich.console import Group as Stack
from rich.console import RenderableType
from rich.table import Table

from deploy.twin import network
from deploy.twin.inside import Inside, look
from deploy.twin.whole import Twin


class MachineState(msgspec.Struct, frozen=True, kw_only=True):
    """One machine as it is now; memory in MiB."""

    name: str
    site: str
    address: str
    groups: tuple[str, ...]
    state: str
    memory: int
    limit: int


class State(msgspec.Struct, frozen=True, kw_only=True):
    """The twin as it is now; ``cuts`` are ways as source and target."""

    home: str
    size: str
    layout: str
    machines: tuple[MachineState, ...]
    cuts: tuple[tuple[str, str], ...]
    inside: Inside


def state(twin: Twin) -> State:
    """Look at all of it."""
    router = network.exists(network.router_of(twin.inventory))
    return State(
        home=str(twin.home),
        size=twin.inventory.size,
        layout=twin.inventory.layout,
        machines=tuple(_machines(twin)),
        cuts=tuple(sorted(network.cuts(twin.inventory))) if router else (),
        inside=look(twin) if router else Inside(),
    )


def _machines(twin: Twin) -> Iterator[MachineState]:
    for machine in twin.inventory.machines:
        running = twin.running(machine)
        if not running.folder.exists():
            condition = "not made"
        elif not running.runs:
            condition = "off"
        else:
            condition = "frozen" if running.group.frozen else "on"
        yield MachineState(
            name=machine.name,
            site=machine.site,
            address=str(machine.address),
            groups=machine.groups,
            state=condition,
            memory=running.group.memory_used() // 1024 // 1024,
            limit=machine.memory,
        )


def screen(found: State) -> RenderableType:
    """For people."""
    colours = {"on": "green", "frozen": "cyan", "off": "red", "not made": "dim"}
    table = Table("machine", "place", "address", "for", "state", "memory, MiB", "limit")
    for one in found.machines:
        memory = str(one.memory) if one.state == "on" else ""
        coloured = f"[{colours[one.state]}]{one.state}"
        table.add_row(one.name, one.site, one.address, " ".join(one.groups), coloured, memory, str(one.limit))
    used = sum(one.memory for one in found.machines)
    table.caption = f"size {found.size}, layout {found.layout}; {used:,} MiB in use; {found.home}"
    return Stack(table, *_inside(found.inside), *(f"Cut: {source} → {target}" for source, target in found.cuts))


def _inside(found: Inside) -> Iterator[RenderableType]:
    if found.sites:
        words = (f"{site} {'[green]well' if well else '[red]ill'}[/]" for site, well in found.sites.items())
        yield f"Sites: {', '.join(words)}"
    if found.members:
        table = Table("database", "role", "state", "timeline", "behind, bytes")
        table.title = f"The primary is {found.primary or 'nobody'}"
        for one in found.members:
            table.add_row(one.name, one.role, one.state, str(one.timeline), str(one.lag) if one.lag >= 0 else "?")
        yield table
    if found.nodes:
        words = (f"[{'green' if one.ready else 'red'}]{one.name}[/] {one.zone} {one.version}" for one in found.nodes)
        yield f"Nodes: {', '.join(words)}"
    if found.workloads:
        zones = sorted({node.zone for node in found.nodes})
        table = Table("pods", "ready", *zones)
        for kind in found.workloads:
            ready = sum(kind.ready.values())
            said = f"[{'green' if ready == kind.pods else 'red'}]{ready} of {kind.pods}"
            table.add_row(kind.name, said, *(str(kind.ready.get(zone, "")) for zone in zones))
        yield table
