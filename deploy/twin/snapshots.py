"""Machines as the playbook has left them, kept for the next start.

A snapshot is known by all that went into it: the ground, the machines, the inventory, the playbook and its roles. It
lies under the disk of a machine as a further layer, so that taking and using it costs nothing; folders outside the
overlay are copied. Keys and certificates that the machines know belong to it.
"""

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec

from deploy.commands import run
from deploy.twin.base import cache
from deploy.twin.inventory import DEPLOY, SOURCE, Inventory, Machine
from deploy.twin.machine import Running

_KEPT = 2
"""So many snapshots are kept, the newest; each is a dozen gigabytes."""
_SECRETS = ("secrets", "ssh")
_SOURCES = ("site.yaml", "roles", "tasks", "group_vars", "chart", "images", "parts")


def key(inventory: Inventory, machines: Sequence[Machine], roles: Sequence[str], ground: Path, given: str) -> str:
    """The name of the snapshot of these machines with these roles; ``given`` names the images they were handed."""
    digest = hashlib.sha256()
    digest.update(msgspec.json.encode((ground.name, inventory, [machine.name for machine in machines], roles, given)))
    for source in (SOURCE, *(DEPLOY / name for name in _SOURCES)):
        for path in sorted(source.rglob("*")) if source.is_dir() else [source]:
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(str(path.relative_to(DEPLOY)).encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def machine(stamp: str, name: str) -> Path | None:
    """The folder of one machine in a snapshot, if there is such a snapshot."""
    folder = _folder(stamp) / "machines" / name
    return folder if folder.is_dir() else None


def lies_on(stamp: str, running: Running) -> bool:
    """Whether a machine stands on this snapshot."""
    return _folder(stamp) / "machines" / running.name / "disk" in running.layers


def take_secrets(stamp: str, home: Path) -> None:
    """Use the keys and certificates that the machines of a snapshot know."""
    for name in _SECRETS:
        kept = _folder(stamp) / name
        if kept.is_dir():
            shutil.rmtree(home / name, ignore_errors=True)
            shutil.copytree(kept, home / name)


def save(stamp: str, home: Path, machines: Sequence[Running]) -> None:
    """Move the disks of stopped machines into a snapshot, and copy what lies beside them."""
    target = _folder(stamp)
    making = target.with_name(f"{stamp}.making")
    shutil.rmtree(making, ignore_errors=True)
    for one in machines:
        folder = making / "machines" / one.name
        folder.mkdir(parents=True)
        one.disk.rename(folder / "disk")
        folders = one.folder / "folders"
        if folders.is_dir():
            folders.rename(folder / "folders")
    for name in _SECRETS:
        if (home / name).is_dir():
            shutil.copytree(home / name, making / name)
    shutil.rmtree(target, ignore_errors=True)
    making.rename(target)
    _forget_old()


def restore(kept: Path, folder: Path) -> None:
    """Make a machine's folder ready to go on from a snapshot."""
    console = folder / "console.log"
    said = console.read_bytes() if console.exists() else b""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "disk").mkdir(parents=True)
    console.write_bytes(said)
    if (kept / "folders").is_dir():
        run("cp", "-a", "--reflink=auto", kept / "folders", folder / "folders", limit=600)
    (folder / "prepared").write_text("", encoding="ascii")


def _forget_old() -> None:
    """Keep the newest few that no machine stands on."""
    found = [path for path in _all().iterdir() if path.suffix != ".making"]
    mounted = Path("/proc/mounts").read_text(encoding="utf-8", errors="replace")
    for path in sorted(found, key=lambda one: one.stat().st_mtime, reverse=True)[_KEPT:]:
        if str(path) not in mounted:
            shutil.rmtree(path, ignore_errors=True)


def _folder(stamp: str) -> Path:
    return _all() / stamp


def _all() -> Path:
    folder = cache() / "snapshots"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
