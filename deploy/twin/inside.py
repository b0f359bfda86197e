"""What runs in the twin as its own parts tell of it: databases, sites, nodes, pods. Whoever is silent is left out."""

import json
import ssl
import subprocess
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import httpx
import msgspec

from cluster.parts import cache
from deploy.twin.person import HOST
from deploy.twin.whole import Twin

_LIMIT = 2.0  # seconds for one answer
_KUBECTL_LIMIT = 15.0
_PATRONI = 8008
_ENDED = {"Succeeded", "Failed"}
"""Pods that have done what they were made for, or were replaced."""
T = TypeVar("T")


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A member of the databases; ``lag`` in bytes behind the leader as Patroni counts it, -1 where it is not known."""

    name: str
    role: str
    state: str
    timeline: int
    lag: int


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A node of Kubernetes."""

    name: str
    zone: str
    ready: bool
    version: str


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """Pods of one kind: how many are ready in each zone, how many there are, and whether they are services of ours."""

    name: str
    ready: Mapping[str, int]
    pods: int
    service: bool = False


class Inside(msgspec.Struct, frozen=True, kw_only=True):
    """All that was told. ``sites``: whether each says that it is well as a whole."""

    members: tuple[Member, ...] = ()
    sites: Mapping[str, bool] = {}
    nodes: tuple[Node, ...] = ()
    workloads: tuple[Workload, ...] = ()

    @property
    def primary(self) -> str:
        """Who takes writes; empty when nobody says so."""
        return next((one.name for one in self.members if one.role == "leader" and one.state == "running"), "")


def look(twin: Twin) -> Inside:
    """Ask everybody at once; what is not there yet is empty."""
    authority = twin.home / "secrets" / "tls" / "ca.crt"
    if not authority.exists():
        return Inside()
    tls = ssl.create_default_context(cafile=str(authority))
    with ThreadPoolExecutor(max_workers=4) as pool:
        members = pool.submit(_quietly, lambda: tuple(_members(twin, tls)), ())
        sites = pool.submit(_quietly, lambda: dict(_sites(twin, tls)), {})
        nodes = pool.submit(_quietly, lambda: tuple(_nodes(_kubectl(twin, "get", "nodes"))), ())
        pods = pool.submit(_quietly, lambda: _kubectl(twin, "get", "pods", "--namespace", "insuretech"), {"items": []})
    zones = {node.name: node.zone for node in nodes.result()}
    return Inside(
        members=members.result(),
        sites=sites.result(),
        nodes=nodes.result(),
        workloads=tuple(_workloads(pods.result()["items"], zones)),
    )


def kubectl(twin: Twin) -> tuple[str, ...]:
    """The words with which a command to the twin's cluster begins."""
    program = cache() / "parts" / "current" / "kubernetes" / "kubectl"
    return (str(program), "--kubeconfig", str(kubeconfig(twin)))


def kubeconfig(twin: Twin) -> Path:
    """The administrator's way in; there once the marketplace has been installed."""
    return twin.home / "secrets" / "marketplace" / "kubeconfig"


def _quietly(ask: Callable[[], T], nothing: T) -> T:
    try:
        return ask()
    except (OSError, ValueError, KeyError, httpx.HTTPError, subprocess.SubprocessError):
        return nothing


def _members(twin: Twin, tls: ssl.SSLContext) -> Iterator[Member]:
    for machine in (one for one in twin.inventory.machines if "postgresql" in one.groups):
        with suppress(httpx.HTTPError, ValueError):
            told = _get(machine.address, machine.name, _PATRONI, "/cluster", tls).json()
            for one in told["members"]:
                lag = one.get("lag", 0)
                yield Member(
                    name=one["name"],
                    role=one["role"],
                    state=one["state"],
                    timeline=one.get("timeline", 0),
                    lag=lag if isinstance(lag, int) else -1,
                )
            return


def _sites(twin: Twin, tls: ssl.SSLContext) -> Iterator[tuple[str, bool]]:
    for site in sorted({one.site for one in twin.inventory.machines if "edge" in one.groups}):
        well = False
        with suppress(httpx.HTTPError):
            well = _get(twin.inventory.addresses[site], HOST, 443, "/healthz/site", tls).status_code == 200
        yield site, well


def _get(address: str, name: str, port: int, path: str, tls: ssl.SSLContext) -> httpx.Response:
    """Ask an address under a name, which its certificate must carry."""
    with httpx.Client(verify=tls, timeout=_LIMIT, trust_env=False) as client:
        return client.get(f"https://{address}:{port}{path}", headers={"Host": name}, extensions={"sni_hostname": name})


def _kubectl(twin: Twin, *words: str) -> dict[str, Any]:
    if not kubeconfig(twin).exists():
        raise FileNotFoundError(kubeconfig(twin))
    command = (*kubectl(twin), f"--request-timeout={_KUBECTL_LIMIT:.0f}s", *words, "--output", "json")
    done = subprocess.run(command, capture_output=True, check=True, timeout=_KUBECTL_LIMIT + 5)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _nodes(told: Mapping[str, Any]) -> Iterator[Node]:
    for one in told["items"]:
        conditions = {each["type"]: each["status"] for each in one["status"]["conditions"]}
        yield Node(
            name=one["metadata"]["name"],
            zone=one["metadata"]["labels"].get("topology.kubernetes.io/zone", ""),
            ready=conditions.get("Ready") == "True",
            version=one["status"]["nodeInfo"]["kubeletVersion"],
        )


def _workloads(pods: Iterable[Mapping[str, Any]], zones: Mapping[str, str]) -> Iterator[Workload]:
    counted: Counter[str] = Counter()
    services = set()
    ready: dict[str, Counter[str]] = {}
    for one in pods:
        if one["status"].get("phase") in _ENDED:
            continue
        name = one["metadata"]["labels"].get("app.kubernetes.io/component", "?")
        counted[name] += 1
        if one["metadata"]["labels"].get("insuretech/service") == "true":
            services.add(name)
        conditions = {each["type"]: each["status"] for each in one["status"].get("conditions", ())}
        if conditions.get("Ready") == "True":
            ready.setdefault(name, Counter())[zones.get(one["spec"].get("nodeName", ""), "?")] += 1
    for name in sorted(counted):
        yield Workload(name=name, ready=dict(ready.get(name, Counter())), pods=counted[name], service=name in services)
