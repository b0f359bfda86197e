"""The chart as Helm renders it. Helm comes from the cache that ``make test-deploy`` fills."""

import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.parts.building import find

CHART = Path(__file__).resolve().parents[2] / "deploy" / "chart" / "insuretech"
RELEASE = "insuretech"
VALUES: Mapping[str, Any] = {
    "publicUrl": "https://insuretech.example",
    "tags": {"app": "1", "kafka": "1", "valkey": "1", "garage": "1", "traefik": "1", "descheduler": "1"},
    "cdn": {"points": ["10.0.9.11"]},
    "database": {"proxies": [{"zone": "spb", "address": "10.0.1.21"}, {"zone": "msk", "address": "10.0.2.21"}]},
}
Document = dict[str, Any]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of this folder needs Helm or Kubernetes, so ``make test`` leaves it out."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.deploy)


class Refused(Exception):
    """Helm does not render; the message is what it says."""


@dataclass(frozen=True)
class Rendered:
    """What would be sent to a cluster."""

    documents: tuple[Document, ...]

    def of(self, *kinds: str) -> Iterator[Document]:
        return (one for one in self.documents if one["kind"] in kinds)

    def get(self, kind: str, name: str) -> Document:
        return next(one for one in self.of(kind) if one["metadata"]["name"] == f"{RELEASE}-{name}")

    def pods(self) -> Iterator[tuple[str, Document]]:
        """Name of what makes pods, and the pods' template."""
        for one in self.of("Deployment", "DaemonSet", "StatefulSet", "Job"):
            yield one["metadata"]["name"], one["spec"]["template"]
        for one in self.of("CronJob"):
            yield one["metadata"]["name"], one["spec"]["jobTemplate"]["spec"]["template"]

    def containers(self) -> Iterator[tuple[str, Document]]:
        for name, template in self.pods():
            for container in [*template["spec"].get("initContainers", ()), *template["spec"]["containers"]]:
                yield f"{name}/{container['name']}", container


Render = Callable[..., Rendered]


@pytest.fixture(scope="session")
def helm() -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Runs Helm with words."""
    program = find("helm").program

    def run(*words: str, given: str = "") -> "subprocess.CompletedProcess[str]":
        return subprocess.run([program, *words], input=given, capture_output=True, text=True, check=False, timeout=60)

    return run


@pytest.fixture(scope="session")
def render(helm: Callable[..., "subprocess.CompletedProcess[str]"]) -> Render:
    """Renders the chart with values over those that have to be told."""

    def rendered(values: Mapping[str, Any] | None = None, *words: str) -> Rendered:
        given = yaml.safe_dump({**VALUES, **(values or {})})
        done = helm(
            *("template", RELEASE, str(CHART), "--namespace", "insuretech", "--kube-version", "1.34.4"),
            *("--values", "-", *words),
            given=given,
        )
        if done.returncode:
            raise Refused(done.stderr)
        return Rendered(tuple(one for one in yaml.safe_load_all(done.stdout) if one))

    return rendered


@pytest.fixture(scope="session")
def chart(render: Render) -> Rendered:
    """As it is without any value but those that have to be told."""
    return render()
