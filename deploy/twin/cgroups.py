"""Control groups of the machines, in whichever form this kernel has them (v1, hybrid or v2).

Each machine starts in a group of its own in every hierarchy, before it gets a namespace for them; so its memory limit,
its accounting and its freezing work from outside, and inside these groups are its roots.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep

from deploy.commands import TwinFailed

_ROOT = Path("/sys/fs/cgroup")
_V2_CONTROLLERS = ("cpu", "cpuset", "io", "memory", "pids")
USUAL_WEIGHT = 1024
"""The part of the processor's time that a group of the same level has where nothing was said; parts are relative."""
_ALL_MACHINES = 8 * USUAL_WEIGHT  # beside what else runs on the machine that carries them


class Group:
    """The control groups of one machine."""

    def __init__(self, prefix: str, name: str, root: Path = _ROOT) -> None:
        self.prefix, self.name, self.root = prefix, name, root

    @property
    def folders(self) -> tuple[Path, ...]:
        """Its folder in every hierarchy."""
        return tuple(top / self.prefix / self.name for top in hierarchies(self.root))

    def make(self, memory: int, weight: int = USUAL_WEIGHT) -> None:
        """Make them, with a limit in MiB, and a part of the processor's time where that is short."""
        for top in hierarchies(self.root):
            for folder in (top / self.prefix, top / self.prefix / self.name):
                folder.mkdir(exist_ok=True)
                _inherit(top, folder)
            _weigh(top / self.prefix, _ALL_MACHINES)
            _weigh(top / self.prefix / self.name, weight)
        limit = str(memory * 1024 * 1024)
        if self._memory.name == "memory.max":
            self._memory.write_text(limit, encoding="ascii")
            return
        with suppress(OSError):  # as it is already on newer kernels
            (self._memory.parent / "memory.use_hierarchy").write_text("1", encoding="ascii")
        self._memory.write_text(limit, encoding="ascii")

    def remove(self) -> None:
        """Take away what a dead machine left; what is in use stays."""
        for folder in self.folders:
            _remove_below(folder)
            with suppress(OSError):
                folder.rmdir()
            with suppress(OSError):  # the last one takes the common folder along
                folder.parent.rmdir()

    def processes(self) -> set[int]:
        """All processes of the machine, by the numbers they have outside."""
        found: set[int] = set()
        for path in self._memory.parent.rglob("cgroup.procs"):
            with suppress(OSError, ValueError):
                found.update(int(line) for line in path.read_text(encoding="ascii").split())
        return found

    def first_process(self) -> int | None:
        """The machine's PID 1 by its number outside, or nothing when it does not run."""
        for pid in sorted(self.processes()):
            with suppress(OSError):
                for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines():
                    if line.startswith("NSpid:") and line.split()[2:] == ["1"]:
                        return pid
        return None

    def memory_used(self) -> int:
        """Bytes that could not be taken away from it at once: all but the page cache that nobody looks at."""
        folder = self._memory.parent
        used = folder / ("memory.current" if self._memory.name == "memory.max" else "memory.usage_in_bytes")
        try:
            told = dict(line.split() for line in (folder / "memory.stat").read_text(encoding="ascii").splitlines())
            idle = int(told.get("total_inactive_file", told.get("inactive_file", "0")))
            return max(0, int(used.read_text(encoding="ascii")) - idle)
        except OSError:
            return 0

    def freeze(self) -> None:
        """Stop all of its processes where they stand; its kernel's side goes on acknowledging packets."""
        self._freezer("FROZEN", "1")

    def thaw(self) -> None:
        self._freezer("THAWED", "0")

    @property
    def frozen(self) -> bool:
        old = self.root / "freezer" / self.prefix / self.name / "freezer.state"
        new = self.root / self.prefix / self.name / "cgroup.freeze"
        with suppress(OSError):
            return old.read_text(encoding="ascii").strip() != "THAWED"
        with suppress(OSError):
            return new.read_text(encoding="ascii").strip() == "1"
        return False

    def _freezer(self, old_word: str, new_word: str) -> None:
        old = self.root / "freezer" / self.prefix / self.name / "freezer.state"
        new = self.root / self.prefix / self.name / "cgroup.freeze"
        path, word = (old, old_word) if old.exists() else (new, new_word)
        try:
            path.write_text(word, encoding="ascii")
            until = monotonic() + 5
            while old.exists() and old.read_text(encoding="ascii").strip() != old_word and monotonic() < until:
                sleep(0.01)
        except OSError as error:
            raise TwinFailed(f"{self.name} cannot be frozen or thawed: {error}.") from None

    @property
    def _memory(self) -> Path:
        old = self.root / "memory"
        if old.is_dir():
            return old / self.prefix / self.name / "memory.limit_in_bytes"
        return self.root / self.prefix / self.name / "memory.max"


def hierarchies(root: Path = _ROOT) -> tuple[Path, ...]:
    """The tops of all hierarchies: one with v2, one for each controller with v1."""
    if (root / "cgroup.controllers").exists():
        return (root,)
    return tuple(sorted(path for path in root.iterdir() if path.is_dir() and not path.is_symlink()))


def _inherit(top: Path, folder: Path) -> None:
    """A new group may do what the one above it may."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        if (top / name).exists() and (folder / name).exists() and not (folder / name).read_text("ascii").strip():
            (folder / name).write_text((top / name).read_text("ascii"), encoding="ascii")
    # In v2 a controller reaches a group when the one above hands it down.
    for controller in (
        _V2_CONTROLLERS if (top / "memory.stat").exists() or (top / "cgroup.controllers").exists() else ()
    ):
        with suppress(OSError):
            (folder.parent / "cgroup.subtree_control").write_text(f"+{controller}", encoding="ascii")


def _weigh(folder: Path, weight: int) -> None:
    """The part of the processor's time, in the words of either form; nothing in hierarchies that do not know it."""
    if (folder / "cpu.shares").exists():
        (folder / "cpu.shares").write_text(str(weight), encoding="ascii")
    elif (folder / "cpu.weight").exists():
        (folder / "cpu.weight").write_text(str(min(10_000, weight * 100 // USUAL_WEIGHT)), encoding="ascii")


def _remove_below(folder: Path) -> None:
    for inner in _deepest_first(folder):
        with suppress(OSError):
            inner.rmdir()


def _deepest_first(folder: Path) -> Iterator[Path]:
    for current, _, _ in os.walk(folder, topdown=False):
        if Path(current) != folder:
            yield Path(current)
