"""Layout `3+2`: a person has a site lead when the other one is gone with the quorum; later that one is taken back."""

import time

from rich.console import Console

from cluster.fetching import Reporter
from deploy.twin.playbook import PROMOTE, play
from deploy.twin.whole import Twin

_NOTICED = 30.0
"""Seconds after which the person begins: who leads nobody knows by then."""
_DECIDING = ("etcd", "postgresql", "control_plane")


def promote(twin: Twin, gone: str, site: str) -> tuple[str, ...]:
    """Cut the power of one site, and have the other one lead."""
    machines = [one for one in twin.chosen([gone]) if one.runs]
    for one in machines:
        one.cut_power()
    time.sleep(_NOTICED)
    _play(twin, site, "-e", f"promote={site}")
    return tuple(one.name for one in machines)


def take_back(twin: Twin, site: str, names: tuple[str, ...]) -> None:
    """Give the first site power again, and have it follow."""
    twin.boot([twin.machine(name) for name in names])
    _play(twin, "", "-e", f"take_back={site}")


def _play(twin: Twin, site: str, *more: str) -> None:
    names = [one.name for one in twin.chosen(_DECIDING) if site in {"", one.machine.site}]
    play(twin.home, twin.inventory, names, Reporter(Console(quiet=True)), book=PROMOTE, more=more)
