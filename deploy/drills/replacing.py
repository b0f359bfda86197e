"""Losing a machine with its disks, and having an empty one take its place, as an operator does it."""

from rich.console import Console

from cluster.fetching import Reporter
from deploy.twin.replacing import replaced
from deploy.twin.whole import Twin


def lose(twin: Twin, name: str) -> tuple[str, ...]:
    """Cut its power, and leave nothing on its disks."""
    twin.empty(name)
    return (name,)


def replace(twin: Twin, names: tuple[str, ...]) -> None:
    """Empty machines under the same names."""
    for name in names:
        replaced(twin, name, Reporter(Console(quiet=True)))
