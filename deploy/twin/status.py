"""One screen of the twin: its machines, what they use, and what is cut."""

from collections.abc import Iterator

import msgspec
from rich.console import Group as Stack
from rich.console import RenderableType
from rich.table import Table

from deploy.twin import network
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


def state(twin: Twin) -> State:
    """Look at all of it."""
    router = network.exists(network.router_of(twin.inventory))
    return State(
        home=str(twin.home),
        size=twin.inventory.size,
        layout=twin.inventory.layout,
        machines=tuple(_machines(twin)),
        cuts=tuple(sorted(network.cuts(twin.inventory))) if router else (),
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
    lines = [f"Cut: {source} → {target}" for source, target in found.cuts]
    return Stack(table, *lines)
