"""A real control plane on loopback whose nodes only pretend (kwok): for questions of what is placed where."""

import json
import os
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from deploy.parts.building import Built, find
from deploy.parts.catalogue import KWOK
from tests.ports import free_port
from tests.system.running import strain

NAMESPACE = "insuretech"
_ADMINISTRATOR = "administrator"
_STAGES = ("node/fast/node-initialize", "pod/fast/pod-ready", "pod/fast/pod-delete")
_DEAD = "node.kubernetes.io/unreachable"
_WITHIN = 90.0  # seconds; some two on an idle machine


def node(name: str, zone: str, *, light: bool = False) -> dict[str, Any]:
    """A machine of a site, or the witness, which is closed to all that makes no quorum."""
    labels = {"topology.kubernetes.io/zone": zone, "kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}
    taints = [{"key": "insuretech/light", "value": "true", "effect": "NoSchedule"}] if light else []
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": {"taints": taints},
    }


def disks(names: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Five local disks a machine, as the role has them."""
    yield {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": "local"},
        "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "WaitForFirstConsumer",
    }
    for name in names:
        here = [{"key": "kubernetes.io/hostname", "operator": "In", "values": [name]}]
        for number in range(1, 6):
            yield {
                "apiVersion": "v1",
                "kind": "PersistentVolume",
                "metadata": {"name": f"{name}-{number}"},
                "spec": {
                    "capacity": {"storage": "2Gi"},
                    "accessModes": ["ReadWriteOnce"],
                    "storageClassName": "local",
                    "local": {"path": f"/volumes/{number}"},
                    "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": here}]}},
                },
            }


@dataclass
class Cluster:
    """The control plane; ``place`` brings things to it, ``zones`` says where their pods are."""

    folder: Path
    api: int = field(default_factory=free_port)
    _processes: ExitStack = field(default_factory=ExitStack)

    @property
    def kubernetes(self) -> Built:
        return find("kubernetes")

    @contextmanager
    def running(self) -> Iterator["Cluster"]:
        with self._processes:
            self._start_store_and_api()
            kubeconfig = self.kubeconfig("administrator", _ADMINISTRATOR)
            common = (f"--kubeconfig={kubeconfig}", "--leader-elect=false", "--secure-port=0")
            self._start("kube-scheduler", *common)
            # Which nodes are dead the test says, by taints.
            controllers = "--controllers=*,-node-lifecycle-controller"
            key = f"--service-account-private-key-file={self.folder / 'accounts.key'}"
            self._start("kube-controller-manager", *common, controllers, key)
            self._start_nodes(kubeconfig)
            yield self

    def kubectl(self, *words: str, given: Iterable[Mapping[str, Any]] = ()) -> str:
        """What kubectl answers; raises ``AssertionError`` with what it says when it refuses."""
        way_in = f"--kubeconfig={self.folder / 'administrator.yaml'}"
        command = (str(self.kubernetes.called("kubectl")), way_in, *words)
        text = yaml.safe_dump_all(given)
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def place(self, documents: Iterable[Mapping[str, Any]]) -> None:
        """Have these, in the namespace where they name none."""
        self.kubectl("apply", "--server-side", "--namespace", NAMESPACE, "-f", "-", given=documents)

    def zones(self) -> dict[str, Counter[str]]:
        """Ready pods of each component by site."""
        where = {one["metadata"]["name"]: one["metadata"]["labels"] for one in self._items("nodes")}
        found: dict[str, Counter[str]] = {}
        for pod in self._items("pods"):
            ready = any(
                one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", ())
            )
            if ready and "deletionTimestamp" not in pod["metadata"]:
                component = pod["metadata"]["labels"]["app.kubernetes.io/component"]
                zone = where[pod["spec"]["nodeName"]]["topology.kubernetes.io/zone"]
                found.setdefault(component, Counter())[zone] += 1
        return found

    def lose(self, names: Iterable[str]) -> None:
        """These machines do not answer any more."""
        for name in names:
            self.kubectl("taint", "node", name, f"{_DEAD}:NoSchedule", f"{_DEAD}:NoExecute")

    def bring_back(self, names: Iterable[str]) -> None:
        for name in names:
            self.kubectl("taint", "node", name, f"{_DEAD}-")

    def deschedule(self, policy: str, account: str) -> None:
        """One look of the descheduler, with the rights of an account of the chart."""
        token = self.kubectl("create", "token", "--namespace", NAMESPACE, account).strip()
        file = self.folder / "policy.yaml"
        file.write_text(policy, encoding="utf-8")
        words = (f"--kubeconfig={self.kubeconfig('descheduler', token)}", f"--policy-config-file={file}")
        port = f"--secure-port={free_port()}"
        command = (str(find("descheduler").program), *words, port, "--descheduling-interval=0")
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr

    def kubeconfig(self, name: str, token: str) -> Path:
        """The way in of somebody who has a token."""
        path = self.folder / f"{name}.yaml"
        here = {"server": f"https://127.0.0.1:{self.api}", "insecure-skip-tls-verify": True}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "here", "cluster": here}],
            "users": [{"name": name, "user": {"token": token}}],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": name}}],
            "current-context": "here",
        }
        path.write_text(yaml.safe_dump(document), encoding="utf-8")
        return path

    # ------------------------------------------------------------ what runs

    def _items(self, kind: str) -> list[dict[str, Any]]:
        everywhere = () if kind == "nodes" else ("--namespace", NAMESPACE)
        found: list[dict[str, Any]] = json.loads(self.kubectl("get", kind, *everywhere, "--output", "json"))["items"]
        return found

    def _start(self, name: str, *words: str, program: Path | None = None) -> None:
        log = self._processes.enter_context((self.folder / f"{name}.log").open("wb"))
        command = (str(program or self.kubernetes.called(name)), *words)
        surroundings = {**os.environ, "HOME": str(self.folder)}
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder, env=surroundings)
        self._processes.callback(_end, process)

    def _start_store_and_api(self) -> None:
        clients, peers = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
        self._start(
            "etcd",
            *(f"--data-dir={self.folder / 'etcd'}", "--unsafe-no-fsync", f"--initial-cluster=default={peers}"),
            *(f"--listen-client-urls={clients}", f"--advertise-client-urls={clients}"),
            *(f"--listen-peer-urls={peers}", f"--initial-advertise-peer-urls={peers}"),
        )
        key, tokens = self.folder / "accounts.key", self.folder / "tokens.csv"
        subprocess.run(("openssl", "genrsa", "-out", key, "2048"), check=True, capture_output=True, timeout=60)
        tokens.write_text(f"{_ADMINISTRATOR},administrator,1,system:masters\n", encoding="ascii")
        self._start(
            "kube-apiserver",
            *(f"--etcd-servers={clients}", "--bind-address=127.0.0.1", f"--secure-port={self.api}"),
            *(f"--cert-dir={self.folder / 'certificates'}", f"--token-auth-file={tokens}"),
            *("--service-account-issuer=https://kubernetes.default.svc", f"--service-account-key-file={key}"),
            *(f"--service-account-signing-key-file={key}", "--authorization-mode=RBAC"),
            *("--service-cluster-ip-range=10.96.0.0/16", "--endpoint-reconciler-type=none"),
            "--disable-admission-plugins=TaintNodesByCondition",
        )
        self.kubeconfig("administrator", _ADMINISTRATOR)
        eventually(lambda: self.kubectl("get", "--raw", "/readyz") == "ok")

    def _start_nodes(self, kubeconfig: Path) -> None:
        kwok = find(KWOK.name)
        stages = kwok.sources / f"sigs.k8s.io/kwok@v{KWOK.version}" / "kustomize" / "stage"
        told = self.folder / "stages.yaml"
        told.write_text("---\n".join((stages / f"{one}.yaml").read_text("utf-8") for one in _STAGES), "utf-8")
        words = (f"--kubeconfig={kubeconfig}", f"--config={told}", "--manage-all-nodes=true", "--node-ip=127.0.0.1")
        self._start("kwok", *words, f"--server-address=127.0.0.1:{free_port()}", program=kwok.program)


def eventually(holds: Callable[[], object]) -> None:
    """Returns once something holds; raises what it raised last, or ``AssertionError``."""
    until = time.monotonic() + _WITHIN * strain()
    while True:
        with suppress(AssertionError):
            if holds():
                return
        if time.monotonic() > until:
            assert holds(), "it did not come true in time"
            return
        time.sleep(0.3)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(timeout=15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(timeout=15)
