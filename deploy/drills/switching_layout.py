"""Going to the other layout and back, as an operator does it."""

from rich.console import Console

from cluster.fetching import Reporter
from deploy.twin.readiness import wait_well
from deploy.twin.switching import LAYOUTS, switch
from deploy.twin.whole import Twin

_WELL = 900.0


def there(twin: Twin) -> tuple[str, ...]:
    """All of the other layout is well; the machines that it has."""
    now = switch(twin, LAYOUTS[twin.inventory.layout], Reporter(Console(quiet=True)))
    wait_well(now, _WELL)
    return tuple(one.name for one in now.machines)


def back(twin: Twin) -> None:
    """In the layout that it was in."""
    switch(twin, twin.inventory.layout, Reporter(Console(quiet=True)))
