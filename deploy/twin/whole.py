"""The whole twin: brought up step by step, each of which finds what an earlier, broken run has done; taken down."""

import fcntl
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

from cluster.fetching import Reporter
from deploy.commands import TwinFailed, run
from deploy.images.debian import mirrors
from deploy.twin import base, goods, host, network, snapshots
from deploy.twin.inventory import Inventory, Machine, known, packages, resolve
from deploy.twin.machine import Running
from deploy.twin.playbook import play, wanted

HOME = Path("var/twin")
_BOOT_LIMIT = 300.0  # seconds from power to ssh; a machine alone on an idle computer needs two
_POLL = 0.2


class Twin:
    """The twin of one folder, as it was brought up last."""

    def __init__(self, home: Path, inventory: Inventory) -> None:
        self.home, self.inventory = home, inventory

    @classmethod
    def opened(cls, home: Path) -> "Twin":
        return cls(home, known(home))

    def machine(self, name: str) -> Running:
        """One of its machines, by name."""
        return self.running(self.inventory.machine(name))

    @property
    def machines(self) -> tuple[Running, ...]:
        """Those that have been prepared."""
        return tuple(one for one in map(self.running, self.inventory.machines) if one.folder.exists())

    def chosen(self, names: Sequence[str]) -> tuple[Running, ...]:
        """Prepared machines by name, site or function."""
        found = tuple(one for one in map(self.running, self.inventory.chosen(names)) if one.folder.exists())
        if not found:
            raise TwinFailed(f"None of {', '.join(names) or 'its machines'} has been brought up.")
        return found

    def running(self, machine: Machine) -> Running:
        layers = self.home / "machines" / machine.name / "layers"
        found = tuple(map(Path, layers.read_text(encoding="utf-8").splitlines())) if layers.exists() else ()
        return Running(machine, self.inventory, self.home, found)

    def empty(self, name: str) -> None:
        """Another machine in place of one, switched off: the same name and address, the disk of a new one."""
        old = self.machine(name)
        old.cut_power()
        ground = old.layers[-1]
        old.destroy()
        self.add(old.machine, ground)

    def add(self, machine: Machine, ground: Path) -> None:
        """A new machine, switched off; ``ground`` is what all of them stand on."""
        _lay(self.home, machine, ground, "")
        self.running(machine).prepare()
        _remember_keys(self)

    def boot(self, machines: Sequence[Running]) -> None:
        """Switch machines on and wait until one can get in."""
        for one in machines:
            one.boot()
        _wait_up(machines)


def up(
    home: Path,
    size: str,
    layout: str,
    kubernetes: str,
    only: Sequence[str],
    reporter: Reporter,
    *,
    machines_only: bool,
) -> Twin:
    """Bring it up, or go on where an interrupted run ended."""
    host.check_root()
    host.ensure_programs(reporter)
    with alone(home, reporter):
        check_layout(home, layout)
        with reporter.step("Reading the inventory"):
            twin = Twin(home, resolve(home, size, layout, kubernetes))
        inventory = twin.inventory
        machines, roles = inventory.chosen(only), inventory.roles(only)
        network.check(inventory, home)
        new = tuple(one for one in machines if not twin.running(one).runs)
        host.check_room(new, home)
        given = "" if machines_only else goods.ensure(machines, kubernetes, reporter)
        _keys(home, inventory)
        with base_held(reporter):
            mirror = inventory.mirror or mirrors()["archive"].rstrip("/")
            ground = base.ensure(inventory.release, mirror, packages(), reporter)
            stamp = snapshots.key(inventory, machines, roles, ground, given)
            fresh = not any(twin.running(one).folder.exists() for one in machines)
            if fresh and not machines_only:
                snapshots.take_secrets(stamp, home)
        bare = [one for one in machines if not twin.running(one).folder.exists()]
        host.check_disk(bare, home, kept=all(snapshots.machine(stamp, one.name) for one in bare))
        with reporter.step("Network"):
            host.apply_sysctls(inventory, machines)
            network.up(inventory, home)
        _switch_on(twin, machines, ground, stamp if not machines_only else "", reporter)
        if not machines_only:
            _provision(twin, machines, roles, ground, stamp, reporter)
    return twin


def _switch_on(twin: Twin, machines: Sequence[Machine], ground: Path, stamp: str, reporter: Reporter) -> None:
    with reporter.step(f"Starting {len(machines)} machines", len(machines)) as advance:
        for machine in machines:
            _lay(twin.home, machine, ground, stamp)
            twin.running(machine).prepare()
        running = [twin.running(machine) for machine in machines]
        _remember_keys(twin)
        for one in running:
            one.boot()
        _wait_up(running, advance)


def _lay(home: Path, machine: Machine, ground: Path, stamp: str) -> None:
    """Decide once what a machine's disk lies on: a snapshot of what the playbook made of it, or the bare ground."""
    folder = home / "machines" / machine.name
    layers = folder / "layers"
    if layers.exists() and (folder / "disk").is_dir():
        return
    kept = snapshots.machine(stamp, machine.name) if stamp else None
    if kept is None:
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "disk").mkdir(parents=True)
        layers.write_text(f"{ground}\n", encoding="utf-8")
        return
    snapshots.restore(kept, folder)
    layers.write_text(f"{kept / 'disk'}\n{ground}\n", encoding="utf-8")


def _provision(
    twin: Twin, machines: Sequence[Machine], roles: Sequence[str], ground: Path, stamp: str, reporter: Reporter
) -> None:
    """Let the playbook make of the machines what they are for, unless they come from a snapshot of exactly that."""
    done = twin.home / "provisioned"
    if done.exists() and done.read_text(encoding="ascii") == stamp:
        return
    if all(snapshots.lies_on(stamp, twin.running(machine)) for machine in machines):
        done.write_text(stamp, encoding="ascii")
        return
    done.unlink(missing_ok=True)
    play(twin.home, twin.inventory, [machine.name for machine in machines], reporter, more=wanted(",".join(roles)))
    done.write_text(stamp, encoding="ascii")
    if all(twin.running(machine).layers == (ground,) for machine in machines):
        keep(twin, [twin.running(machine) for machine in machines], ground, stamp, reporter)


def keep(twin: Twin, running: Sequence[Running], ground: Path, stamp: str, reporter: Reporter) -> None:
    """Keep what the playbook has made, so that the next start takes seconds: machines stop, and go on above it."""
    with reporter.step("Keeping the machines for the next start"):
        halt(running)
        with base_held(reporter):
            snapshots.save(stamp, twin.home, running)
        for one in running:
            (one.folder / "layers").unlink()
            _lay(twin.home, one.machine, ground, stamp)
        twin.boot([twin.running(one.machine) for one in running])


def down(home: Path, reporter: Reporter, *, forget: bool = True) -> bool:
    """Take it down; whether there was any. ``forget`` throws the machines' disks away, too."""
    host.check_root()
    if not (home / "inventory.json").exists():
        return False
    with alone(home, reporter):
        twin = Twin.opened(home)
        running = [twin.running(machine) for machine in (*twin.inventory.machines, *strays(twin))]
        with reporter.step("Stopping the machines"):
            if forget:
                for one in running:
                    one.cut_power()
                    one.destroy()
                    one.group.remove()
            else:
                halt(running)
        with reporter.step("Removing the network"):
            host.end_connections(home)
            network.down(twin.inventory)
            host.restore_sysctls(twin.inventory)
        if forget:
            for name in ("inventory.json", "provisioned"):
                (home / name).unlink(missing_ok=True)
            for name in ("machines", "people", "secrets", "ssh"):
                shutil.rmtree(home / name, ignore_errors=True)
    return True


def strays(twin: Twin) -> Iterator[Machine]:
    """Machines that the inventory has no more: the twin was on its way to another layout."""
    known_ones = {one.name for one in twin.inventory.machines}
    for folder in sorted((twin.home / "machines").glob("*")):
        if folder.name not in known_ones:
            yield Machine(name=folder.name, site="", address="", memory=0, groups=())


def halt(running: Sequence[Running]) -> None:
    """Stop machines in good order, all at once."""
    for one in running:
        one.ask_to_stop()
    for one in running:
        one.stopped()


# ---------------------------------------------------------------- pieces


def check_layout(home: Path, layout: str) -> None:
    """Machines that run go to another layout one by one."""
    if (home / "inventory.json").exists() and (home / "machines").exists() and (old := known(home).layout) != layout:
        raise TwinFailed(
            f"The twin in {home} stands in the layout {old}. `python -m deploy.twin switch {layout}` takes it to the "
            "other one, `make twin-down` throws it away."
        )


def _keys(home: Path, inventory: Inventory) -> None:
    """The key with which we get into the machines."""
    folder = home / "ssh"
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    if not (folder / "id.pub").exists():
        (folder / "id").unlink(missing_ok=True)
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"{inventory.prefix}-twin", "-f", folder / "id")


def _remember_keys(twin: Twin) -> None:
    """Write down by which key each machine is known."""
    lines = []
    for one in twin.machines:
        for disk in (one.disk, *one.layers):
            public = disk / "etc/ssh/ssh_host_ed25519_key.pub"
            if public.exists():
                kind, key, *_ = public.read_text(encoding="ascii").split()
                lines.append(f"{one.machine.address} {kind} {key}\n")
                break
    (twin.home / "ssh" / "known_hosts").write_text("".join(lines), encoding="ascii")


def _wait_up(machines: Sequence[Running], advance: Callable[[], None] = lambda: None) -> None:
    until = monotonic() + _BOOT_LIMIT
    waiting = list(machines)
    with ThreadPoolExecutor(max_workers=8) as pool:
        while waiting:
            answers = list(pool.map(Running.up, waiting))
            for up_now in answers:
                if up_now:
                    advance()
            waiting = [one for one, up_now in zip(waiting, answers, strict=True) if not up_now]
            dead = [one.name for one in waiting if not one.group.processes()]
            if monotonic() > until or dead:
                slow = waiting[0] if not dead else next(one for one in waiting if one.name in dead)
                tail = slow.console.read_text(encoding="utf-8", errors="replace")[-800:]
                raise TwinFailed(f"{slow.name} did not come up. The end of {slow.console}:\n{tail}")
            sleep(_POLL if waiting else 0)


@contextmanager
def alone(home: Path, reporter: Reporter) -> Iterator[None]:
    """One at a time changes the twin of a folder."""
    home.mkdir(parents=True, exist_ok=True)
    with _locked(home / "lock", f"Waiting for another one that works on {home}", reporter):
        yield


@contextmanager
def base_held(reporter: Reporter) -> Iterator[None]:
    """One at a time changes the cache."""
    base.cache().mkdir(parents=True, exist_ok=True)
    base.cache().chmod(0o700)  # snapshots hold keys
    with _locked(base.cache() / "lock", f"Waiting for another one that prepares {base.cache()}", reporter):
        yield


@contextmanager
def _locked(path: Path, waiting: str, reporter: Reporter) -> Iterator[None]:
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with reporter.step(waiting):
                fcntl.flock(lock, fcntl.LOCK_EX)
        yield
