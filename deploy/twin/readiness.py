"""Whether all of the twin is well, and waiting until it is."""

import time

from cluster.fetching import Reporter
from deploy.commands import TwinFailed
from deploy.twin.inside import Inside, Workload, look
from deploy.twin.whole import Twin

_LIMIT = 1200.0  # seconds; a few minutes where there is a processor for every machine
_PAUSE = 2.0


def ill(found: Inside) -> list[str]:
    """What of a whole twin is not well, each in a few words."""
    databases = [] if found.primary else ["no database takes writes"]
    sites = [f"site {site}" for site, well in found.sites.items() if not well] if found.sites else ["both sites"]
    nodes = [f"node {one.name}" for one in found.nodes if not one.ready] if found.nodes else ["the API servers"]
    pods = [f"{_lacking(one)} of {one.name}" for one in found.workloads if _lacking(one)]
    return [*databases, *sites, *nodes, *pods, *([] if found.workloads else ["all pods"])]


def until_ready(twin: Twin, reporter: Reporter) -> None:
    """Return when all of it is well; says what is not after twenty minutes."""
    with reporter.step("Waiting until everything is ready"):
        wait_well(twin, _LIMIT)


def wait_well(twin: Twin, limit: float) -> None:
    """Return when databases, sites, nodes and every pod are well; raises ``TwinFailed`` after so many seconds."""
    until = time.monotonic() + limit
    while missing := ill(look(twin)):
        if time.monotonic() > until:
            raise TwinFailed(
                f"Not ready after {limit / 60:.0f} minutes: {', '.join(missing)}. "
                "The machines go on; `make twin-status` shows how they are."
            )
        time.sleep(_PAUSE)


def _lacking(one: Workload) -> int:
    return one.pods - sum(one.ready.values())
