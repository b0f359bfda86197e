"""A newer version of what the cluster is made of, while people use it."""

from rich.console import Console

from cluster.fetching import Reporter
from deploy.twin import goods
from deploy.twin.inventory import resolve
from deploy.twin.playbook import ROLLING, play, wanted
from deploy.twin.whole import Twin

_NODES = ("control_plane", "worker")


def upgrade_kubernetes(twin: Twin) -> tuple[str, ...]:
    """Say in the inventory that it is the version of now, then do what an operator does; the twin stays at that one."""
    inventory = resolve(twin.home, twin.inventory.size, twin.inventory.layout)
    nodes = tuple(one.name for one in twin.chosen(_NODES))
    quiet = Reporter(Console(quiet=True))
    goods.ensure(inventory.chosen(nodes), inventory.kubernetes, quiet)
    play(twin.home, inventory, nodes, quiet, book=ROLLING, more=wanted("kubernetes"))
    return nodes
