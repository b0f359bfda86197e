"""One machine: a Debian of its own in namespaces of its own, with a disk that outlives its power."""

import os
import shutil
import signal
import socket
import subprocess
import uuid
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from time import monotonic, sleep

from deploy.commands import TwinFailed, run
from deploy.twin import network
from deploy.twin.cgroups import Group
from deploy.twin.inventory import Inventory, Machine

_STOP_LIMIT = 60.0  # seconds for an orderly stop
_POLL = 0.05
_NETWORK = """\
[Match]
Name=host0
[Network]
Address={address}
Gateway={gateway}
LinkLocalAddressing=no
IPv6AcceptRA=no
"""
_CGROUPS = """\
# The control groups in here are this machine's own; they come mounted read-only where the kernel has several kinds.
[Unit]
DefaultDependencies=no
Before=sysinit.target
ConditionPathIsDirectory=/sys/fs/cgroup/memory
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c "for c in /sys/fs/cgroup/*/; do mount -o remount,rw,bind $$c; done"
[Install]
WantedBy=sysinit.target
"""


@dataclass(frozen=True)
class Running:
    """One machine of a twin. ``home`` is the twin's folder, ``layers`` the folders under its disk, uppermost first."""

    machine: Machine
    inventory: Inventory
    home: Path
    layers: tuple[Path, ...] = ()

    @property
    def name(self) -> str:
        return self.machine.name

    @property
    def folder(self) -> Path:
        return self.home / "machines" / self.name

    @property
    def disk(self) -> Path:
        """What the machine has written, over its layers."""
        return self.folder / "disk"

    @property
    def root(self) -> Path:
        return self.folder / "root"

    @property
    def console(self) -> Path:
        """What it said since it was first switched on."""
        return self.folder / "console.log"

    @cached_property
    def group(self) -> Group:
        return Group(self.inventory.prefix, self.name)

    @property
    def runs(self) -> bool:
        return self.group.first_process() is not None

    # ------------------------------------------------------------ its disk

    def prepare(self) -> None:
        """Make its disk ready for the first start: name, address, keys. Does nothing to one that is ready."""
        ready = self.folder / "prepared"
        if ready.exists():
            return
        shutil.rmtree(self.disk, ignore_errors=True)
        self.disk.mkdir(parents=True)
        etc = self.disk / "etc"
        _write(etc / "hostname", f"{self.name}\n")
        _write(etc / "machine-id", f"{uuid.uuid4().hex}\n")
        net = self.inventory.net(self.machine.site)
        network_file = etc / "systemd/network/10-host0.network"
        address = f"{self.machine.address}/{net.prefixlen}"
        gateway = self.inventory.gateway(self.machine.site).ip
        _write(network_file, _NETWORK.format(address=address, gateway=gateway))
        _write(etc / "systemd/system/twin-cgroups.service", _CGROUPS)
        wants = etc / "systemd/system/sysinit.target.wants"
        wants.mkdir(parents=True)
        (wants / "twin-cgroups.service").symlink_to("../twin-cgroups.service")
        self._let_in()
        ready.write_text("", encoding="ascii")

    def _let_in(self) -> None:
        """Our key opens it, and we know its own."""
        keys = self.home / "ssh"
        _write(self.disk / "root/.ssh/authorized_keys", (keys / "id.pub").read_text(encoding="ascii"))
        for path, mode in (("root", 0o700), ("root/.ssh", 0o700), ("root/.ssh/authorized_keys", 0o600)):
            (self.disk / path).chmod(mode)
        own = self.disk / "etc/ssh/ssh_host_ed25519_key"
        own.parent.mkdir(parents=True, exist_ok=True)
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", self.name, "-f", own)

    def destroy(self) -> None:
        """Throw its disk away."""
        self._unmount()
        shutil.rmtree(self.folder, ignore_errors=True)

    # ------------------------------------------------------------ its power

    def boot(self) -> None:
        """Switch it on, without waiting until it is up; does nothing to one that runs."""
        if self.runs:
            return
        # What a real loss of power would have taken away. Left control groups also cost a kubelet seconds each.
        self.group.remove()
        self._mount()
        self.group.make(self.machine.memory, self.machine.weight)
        starter = (
            'for procs in "$@"; do [ "$procs" = -- ] && break; echo 0 > "$procs" || exit 1; shift; done; '
            'shift; exec "$@"'
        )
        groups = [str(folder / "cgroup.procs") for folder in self.group.folders]
        with self.console.open("ab") as console:
            subprocess.Popen(
                ["/bin/sh", "-c", starter, "sh", *groups, "--", *self._command()],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
                cwd="/",
            )

    def _command(self) -> Iterable[str]:
        name = f"{self.inventory.prefix}-{self.name}"
        yield from ("systemd-nspawn", "--quiet", "--boot", f"--directory={self.root}", f"--machine={name}")
        yield from (f"--hostname={self.name}", "--register=no", "--keep-unit", "--console=pipe", "--resolv-conf=off")
        yield f"--network-bridge={network.bridge_of(self.inventory, self.machine.site)}"
        # What a kubelet wants.
        yield from ("--bind=/dev/kmsg", "--capability=CAP_SYSLOG", "--system-call-filter=@keyring")
        for folder in self.machine.folders:
            yield f"--bind={self._outside(folder)}:{folder}"
        for here, there in self.machine.shared:
            yield f"--bind-ro={here}:{there}"

    def _outside(self, folder: str) -> Path:
        """Where a folder lies that the overlay does not carry."""
        return self.folder / "folders" / folder.strip("/").replace("/", "-")

    def _mount(self) -> None:
        self._unmount()
        work = self.folder / "work"
        shutil.rmtree(work, ignore_errors=True)
        # What is made later, such as images, is seen when it is there: a machine may need only other parts of itself.
        shared = (Path(here) for here, _ in self.machine.shared)
        for path in (self.root, work, *shared, *(self._outside(folder) for folder in self.machine.folders)):
            path.mkdir(parents=True, exist_ok=True)
        lower = ":".join(str(layer) for layer in self.layers)
        options = f"lowerdir={lower},upperdir={self.disk},workdir={work}"
        run("mount", "-t", "overlay", f"{self.inventory.prefix}-{self.name}", "-o", options, self.root)

    def _unmount(self) -> None:
        if self.root.is_mount():
            run("umount", self.root)

    def cut_power(self) -> bool:
        """Loss of power: nothing in it gets to do anything any more. Whether it was on."""
        first = self.group.first_process()
        if first is None:
            return False
        self.group.thaw()
        with suppress(ProcessLookupError):
            os.kill(first, signal.SIGKILL)
        self._gone(10)
        return True

    def ask_to_stop(self) -> None:
        """Begin an orderly stop, as its power button would."""
        first = self.group.first_process()
        if first is not None:
            self.group.thaw()
            with suppress(ProcessLookupError):
                os.kill(first, signal.SIGRTMIN + 4)

    def stopped(self) -> None:
        """Wait for the end of an orderly stop; what does not stop is cut off. Its disk is then at rest."""
        if not self._gone(_STOP_LIMIT):
            self.cut_power()
        self._unmount()
        self.group.remove()

    def _gone(self, limit: float) -> bool:
        until = monotonic() + limit
        while self.group.processes():
            if monotonic() > until:
                return False
            sleep(_POLL)
        return True

    # ------------------------------------------------------------ from outside

    def ssh(self, *command: str, limit: float = 20.0, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command in it."""
        return run(*self.ssh_words(), *command, limit=limit, check=check)

    def ssh_words(self) -> tuple[str, ...]:
        keys = self.home / "ssh"
        options = ("BatchMode=yes", "ConnectTimeout=3", f"UserKnownHostsFile={keys / 'known_hosts'}", "LogLevel=ERROR")
        told = tuple(word for option in options for word in ("-o", option))
        return ("ssh", "-i", str(keys / "id"), "-o", "IdentitiesOnly=yes", *told, f"root@{self.machine.address}")

    def up(self) -> bool:
        """Whether its door answers."""
        try:
            with socket.create_connection((self.machine.address, 22), timeout=1) as door:
                door.settimeout(3)
                return door.recv(4) == b"SSH-"
        except OSError:
            return False

    def processes_named(self, pattern: str) -> list[int]:
        """Processes whose command line holds the text, by their numbers outside."""
        found = []
        for pid in sorted(self.group.processes()):
            with suppress(OSError):
                line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if pattern in line:
                    found.append(pid)
        return found

    def send(self, pattern: str, number: signal.Signals) -> int:
        """Signal every process whose command line holds the text; how many there were."""
        pids = self.processes_named(pattern)
        if not pids:
            raise TwinFailed(f"Nothing in {self.name} has {pattern!r} in its command line.")
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        return len(pids)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
