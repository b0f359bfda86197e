"""Packages of Debian as a tree of files: what a program needs to run, without a package manager, shell or root.

apt chooses and checks the packages with a folder of its own, from the mirrors and by the keys of this machine; their
files are taken as they are. Scripts of packages do not run, so only packages that work without them are for here.
"""

import hashlib
import io
import os
import re
import subprocess
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cluster.fetching import PartFailed, follow
from cluster.parts import cache
from deploy.images.oci import Node, Tree

RELEASE = "trixie"
VERSION = "13"
_KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_NOT_TAKEN = re.compile(
    r"usr/share/(doc|man|info|locale|lintian|bug|doc-base|menu|pixmaps|applications|bash-completion)/"
    r"|usr/lib/(valgrind|systemd|udev|tmpfiles\.d|sysusers\.d)/|etc/(init\.d|cron\.\w+|logrotate\.d|default)/"
    r"|usr/lib/x86_64-linux-gnu/(gconv|audit)/"
)
_MERGED = ("bin", "lib", "lib64", "sbin")  # links into usr/, as every Debian since 12 has them
_NOT_RUN = frozenset({"dpkg", "tar", "perl-base", "debconf", "sensible-utils", "ucf", "java-common", "media-types"})
"""Needed only to install others."""


@dataclass(frozen=True)
class Package:
    """A package of Debian; ``file`` is its archive."""

    name: str
    version: str
    file: Path

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.file.read_bytes()).hexdigest()


class Debian:
    """A folder of apt's own for one release."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or cache() / "debian" / RELEASE
        self._ready = False

    def packages(self, wanted: Iterable[str], *, without: Iterable[str] = ()) -> list[Package]:
        """The packages with all that they need, fetched and checked, less those named in ``without``."""
        self._prepare()
        left_out = _NOT_RUN | set(without)
        names = [name for name in self._closure(sorted(wanted)) if name not in left_out]
        archives = self.folder / "cache"
        archives.mkdir(exist_ok=True)
        versions = self._versions(names)
        files = {name: archives / f"{name}_{versions[name].replace(':', '%3a')}_" for name in names}
        if not all(_archive(start) for start in files.values()):
            self._apt("apt-get", "download", *names, folder=archives)
        return [Package(name, versions[name], _fetched(files[name])) for name in sorted(names)]

    def _prepare(self) -> None:
        """Once a process: the lists of what there is, from this machine's own mirrors."""
        if self._ready:
            return
        for name in ("state/lists/partial", "cache/partial", "etc/empty"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "state" / "status").touch()
        (self.folder / "etc" / "sources.list").write_text(_sources(mirrors()), encoding="ascii")
        self._apt("apt-get", "update", "-q")
        self._ready = True

    def _closure(self, wanted: Sequence[str]) -> list[str]:
        said = self._ask("apt-get", "install", "--simulate", *wanted)
        names = re.findall(r"^Inst (\S+) \(", said, flags=re.MULTILINE)
        if not set(wanted) <= set(names):
            raise PartFailed(f"Debian {VERSION} does not give {', '.join(sorted(set(wanted) - set(names)))}.")
        return sorted(names)

    def _versions(self, names: Sequence[str]) -> dict[str, str]:
        """The version that would be installed of each."""
        said = self._ask("apt-cache", "show", "--no-all-versions", *names)
        return dict(re.findall(r"^Package: (\S+)$.*?^Version: (\S+)$", said, flags=re.MULTILINE | re.DOTALL))

    def _apt(self, *command: str, folder: Path | None = None) -> None:
        follow(self._command(*command), cache() / "log" / "debian.log", {"LC_ALL": "C"}, folder=folder)

    def _ask(self, *command: str) -> str:
        asked = subprocess.run(
            self._command(*command), capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"}, check=False
        )
        if asked.returncode:
            raise PartFailed(f"{' '.join(command)} failed:\n{asked.stderr.strip()[-2000:]}")
        return asked.stdout

    def _command(self, program: str, *words: str) -> tuple[str, ...]:
        places = {
            "Dir": self.folder,
            "Dir::State": self.folder / "state",
            "Dir::State::status": self.folder / "state" / "status",
            "Dir::Cache": self.folder / "cache",
            "Dir::Etc::sourcelist": self.folder / "etc" / "sources.list",
            "Dir::Etc::sourceparts": self.folder / "etc" / "empty",
            "Dir::Etc::parts": self.folder / "etc" / "empty",
            "APT::Architecture": "amd64",
            "APT::Install-Recommends": "false",
            "APT::Sandbox::User": "",
        }
        return (program, *(word for name, value in places.items() for word in ("-o", f"{name}={value}")), *words)


def _archive(start: Path) -> Path | None:
    return next(start.parent.glob(f"{start.name}*.deb"), None)


def _fetched(start: Path) -> Path:
    file = _archive(start)
    if file is None:
        raise PartFailed(f"{start.name.rstrip('_')} was not fetched.")
    return file


def mirrors() -> dict[str, str]:
    """Addresses of Debian's archive and of its security archive, as this machine's own apt has them."""
    said = subprocess.run(
        ("apt-get", "indextargets", "--format", "$(ORIGIN)|$(CODENAME)|$(REPO_URI)", "Identifier: Packages"),
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    found: dict[str, str] = {}
    for line in said.splitlines():
        origin, codename, address = line.split("|")
        if origin == "Debian":
            found.setdefault("security" if codename.endswith("-security") else "archive", address)
    if "archive" not in found:
        raise PartFailed("This machine's apt names no mirror of Debian; run apt-get update on a Debian machine.")
    return found


def _sources(found: dict[str, str]) -> str:
    suites = [(found["archive"], RELEASE), (found["archive"], f"{RELEASE}-updates")]
    if "security" in found:
        suites.append((found["security"], f"{RELEASE}-security"))
    return "".join(f"deb [signed-by={_KEYS}] {address} {suite} main\n" for address, suite in suites)


def tree(packages: Iterable[Package]) -> Tree:
    """The files of packages, less manuals and what only a booted machine uses."""
    made = Tree()
    for name in _MERGED:
        made.link(name, f"usr/{name}")
    for package in packages:
        _unpack(package, made)
    _trust(made)
    return made


def _unpack(package: Package, made: Tree) -> None:
    unpacked = subprocess.run(("dpkg-deb", "--fsys-tarfile", str(package.file)), capture_output=True, check=False)
    if unpacked.returncode:
        raise PartFailed(f"{package.file} cannot be unpacked: {unpacked.stderr.decode(errors='replace').strip()}")
    with tarfile.open(fileobj=io.BytesIO(unpacked.stdout)) as archive:
        files: dict[str, Node] = {}
        for member in archive:
            path = _merged(str(PurePosixPath("/", member.name))[1:])
            if not path or _NOT_TAKEN.match(f"{path}/"):
                continue
            if member.islnk():
                files[path] = files[_merged(str(PurePosixPath("/", member.linkname))[1:])]
            elif member.issym():
                files[path] = Node(0o777, target=member.linkname)
            elif member.isfile():
                content = archive.extractfile(member)
                files[path] = Node(member.mode & 0o755, content.read() if content else b"")
        made.nodes.update(files)


def _merged(path: str) -> str:
    """Where a file lies on a machine whose /lib is a link to /usr/lib."""
    return f"usr/{path}" if path.split("/", 1)[0] in _MERGED and "/" in path else path


def _trust(made: Tree) -> None:
    """The bundle of authorities that the scripts of ca-certificates would write."""
    found = sorted(path for path in made.nodes if path.startswith("usr/share/ca-certificates/"))
    contents = [made.nodes.pop(path).content for path in found]
    bundle = b"".join(content for content in contents if isinstance(content, bytes))
    if bundle:
        made.file("etc/ssl/certs/ca-certificates.crt", bundle)
