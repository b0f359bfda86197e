"""Which programs are compiled, from what, and what has to be told to the linker.

Every part has a folder in ``modules``: a go.mod of its own that names the version, with a go.sum that holds the
checksums of all it is made of. Where upstream's own main package is taken it is named here; where we have a smaller or
a joint one, it lies beside the go.mod.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

MODULES = Path(__file__).with_name("modules")
_KUBERNETES_VERSION = "k8s.io/component-base/version"


@dataclass(frozen=True)
class Part:
    """One program; ``package`` is what is compiled, ``stamps`` are variables that say the version.

    ``names`` are further names under which the program plays different parts.
    """

    name: str
    version: str
    package: str = "."
    stamps: Mapping[str, str] | None = None
    names: Sequence[str] = ()

    @property
    def module(self) -> Path:
        """The folder with its go.mod and go.sum."""
        return MODULES / self.name

    @property
    def link_flags(self) -> str:
        stamps = (f"-X {variable}={value}" for variable, value in (self.stamps or {}).items())
        return " ".join(("-s", "-w", *stamps))


def _kubernetes(name: str, version: str) -> Part:
    _, minor, _ = version.split(".")
    return Part(
        name=name,
        version=version,
        stamps={
            f"{_KUBERNETES_VERSION}.gitVersion": f"v{version}",
            f"{_KUBERNETES_VERSION}.gitMajor": "1",
            f"{_KUBERNETES_VERSION}.gitMinor": minor,
            f"{_KUBERNETES_VERSION}.gitTreeState": "clean",
            f"{_KUBERNETES_VERSION}.buildDate": "1970-01-01T00:00:00Z",
        },
        names=(
            "etcd",
            "kube-apiserver",
            "kube-controller-manager",
            "kube-scheduler",
            "kube-proxy",
            "kubelet",
            "kubeadm",
            "kubectl",
        ),
    )


KUBERNETES = _kubernetes("kubernetes", "1.34.4")
KUBERNETES_BEFORE = _kubernetes("kubernetes-before", "1.34.3")
"""What a cluster has from which it is upgraded, for the drill of that alone."""
HELM = Part(
    name="helm",
    version="3.22.0",
    package="helm.sh/helm/v3/cmd/helm",
    stamps={"helm.sh/helm/v3/internal/version.version": "v3.22.0"},
)
KWOK = Part(name="kwok", version="0.8.0", package="sigs.k8s.io/kwok/cmd/kwok")
DESCHEDULER = Part(
    name="descheduler",
    version="0.35.1",
    package="sigs.k8s.io/descheduler/cmd/descheduler",
    stamps={"sigs.k8s.io/descheduler/pkg/version.version": "v0.35.1"},
)
"""Its minor version is Kubernetes' own; it serves the three before it, too."""
COREDNS = Part(name="coredns", version="1.15.0")
TRAEFIK = Part(
    name="traefik",
    version="3.6.12",
    package="github.com/traefik/traefik/v3/cmd/traefik",
    stamps={"github.com/traefik/traefik/v3/pkg/version.Version": "3.6.12"},
)
PAUSE = Part(name="pause", version="3.10.1")
"""Plays the part of Kubernetes' own image of that version, which kubeadm asks for."""

_USUAL = (KUBERNETES, HELM, KWOK, COREDNS, PAUSE, TRAEFIK, DESCHEDULER)
PARTS: Mapping[str, Part] = {part.name: part for part in (*_USUAL, KUBERNETES_BEFORE)}
USUAL = tuple(part.name for part in _USUAL)
"""What is compiled unless something else is asked for."""
