"""An empty machine takes the place of one that was lost with its disks."""

from cluster.fetching import Reporter
from deploy.twin.playbook import REPLACE, play, wanted
from deploy.twin.whole import Twin


def replaced(twin: Twin, name: str, reporter: Reporter) -> None:
    """Switch a machine on that has been emptied, and let the playbook make of it what the lost one was."""
    machine = twin.machine(name)
    twin.boot([machine])
    more = (*wanted(",".join(twin.inventory.roles(machine.machine.groups))), "-e", f"replace={name}")
    play(twin.home, twin.inventory, [one.name for one in twin.machines if one.runs], reporter, book=REPLACE, more=more)
