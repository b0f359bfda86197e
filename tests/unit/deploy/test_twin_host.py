"""What the machine that carries the twin must have."""

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from deploy.commands import TwinFailed
from deploy.twin import host
from deploy.twin.inventory import Machine


class Usage(NamedTuple):
    """Of a disk, what is asked for."""

    free: int


def machine(name: str, *groups: str) -> Machine:
    """One with these functions."""
    return Machine(name=name, site="spb", address="10.60.1.1", memory=512, groups=groups)


WORKERS = [machine(f"spb-w-{number}", "worker") for number in range(4)]


@pytest.mark.parametrize(
    ("machines", "kept", "free", "needed"),
    [
        (WORKERS, False, 22_900, None),
        (WORKERS, False, 22_700, "22,800"),
        (WORKERS, True, 15_300, None),
        (WORKERS, True, 15_100, "15,200"),
        ([machine("witness-1", "control_plane", "worker")], False, 8_000, "8,500"),
        ([machine("cdn-central", "cdn")], False, 2_300, None),
        ([], False, 10, None),
    ],
)
def test_a_disk_too_small_is_told_before_anything_is_made(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    machines: list[Machine],
    free: int,
    needed: str | None,
    *,
    kept: bool,
) -> None:
    """Otherwise the disk is full half an hour later, and everything else on it suffers."""
    monkeypatch.setattr(host, "cache", lambda: tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(free * 1_000_000))
    if needed is None:
        host.check_disk(machines, tmp_path, kept=kept)
        return
    with pytest.raises(TwinFailed, match=f"and {needed} are needed"):
        host.check_disk(machines, tmp_path, kept=kept)
