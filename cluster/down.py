"""Ending a cluster from outside."""

import os
import signal
from contextlib import suppress
from pathlib import Path
from time import sleep

from cluster import parts
from cluster.fetching import Reporter
from cluster.stages import ClusterFailed
from cluster.supervisor import alone, supervisor_of
from cluster.whole import Cluster

_PAUSE = 0.1  # seconds


def down(folder: Path, reporter: Reporter) -> bool:
    """Stop the cluster of a folder, whoever runs it, and clear away what a killed one left; whether there was any."""
    holder = supervisor_of(folder)
    if holder is not None:
        with reporter.step("Stopping"), suppress(ProcessLookupError):
            os.kill(holder, signal.SIGTERM)
            while supervisor_of(folder) == holder:
                sleep(_PAUSE)
        return True
    if not folder.exists():
        return False
    with alone(folder):
        try:
            cluster = Cluster.opened(folder)
        except (ClusterFailed, parts.PartMissing):
            return False
        cluster.processes.end_leftovers()
        cluster.clear()
    return True
