"""Compiles parts with Go. A program is kept under its version and a digest of everything that decides what it is."""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cluster.fetching import PartFailed, Reporter, follow
from cluster.parts import PartMissing, alone, cache, sha256, version_in
from deploy.parts.catalogue import PARTS, USUAL, Part

OLDEST_GO = (1, 26)


@dataclass(frozen=True)
class Built:
    """A part in the cache."""

    part: Part
    program: Path

    def called(self, name: str) -> Path:
        """The program by one of its further names."""
        if name not in self.part.names:
            raise PartMissing(f"{self.part.name} has no part {name}.")
        return self.program.with_name(name)

    @property
    def sources(self) -> Path:
        """Where the modules lie that it was made of, by name and version; some hold data files."""
        return cache() / "go" / "mod"


def find(name: str) -> Built:
    """A part as it is in the cache; raises ``PartMissing`` when it is not there."""
    built = _place(PARTS[name])
    if not built.program.is_file():
        raise PartMissing(f"Missing: {name} {built.part.version}. Run: make deploy-parts")
    return built


def build(reporter: Reporter, names: Iterable[str] = USUAL) -> dict[str, Built]:
    """Compile what is missing and check what is there. Safe to repeat and to interrupt; only one does so at a time."""
    made = {}
    with alone(reporter, "lock-go"):
        for name in names:
            made[name] = built = _place(PARTS[name])
            if not built.program.is_file():
                _compile(built, reporter)
            _check(built)
            _point(built)
    return made


def _place(part: Part) -> Built:
    folder = cache() / "parts" / f"{part.name}-{part.version}-{_inputs(part)[:12]}"
    return Built(part, folder / "bin" / part.name)


def current() -> Path:
    """A folder in which every part is found by its name alone, as it was built last."""
    return cache() / "parts" / "current"


def _point(built: Built) -> None:
    """Let ``current`` lead to it; relative, so that it holds wherever the parts' folder is shown."""
    current().mkdir(parents=True, exist_ok=True)
    new = current() / f".{built.part.name}"
    new.unlink(missing_ok=True)
    new.symlink_to(Path("..") / built.program.parent.parent.name / "bin")
    new.replace(current() / built.part.name)


def _inputs(part: Part) -> str:
    """A digest of what decides the program: its module's files and how it is linked."""
    digest = hashlib.sha256(f"{part.package}\n{part.link_flags}\n{part.names}\n".encode())
    for file in sorted(part.module.iterdir()):
        digest.update(f"{file.name}\n".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


def environment() -> dict[str, str]:
    """How Go is called: its modules and what it compiles stay in our cache, and no other Go is fetched."""
    return {
        "GOMODCACHE": str(cache() / "go" / "mod"),
        "GOCACHE": str(cache() / "go" / "build"),
        "GOFLAGS": "-mod=readonly -buildvcs=false -modcacherw",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        "CGO_ENABLED": "0",
        "GOOS": "linux",
    }


def _compile(built: Built, reporter: Reporter) -> None:
    require_go()
    part = built.part
    log = cache() / "log" / f"{part.name}.log"
    building = cache() / "build" / built.program.parent.parent.name
    with reporter.step(f"Fetching the modules of {part.name} {part.version}"):
        follow(("go", "mod", "download"), log, environment(), folder=part.module)
        packages = _packages(part)
    program = building / part.name
    command = ("go", "build", "-v", "-trimpath", "-ldflags", part.link_flags, "-o", str(program), part.package)
    with reporter.step(f"Building {part.name} {part.version}", len(packages)) as advance:
        follow(command, log, environment(), lambda line: advance() if line.strip() in packages else None, part.module)
    for name in part.names:
        program.with_name(name).unlink(missing_ok=True)
        program.with_name(name).symlink_to(part.name)
    program.with_name(f"{part.name}.sha256").write_text(sha256(program), encoding="ascii")
    built.program.parent.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(built.program.parent, ignore_errors=True)
    building.rename(built.program.parent)


def _packages(part: Part) -> frozenset[str]:
    """Everything that would be compiled from nothing; what Go has compiled before it passes over without a word."""
    listed = subprocess.run(
        ("go", "list", "-deps", part.package),
        cwd=part.module,
        env={**os.environ, **environment()},
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        raise PartFailed(f"The packages of {part.name} cannot be told:\n{listed.stderr.strip()[-2000:]}")
    return frozenset(listed.stdout.split())


def require_go() -> None:
    """Raise ``PartMissing`` unless there is a Go that can compile the parts."""
    wanted = ".".join(map(str, OLDEST_GO))
    if shutil.which("go") is None:
        raise PartMissing(f"Kubernetes and its companions are built with Go; install Go {wanted} or newer.")
    said = subprocess.run(("go", "version"), capture_output=True, text=True, check=False).stdout
    if version_in(said) < OLDEST_GO:
        raise PartMissing(f"Go {wanted} or newer is needed; there is {said.strip()}.")


def _check(built: Built) -> None:
    """The program is the one that was built here."""
    kept = built.program.with_name(f"{built.part.name}.sha256")
    if not kept.exists() or kept.read_text(encoding="ascii") != sha256(built.program):
        raise PartFailed(f"{built.program} is not what was built; remove its folder, and it is built again.")
