"""What the machine that carries the twin must have, and what is changed on it meanwhile."""

import json
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from cluster.fetching import Reporter, follow
from deploy.commands import TwinFailed, run
from deploy.twin.base import cache
from deploy.twin.inventory import Inventory, Machine, control_sockets

_PROGRAMS = {
    "systemd-nspawn": "systemd-container",
    "debootstrap": "debootstrap",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "sysctl": "procps",
}
_DISK = {"worker": (3_300, 1_900), "control_plane": (700, 600), "postgresql": (600, 300)}
"""MB of disk that a machine takes, as measured after the first start: its own, and of what is kept of it."""
_DISK_ELSE = (150, 100)
_DISK_LEAST = 2_000  # MB that stay free
_SHARE = 0.75
"""A machine rarely uses all it may: so much of the sum of limits must be there."""

_CHANGED = Path("/run/insuretech-twin")
"""What twins have changed on this machine; gone after a restart of it, as the changes are."""


def check_root() -> None:
    """Machines, bridges and mounts are root's business."""
    if os.geteuid() != 0:
        raise TwinFailed("The twin makes machines and bridges, which only root may: run it as root.")


def ensure_programs(reporter: Reporter) -> None:
    """Install what is missing where apt is there; else say what is."""
    missing = {program: package for program, package in _PROGRAMS.items() if shutil.which(program) is None}
    if not missing:
        return
    packages = sorted(set(missing.values()))
    if shutil.which("apt-get") is None:
        raise TwinFailed(f"Missing: {', '.join(sorted(missing))}. Install the packages {', '.join(packages)}.")
    environment = {"DEBIAN_FRONTEND": "noninteractive"}
    log = cache() / "log" / "apt.log"
    with reporter.step(f"Installing {', '.join(packages)}"):
        follow(("apt-get", "update", "-q"), log, environment)
        follow(("apt-get", "install", "-q", "-y", "--no-install-recommends", *packages), log, environment)


def check_room(machines: tuple[Machine, ...], home: Path) -> None:
    """Refuse when memory or the file system will not do."""
    wanted = int(sum(machine.memory for machine in machines) * _SHARE)
    free = _available_memory()
    if free < wanted:
        raise TwinFailed(
            f"These {len(machines)} machines need about {wanted:,} MiB of memory and {free:,} are free. "
            "Start fewer (ONLY=postgresql,etcd,haproxy) or free some."
        )
    home.mkdir(parents=True, exist_ok=True)
    kind = run("stat", "--file-system", "--format=%T", home).stdout.strip()
    if kind in {"overlayfs", "tmpfs"}:
        raise TwinFailed(
            f"{home} lies on {kind}, which cannot carry the machines' disks; set TWIN_HOME to a plain disk."
        )
    if "\toverlay\n" not in Path("/proc/filesystems").read_text(encoding="ascii"):
        run("modprobe", "overlay")


def check_disk(machines: Sequence[Machine], home: Path, *, kept: bool) -> None:
    """Refuse when there is no room for machines that have no disk yet; ``kept``: they go on from a snapshot."""
    parts = [_disk_of(machine) for machine in machines]
    own, copies = sum(part[0] for part in parts), 0 if kept else sum(part[1] for part in parts)
    apart = home.stat().st_dev != cache().stat().st_dev
    for folder, needed in ((home, own), (cache(), copies)) if apart else ((home, own + copies),):
        left = shutil.disk_usage(folder).free // 1_000_000
        if needed and left < needed + _DISK_LEAST:
            kept_ones = cache() / "snapshots"
            raise TwinFailed(
                f"{folder} has {left:,} MB of disk left, and {needed + _DISK_LEAST:,} are needed. "
                f"Machines kept from earlier twins, in {kept_ones}, may be removed when none stands on them."
            )


def _disk_of(machine: Machine) -> tuple[int, int]:
    """What its functions take together."""
    found = [_DISK[group] for group in machine.groups if group in _DISK] or [_DISK_ELSE]
    return sum(own for own, _ in found), sum(kept for _, kept in found)


def _available_memory() -> int:
    """MiB that programs can still have."""
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) // 1024
    return 0


# ---------------------------------------------------------------- settings of the kernel


def apply_sysctls(inventory: Inventory, machines: tuple[Machine, ...]) -> None:
    """Set what machines want of the kernel that they share, and remember how it was."""
    wanted = {name: str(value) for machine in machines for name, value in machine.sysctls.items()}
    before = _remembered(inventory) | {name: _sysctl(name) for name in wanted.keys() - _remembered(inventory).keys()}
    # Another twin may have changed them already: then what it found is what was there.
    for others in _others(inventory):
        before |= {name: value for name, value in others.items() if name in before}
    if before:
        _CHANGED.mkdir(parents=True, exist_ok=True)
        _record(inventory).write_text(json.dumps(before), encoding="ascii")
    for name, value in wanted.items():
        if _sysctl(name) != value:
            run("sysctl", "-qw", f"{name}={value}")


def restore_sysctls(inventory: Inventory) -> None:
    """Put back what was, unless another twin still relies on it."""
    before = _remembered(inventory)
    kept = {name for others in _others(inventory) for name in others}
    for name, value in before.items():
        if name not in kept and _sysctl(name) != value:
            run("sysctl", "-qw", f"{name}={value}")
    _record(inventory).unlink(missing_ok=True)
    with suppress(OSError):
        _CHANGED.rmdir()


def _record(inventory: Inventory) -> Path:
    return _CHANGED / f"{inventory.prefix}.json"


def _remembered(inventory: Inventory) -> dict[str, str]:
    with suppress(FileNotFoundError):
        found: dict[str, str] = json.loads(_record(inventory).read_text(encoding="ascii"))
        return found
    return {}


def _others(inventory: Inventory) -> list[dict[str, str]]:
    ours = _record(inventory)
    return [json.loads(path.read_text(encoding="ascii")) for path in _CHANGED.glob("*.json") if path != ours]


def _sysctl(name: str) -> str:
    return run("sysctl", "-n", name).stdout.strip()


# ---------------------------------------------------------------- what Ansible leaves


def end_connections(home: Path) -> None:
    """End the ssh processes that Ansible keeps for its next run."""
    folder = control_sockets(home)
    for socket in folder.glob("*"):
        run("ssh", "-o", f"ControlPath={socket}", "-O", "exit", "any", check=False, limit=5)
        socket.unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()
