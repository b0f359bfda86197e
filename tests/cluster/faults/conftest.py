"""The whole cluster for tests of faults; ``CLUSTER_HOME`` names one that runs already, say by ``make cluster``."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from cluster import ports
from cluster.control import Control
from cluster.stages import ClusterFailed
from tests.cluster.faults.rehearsal import ROOT, SETTINGS

_START_LIMIT = 300.0
_STOP_LIMIT = 60.0


@pytest.fixture(scope="session")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    """A cluster of the run's own, taken down at the end."""
    if home := os.environ.get("CLUSTER_HOME"):
        yield Control(Path(home))
        return
    folder = tmp_path_factory.mktemp("cluster") / "data"
    log = folder.with_name("cluster.log")
    chosen = [word for name, value in SETTINGS.items() for word in ("--set", f"{name}={value}")]
    command = [sys.executable, "-m", "cluster", "up", "--folder", str(folder), "--port", str(ports.free_base())]
    with log.open("wb") as said:
        supervisor = subprocess.Popen([*command, *chosen], cwd=ROOT, stdout=said, stderr=said)
    try:
        yield _ready(folder, log, supervisor)
    finally:
        supervisor.terminate()
        with suppress(subprocess.TimeoutExpired):
            supervisor.wait(_STOP_LIMIT)
        supervisor.kill()


def _ready(folder: Path, log: Path, supervisor: subprocess.Popen[bytes]) -> Control:
    """The cluster once it says that it is ready."""
    until = time.monotonic() + _START_LIMIT
    while "Ready:" not in log.read_text(encoding="utf-8"):
        if supervisor.poll() is not None or time.monotonic() > until:
            raise ClusterFailed(f"The cluster did not come up:\n{log.read_text(encoding='utf-8')[-4000:]}")
        time.sleep(0.5)
    return Control(folder)
