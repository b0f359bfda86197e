"""All databases go back to a moment: who may write meanwhile, and the restored one that takes their place."""

from cluster.fetching import Reporter
from deploy.twin.playbook import GO_BACK, play
from deploy.twin.whole import Twin


def writes(twin: Twin, on: str, reporter: Reporter) -> None:
    """Let nobody write (``off``), or everybody again (``on``)."""
    _play(twin, f"writes={on}", reporter)


def go_back(twin: Twin, name: str, reporter: Reporter) -> None:
    """The database that was brought back on a machine takes the place of all."""
    _play(twin, f"go_back_with={name}", reporter)


def _play(twin: Twin, told: str, reporter: Reporter) -> None:
    names = [one.name for one in twin.chosen(["postgresql", "etcd"]) if one.runs]
    play(twin.home, twin.inventory, names, reporter, book=GO_BACK, more=("-e", told))
