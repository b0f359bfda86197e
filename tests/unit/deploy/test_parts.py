"""Compiled parts: pinned in one place, found again by what they are, and refused when they are something else."""

import hashlib
import re
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from cluster.fetching import PartFailed, Reporter
from cluster.parts import PartMissing
from deploy.parts import building
from deploy.parts.catalogue import HELM, KUBERNETES, PARTS, PAUSE, Part


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTER_CACHE", str(tmp_path))


@pytest.fixture
def reporter() -> Reporter:
    """Tells into a text."""
    return Reporter(Console(file=StringIO(), width=200))


@pytest.mark.parametrize("part", [part for part in PARTS.values() if part is not PAUSE], ids=lambda part: part.name)
def test_a_part_is_the_version_that_its_module_pins(part: Part) -> None:
    """The folder would say one version and the program be another."""
    pinned = (part.module / "go.mod").read_text(encoding="ascii")

    name = part.name.removesuffix("-before")
    line = rf"\s\S+/{name}(/v\d+)? v{re.escape(part.version)}(?: // indirect)?$"
    assert re.search(line, pinned, flags=re.MULTILINE)


@pytest.mark.parametrize("part", [part for part in PARTS.values() if part is not PAUSE], ids=lambda part: part.name)
def test_every_module_has_a_checksum(part: Part) -> None:
    """A module without one could be anything."""
    pinned = (part.module / "go.mod").read_text(encoding="ascii")
    replaced = dict(re.findall(r"^(?:replace)?\s*(\S+) => (\S+ v\S+)$", pinned, flags=re.MULTILINE))
    required = re.findall(r"^(?:require)?\s+(\S+) (v\S+)(?: // indirect)?$", pinned, flags=re.MULTILINE)
    known = (part.module / "go.sum").read_text(encoding="ascii")

    wanted = [replaced.get(name, f"{name} {version}") for name, version in required]
    assert wanted
    assert [one for one in wanted if f"{one} h1:" not in known and f"{one}/go.mod h1:" not in known] == []


def test_missing_parts_are_named_with_what_to_do() -> None:
    """Something would fail far inside with "no such file"."""
    with pytest.raises(PartMissing, match=r"helm 3\.22\.0.*make deploy-parts"):
        building.find("helm")


def test_a_changed_pin_is_another_part(tmp_path: Path) -> None:
    """What was built before the change would be used after it."""
    before = building._place(HELM)
    module = tmp_path / "modules"
    module.mkdir()
    (module / "go.mod").write_bytes((HELM.module / "go.mod").read_bytes() + b"\n// changed")

    class Moved(Part):
        @property
        def module(self) -> Path:
            return module

    assert building._place(Moved(HELM.name, HELM.version, HELM.package, HELM.stamps)).program != before.program


def test_a_program_that_was_changed_is_refused(reporter: Reporter) -> None:
    """Whoever can write into the cache would run their code as ours."""
    built = building._place(PAUSE)
    built.program.parent.mkdir(parents=True)
    built.program.write_bytes(b"other")
    built.program.with_name("pause.sha256").write_text("0" * 64, encoding="ascii")

    with pytest.raises(PartFailed, match="not what was built"):
        building.build(reporter, ["pause"])


def test_a_part_is_found_by_its_name_wherever_the_cache_is_shown(reporter: Reporter, tmp_path: Path) -> None:
    """Machines are shown the folder under another path, and would run nothing, or what was built last year."""
    built = building._place(PAUSE)
    for name, content in (("pause", b"it"), ("pause.sha256", hashlib.sha256(b"it").hexdigest().encode())):
        built.program.parent.mkdir(parents=True, exist_ok=True)
        built.program.with_name(name).write_bytes(content)
    for _ in range(2):
        building.build(reporter, ["pause"])
    (tmp_path / "parts").rename(tmp_path / "shown")

    assert (tmp_path / "shown" / "current" / "pause" / "pause").read_bytes() == b"it"


def test_an_old_go_is_refused_with_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would fail minutes later in the middle of somebody's module."""
    (tmp_path / "go").write_text("#!/bin/sh\necho go version go1.24.4 linux/amd64\n", encoding="ascii")
    (tmp_path / "go").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")

    with pytest.raises(PartMissing, match=r"Go 1\.26 or newer is needed; there is go version go1\.24\.4"):
        building.require_go()


def test_kubernetes_is_known_by_all_its_names() -> None:
    """Kubeadm writes manifests that call its parts by these."""
    built = building._place(KUBERNETES)

    assert built.called("kubelet").name == "kubelet"
    with pytest.raises(PartMissing, match="no part kubelett"):
        built.called("kubelett")
