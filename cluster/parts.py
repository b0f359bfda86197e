"""What must be on this machine before anything starts: Kafka's jars, Garage, Redis, HAProxy and a Java.

``install`` gets what is missing, once, into a cache outside the checkout. Kafka comes from Maven and is compared with
checksums kept here; Garage is built by cargo from its crate, whose checksum is kept here and whose Cargo.lock holds
those of the rest; the others are packages of the distribution, whose signatures apt checks.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cluster.fetching import PartFailed, Reporter, follow
from cluster.kafka import archive_classes
from insuretech.kit.failures import Unusable

KAFKA = "4.3.1"
GARAGE = "2.5.0"
_GARAGE_CRATE = "e1752af176a3cd84e9afd6edf30df594db92b7730cc67bddcd74769841b3f3f5"
_GARAGE_CRATES = 272
"""So many crates are compiled, which is how we know how far it is."""

_DATA = Path(__file__).with_name("data")
_PACKAGES = {
    "java": "default-jre-headless",
    "redis-server": "redis-server",
    "haproxy": "haproxy",
}
_OLDEST: Mapping[str, tuple[tuple[str, ...], tuple[int, int]]] = {
    "java": (("java", "-version"), (17, 0)),
    "redis-server": (("redis-server", "--version"), (7, 0)),
    "haproxy": (("haproxy", "-v"), (2, 6)),
    "cargo": (("cargo", "--version"), (1, 88)),
}
_NO_START = Path("/usr/sbin/policy-rc.d")
_NO_START_TEXT = (
    "#!/bin/sh\n# Made by `python -m cluster parts` while it installs packages; may be removed.\nexit 101\n"
)


class PartMissing(Unusable):
    """A part is not there; the message says how to get it."""


@dataclass(frozen=True)
class Installed:
    """Where the parts are; ``kafka`` is the folder of its jars."""

    kafka: Path
    garage: Path
    java: str = "java"
    redis_server: str = "redis-server"
    haproxy: str = "haproxy"


def cache() -> Path:
    """Where what was fetched and built is kept, outside the checkout: CLUSTER_CACHE or ~/.cache/insuretech."""
    named = os.environ.get("CLUSTER_CACHE")
    return Path(named).expanduser().absolute() if named else Path.home() / ".cache" / "insuretech"


def find() -> Installed:
    """The parts as they are in the cache and on the path; raises ``PartMissing`` naming all that are not there."""
    installed = _places()
    missing = [program for program in _PACKAGES if shutil.which(program) is None]
    if not installed.kafka.is_dir():
        missing.append(f"Kafka {KAFKA}")
    if not installed.garage.is_file():
        missing.append(f"Garage {GARAGE}")
    if missing:
        raise PartMissing(f"Missing: {', '.join(missing)}. Run: make cluster-parts")
    return installed


def find_kafka() -> Path:
    """The folder of Kafka's jars, each compared with its checksum."""
    folder = _places().kafka
    if not folder.is_dir():
        raise PartMissing(f"Missing: Kafka {KAFKA}. Run: make cluster-parts")
    _check_kafka(folder)
    return folder


def find_garage() -> Path:
    """Garage as it was built here."""
    program = _places().garage
    if not program.is_file():
        raise PartMissing(f"Missing: Garage {GARAGE}. Run: make cluster-parts")
    _check_garage(program)
    return program


def install(reporter: Reporter) -> Installed:
    """Get what is missing and check what is there. Only one does so at a time; others wait and find it done.

    May be interrupted at any moment and goes on where it was.
    """
    with alone(reporter):
        _ensure_packages(reporter, _PACKAGES)
        installed = _places()
        if not installed.kafka.is_dir():
            _ensure_packages(reporter, {"mvn": "maven"})
            _fetch_kafka(installed, reporter)
        _check_kafka(installed.kafka)
        if not installed.kafka.with_name("classes.jsa").exists():
            _share_classes(installed, reporter)
        if not installed.garage.is_file():
            _build_garage(installed, reporter)
        _check_garage(installed.garage)
    return installed


def _places() -> Installed:
    folder = cache() / "parts"
    return Installed(kafka=folder / f"kafka-{KAFKA}" / "libs", garage=folder / f"garage-{GARAGE}" / "bin" / "garage")


# ---------------------------------------------------------------- packages of the distribution


def _ensure_packages(reporter: Reporter, wanted: Mapping[str, str]) -> None:
    """Install packages whose programs are missing, where we may; refuse what is too old."""
    missing = {program: package for program, package in wanted.items() if shutil.which(program) is None}
    if missing:
        names = " ".join(sorted(missing.values()))
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            raise PartMissing(f"Missing: {', '.join(missing)}. Install them, on Debian: apt install {names}")
        with reporter.step(f"Installing {names}"), _no_services():
            environment = {"DEBIAN_FRONTEND": "noninteractive"}
            log = cache() / "log" / "apt.log"
            follow(("apt-get", "update", "-q"), log, environment)
            install = ("apt-get", "install", "-q", "-y", "--no-install-recommends")
            follow((*install, *sorted(missing.values())), log, environment)
    for program in wanted:
        require_version(program)


@contextmanager
def _no_services() -> Iterator[None]:
    """Debian starts a server as soon as it is installed, unless this file forbids it."""
    ours = not _NO_START.exists() or _NO_START.read_text(encoding="utf-8") == _NO_START_TEXT
    if ours:
        _NO_START.write_text(_NO_START_TEXT, encoding="utf-8")
        _NO_START.chmod(0o755)
    try:
        yield
    finally:
        if ours:
            _NO_START.unlink(missing_ok=True)


def require_version(program: str) -> None:
    """Raise ``PartMissing`` when a program is older than what we rely on."""
    if program not in _OLDEST:
        return
    command, oldest = _OLDEST[program]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    found = version_in(said.stdout + said.stderr)
    if found < oldest:
        wanted, have = (".".join(map(str, version)) for version in (oldest, found))
        raise PartMissing(f"{program} is {have}, and {wanted} or newer is needed.")


def version_in(text: str) -> tuple[int, int]:
    """The first number of the form X.Y in what a program says of itself; (0, 0) when there is none."""
    found = re.search(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


# ---------------------------------------------------------------- Kafka


def _fetch_kafka(installed: Installed, reporter: Reporter) -> None:
    expected = checksums()
    project = cache() / "build" / f"kafka-{KAFKA}"
    jars = project / "libs"
    shutil.rmtree(project, ignore_errors=True)
    project.mkdir(parents=True)
    shutil.copy(_DATA / "kafka-pom.xml", project / "pom.xml")
    command = (
        "mvn",
        "--batch-mode",
        "--strict-checksums",
        f"-Dkafka.version={KAFKA}",
        "-DincludeScope=runtime",
        f"-DoutputDirectory={jars}",
        "dependency:copy-dependencies",
    )
    with reporter.step(f"Fetching Kafka {KAFKA}", 2 * len(expected)) as advance:
        look = counting(r"(Downloaded .*\.jar|Copying \S+\.jar)", advance)
        follow(command, cache() / "log" / "kafka.log", {}, look, project)
    _check_kafka(jars)
    installed.kafka.parent.mkdir(parents=True, exist_ok=True)
    jars.replace(installed.kafka)
    shutil.rmtree(project)


def checksums() -> dict[str, str]:
    """SHA-256 of every jar by its name."""
    lines = (_DATA / "kafka.sha256").read_text(encoding="ascii").splitlines()
    return {name: digest for digest, name in (line.split() for line in lines)}


def _check_kafka(folder: Path) -> None:
    """Raise ``PartFailed`` unless the folder holds exactly the jars that we know."""
    known = checksums()
    found = {jar.name: sha256(jar) for jar in folder.glob("*.jar")}
    wrong = sorted(name for name in {*known, *found} if known.get(name) != found.get(name))
    if wrong:
        raise PartFailed(f"Kafka's {', '.join(wrong[:3])} in {folder} is not what it should be; remove the folder.")


def _share_classes(installed: Installed, reporter: Reporter) -> None:
    """Let one broker write down its parsed classes: every later start takes a third of the time."""
    archive = installed.kafka.with_name("classes.jsa")
    with reporter.step("Preparing Kafka for quick starts"):
        archive_classes(installed.kafka, installed.java, archive, cache() / "build" / "kafka-classes")


# ---------------------------------------------------------------- Garage


def _build_garage(installed: Installed, reporter: Reporter) -> None:
    if shutil.which("cargo") is None:
        raise PartMissing("Garage is built with cargo; install Rust 1.88 or newer (https://rustup.rs).")
    require_version("cargo")
    target, root = cache() / "build" / f"garage-{GARAGE}", cache() / "build" / "garage-root"
    environment = {
        "CARGO_TARGET_DIR": str(target),
        "CARGO_TERM_COLOR": "never",
        "CARGO_INCREMENTAL": "0",
        # Half the time of building; what Garage does most is done by libraries that bring their own.
        "CARGO_PROFILE_RELEASE_OPT_LEVEL": "1",
        "CARGO_PROFILE_RELEASE_LTO": "off",
        "CARGO_PROFILE_RELEASE_STRIP": "symbols",
    }
    command = (
        *("cargo", "install", "garage", "--version", f"={GARAGE}", "--locked", "--no-track", "--force"),
        *("--no-default-features", "--features", "bundled-libs,lmdb,metrics", "--root", str(root)),
    )
    with reporter.step(f"Building Garage {GARAGE}", _GARAGE_CRATES) as advance:
        follow(command, cache() / "log" / "garage.log", environment, counting(r"^\s*Compiling ", advance))
    _check_crate()
    installed.garage.parent.mkdir(parents=True, exist_ok=True)
    built = root / "bin" / "garage"
    installed.garage.with_name("garage.sha256").write_text(sha256(built), encoding="ascii")
    built.replace(installed.garage)
    for folder in (target, root):
        shutil.rmtree(folder, ignore_errors=True)


def garage_crates() -> str:
    """The Cargo.lock by which Garage was built."""
    with tarfile.open(_check_crate()) as crate:
        lock = crate.extractfile(f"garage-{GARAGE}/Cargo.lock")
        return lock.read().decode() if lock else ""


def _check_crate() -> Path:
    """The crate that was built is the one we know; its Cargo.lock vouches for all others."""
    home = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo"))
    for crate in (home / "registry" / "cache").glob(f"*/garage-{GARAGE}.crate"):
        if sha256(crate) != _GARAGE_CRATE:
            raise PartFailed(f"{crate} is not the Garage {GARAGE} that we know; nothing was installed.")
        return crate
    raise PartFailed(f"The crate of Garage {GARAGE} is not in {home}, so that it cannot be checked.")


def _check_garage(program: Path) -> None:
    """The program is the one that was built here."""
    kept = program.with_name("garage.sha256")
    if not kept.exists() or kept.read_text(encoding="ascii") != sha256(program):
        raise PartFailed(f"{program} is not what was built; remove it, and it is built again.")


# ---------------------------------------------------------------- shared


def counting(pattern: str, advance: Callable[[], None]) -> Callable[[str], None]:
    """What to do with each line of a command's output: go on by one for every line that fits."""
    fits = re.compile(pattern)

    def look(line: str) -> None:
        if fits.search(line):
            advance()

    return look


@contextmanager
def alone(reporter: Reporter, name: str = "lock") -> Iterator[None]:
    """Two of us at once would write over each other; ``name`` is the lock's file in the cache."""
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / name).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with reporter.step(f"Waiting for another one that prepares {cache()}"):
                fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def sha256(path: Path) -> str:
    """The checksum of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
