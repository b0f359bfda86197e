"""The databases of the twin as Patroni tells of them, and as our clients reach them."""

import json
import ssl
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec

from deploy.commands import TwinFailed
from deploy.twin.whole import Twin

_PATRONI = 8008
_LIMIT = 1.5  # seconds for one question
_ETCD_LEADS = (
    "set -a; . /etc/insuretech/patroni-etcd.env; ETCDCTL_CACERT=$ETCD_TRUSTED_CA_FILE ETCDCTL_CERT=$ETCD_CERT_FILE"
    " ETCDCTL_KEY=$ETCD_KEY_FILE etcdctl --endpoints=${ETCD_ADVERTISE_CLIENT_URLS%%,*} endpoint status"
    " | cut -d, -f5"
)
"""Says ``true`` on the member that leads."""


class Sight(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one database's Patroni said of it at a moment; ``role`` is empty when it said nothing."""

    at: float
    member: str
    role: str = ""
    state: str = ""
    timeline: int = 0


@dataclass(frozen=True)
class Databases:
    """The databases of a twin."""

    twin: Twin

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(one.name for one in self.twin.inventory.machines if "postgresql" in one.groups)

    @cached_property
    def tls(self) -> ssl.SSLContext:
        """Trusts the twin's authority alone, and shows our own certificate."""
        folder = self.twin.home / "secrets" / "tls"
        return ssl.create_default_context(cafile=str(folder / "ca.crt"))

    @property
    def password(self) -> str:
        """The administrator's."""
        path = self.twin.home / "secrets" / "postgresql-administrator"
        return path.read_text(encoding="ascii").split()[0]

    def proxies(self, first: str) -> tuple[str, ...]:
        """Addresses of all HAProxies, those of one site first."""
        found = [one for one in self.twin.inventory.machines if "haproxy" in one.groups]
        return tuple(one.address for one in sorted(found, key=lambda one: (one.site != first, one.name)))

    # ------------------------------------------------------------ what Patroni says

    def look(self) -> list[Sight]:
        """Ask every database's Patroni at once."""
        with ThreadPoolExecutor(max_workers=len(self.names)) as pool:
            return list(pool.map(self._ask, self.names))

    def leader(self) -> str | None:
        """Who says that it leads; nobody while none or several do."""
        leading = [sight.member for sight in self.look() if sight.role == "primary" and sight.state == "running"]
        return leading[0] if len(leading) == 1 else None

    def known_leader(self, limit: float = 30.0) -> str:
        """Who leads, once somebody says so: on a busy machine an answer may come too late for one look."""
        until = time.monotonic() + limit
        while (leader := self.leader()) is None:
            if time.monotonic() > until:
                raise TwinFailed(f"Nobody leads the databases for {limit:.0f} s; the twin must be well before a drill.")
            time.sleep(0.5)
        return leader

    def wait_whole(self, limit: float = 180.0) -> float:
        """Wait until one leads and all others follow it on its timeline; the seconds it took."""
        began = time.monotonic()
        while True:
            sights = self.look()
            leading = [sight for sight in sights if sight.role == "primary" and sight.state == "running"]
            following = [sight for sight in sights if sight.role == "replica" and sight.state == "streaming"]
            if len(leading) == 1 and len(following) == len(sights) - 1 and self._agreed():
                return time.monotonic() - began
            if time.monotonic() - began > limit:
                told = ", ".join(f"{one.member} {one.role or 'silent'} {one.state}" for one in sights)
                raise TwinFailed(f"The databases were not whole again after {limit:.0f} s: {told}.")
            time.sleep(1)

    def wait_led_from_witness(self, limit: float = 60.0) -> None:
        """Wait until the witness, if there is one, leads etcd again: a new leader counts the primary's lease anew."""
        until = time.monotonic() + limit
        for witness in (one for one in self.twin.inventory.machines if {"witness", "etcd"} <= {one.site, *one.groups}):
            while "true" not in self.twin.machine(witness.name).ssh(_ETCD_LEADS, limit=30).stdout:
                if time.monotonic() > until:
                    raise TwinFailed(f"{witness.name} does not lead etcd after {limit:.0f} s.")
                time.sleep(1)

    def lead(self, site: str) -> None:
        """Have the primary in a site, by a switch-over in good order if it is elsewhere."""
        leader = self.known_leader()
        if self.twin.inventory.machine(leader).site == site:
            return
        candidate = min(name for name in self.names if self.twin.inventory.machine(name).site == site)
        self.twin.machine(leader).ssh(
            *("patronictl", "-c", "/etc/patroni/config.yml", "switchover", "--force"),
            *("--leader", leader, "--candidate", candidate),
            limit=90,
        )
        self.wait_whole()

    def _agreed(self) -> bool:
        """Whether the leader counts on as many confirmations as it shall."""
        members = self._cluster()
        standbys = [one for one in members if one.get("role") == "quorum_standby"]
        return len(standbys) == len(self.names) - 1

    def _cluster(self) -> list[dict[str, Any]]:
        for name in self.names:
            try:
                found: list[dict[str, Any]] = self._get(name, "/cluster")["members"]
            except (OSError, ValueError, KeyError):
                continue
            return found
        return []

    def _ask(self, name: str) -> Sight:
        at = time.time()
        try:
            told = self._get(name, "/patroni")
        except (OSError, ValueError):
            return Sight(at=at, member=name)
        state = str(told.get("replication_state") or told.get("state", ""))
        return Sight(
            at=at,
            member=name,
            role=str(told.get("role", "")),
            state=state,
            timeline=int(told.get("timeline") or 0),
        )

    def _get(self, name: str, path: str) -> dict[str, Any]:
        address = self.twin.inventory.machine(name).address
        request = urllib.request.Request(f"https://{address}:{_PATRONI}{path}")
        try:
            with urllib.request.urlopen(request, context=self.tls, timeout=_LIMIT) as answer:  # noqa: S310 - https
                body = answer.read()
        except urllib.error.HTTPError as error:
            body = error.read()  # 503 carries the same document
        found: dict[str, Any] = json.loads(body)
        return found
