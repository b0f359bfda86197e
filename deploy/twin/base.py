"""The ground that all machines stand on: a Debian by debootstrap with the packages of all roles, made once.

Made in the cache, under a name that follows from what is in it; an interrupted one is thrown away. Nothing in it is
enabled but what a machine needs to be reached: what runs where is the roles' matter.
"""

import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from cluster.fetching import Reporter, follow
from deploy.commands import run

_FIRST = (
    *("systemd", "systemd-sysv", "systemd-resolved", "dbus", "openssh-server", "python3", "python3-apt", "iproute2"),
    *("iputils-ping", "ca-certificates", "procps", "kmod"),
)
"""What must be there before the first role can run."""

_PRESET = """\
# Nothing starts before a role has said so.
enable systemd-networkd.service
enable ssh.service
enable dbus.socket
enable getty.target
disable *
"""
_SOURCES = """\
Types: deb
URIs: {mirror}
Suites: {release} {release}-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
"""
_NO_START = "#!/bin/sh\nexit 101\n"


def cache() -> Path:
    """Where bases and snapshots are kept, outside the checkout: TWIN_CACHE or ~/.cache/insuretech/twin."""
    named = os.environ.get("TWIN_CACHE")
    return Path(named).expanduser().absolute() if named else Path.home() / ".cache" / "insuretech" / "twin"


def key(release: str, packages: Sequence[str]) -> str:
    """The name of a base with these packages."""
    recipe = "\n".join((release, *_FIRST, *sorted(packages), _PRESET))
    return f"{release}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"


def ensure(release: str, mirror: str, packages: Sequence[str], reporter: Reporter) -> Path:
    """The folder of the base, made if it is not there: some minutes the first time. The caller holds the cache."""
    target = cache() / "bases" / key(release, packages)
    if target.is_dir():
        return target
    ground = _bootstrapped(release, mirror, reporter)
    making = target.with_name(f"{target.name}.making")
    shutil.rmtree(making, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    run("cp", "-a", "--reflink=auto", ground, making, limit=300)
    _install(making, packages, reporter)
    _settle(making)
    making.replace(target)
    return target


def _bootstrapped(release: str, mirror: str, reporter: Reporter) -> Path:
    """A Debian that a role can be run on, and no more."""
    recipe = hashlib.sha256("\n".join((release, *_FIRST)).encode()).hexdigest()[:12]
    target = cache() / "bases" / f"ground-{recipe}"
    if target.is_dir():
        return target
    making = target.with_name(f"{target.name}.making")
    shutil.rmtree(making, ignore_errors=True)
    making.parent.mkdir(parents=True, exist_ok=True)
    command = ("debootstrap", "--variant=minbase", f"--include={','.join(_FIRST)}", release, str(making), mirror)
    with reporter.step(f"Fetching Debian {release}", 270) as advance:
        # Two lines for each package: fetched and unpacked.
        follow(command, _log(), {}, lambda line: advance() if line.startswith(("I: Retrieving", "I: Conf")) else None)
    sources = making / "etc/apt/sources.list.d/debian.sources"
    sources.write_text(_SOURCES.format(mirror=mirror, release=release), encoding="ascii")
    (making / "etc/apt/sources.list").unlink(missing_ok=True)
    making.replace(target)
    return target


def _install(root: Path, packages: Sequence[str], reporter: Reporter) -> None:
    """The packages of all roles; a server that is installed must not start in here."""
    if not packages:
        return
    forbids = root / "usr/sbin/policy-rc.d"
    forbids.write_text(_NO_START, encoding="ascii")
    forbids.chmod(0o755)
    # Debian makes a cluster as soon as PostgreSQL is installed; the role has another one in mind.
    for name, text in (("postgresql-common/createcluster.conf", "create_main_cluster = false\n"),):
        path = root / "etc" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="ascii")
    resolver = root / "etc/resolv.conf"
    resolver.unlink(missing_ok=True)
    shutil.copy("/etc/resolv.conf", resolver)
    environment = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    inside = ("chroot", str(root))
    with reporter.step(f"Installing the packages of all roles ({len(packages)} and what they need)"):
        follow((*inside, "apt-get", "update", "-q"), _log(), environment)
        install = ("apt-get", "install", "-q", "-y", "--no-install-recommends")
        follow((*inside, *install, *packages), _log(), environment)
    forbids.unlink()
    shutil.rmtree(root / "var/cache/apt/archives", ignore_errors=True)
    (root / "var/cache/apt/archives/partial").mkdir(parents=True)


def _settle(root: Path) -> None:
    """Nothing is enabled, and nothing is in it that must differ from machine to machine."""
    preset = root / "etc/systemd/system-preset/00-twin.preset"
    preset.parent.mkdir(parents=True, exist_ok=True)
    preset.write_text(_PRESET, encoding="ascii")
    run("systemctl", f"--root={root}", "preset-all")
    preset.unlink()
    for path in (*root.glob("etc/ssh/ssh_host_*"), root / "etc/hostname", root / "etc/resolv.conf"):
        path.unlink(missing_ok=True)
    (root / "etc/machine-id").write_text("", encoding="ascii")


def _log() -> Path:
    return cache() / "log" / "base.log"
