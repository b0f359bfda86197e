"""An empty machine takes the place of one that was lost with its disks."""

from cluster.fetching import Reporter
from deploy.twin.playbook import REPLACE, play, wanted
from deploy.twin.whole import Twin

_ASKED = {"worker": "control_plane", "control_plane": "control_plane", "etcd": "etcd", "postgresql": "postgresql"}
"""Who takes a machine of a function in; for all else it is enough that it is there again."""


def replaced(twin: Twin, name: str, reporter: Reporter) -> None:
    """Switch a machine on that has been emptied, and let the playbook make of it what the lost one was."""
    machine = twin.machine(name)
    twin.boot([machine])
    more = (*wanted(",".join(twin.inventory.roles(machine.machine.groups))), "-e", f"replace={name}")
    asked = {_ASKED[function] for function in machine.machine.groups if function in _ASKED}
    names = {name, *(one.name for one in twin.machines if one.runs and asked & set(one.machine.groups))}
    play(twin.home, twin.inventory, sorted(names), reporter, book=REPLACE, more=more)
