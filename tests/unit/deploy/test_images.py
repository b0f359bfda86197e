"""Images: the same bytes from the same files, addresses that hold, and lists of parts that are true."""

import hashlib
import io
import json
import subprocess
import tarfile
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cluster.fetching import Reporter
from deploy.images import debian, sbom
from deploy.images.debian import Package
from deploy.images.kitchen import Kitchen
from deploy.images.oci import Image, Layer, Process, Tree, write

PROCESS = Process(("/usr/local/bin/x",), environment={"PATH": "/usr/local/bin"})


def small(*names: str) -> Tree:
    """A tree with a program and a link to it."""
    tree = Tree()
    for name in names:
        tree.file(f"usr/local/bin/{name}", name.encode(), 0o755)
    tree.link("usr/local/bin/alias", names[0])
    tree.folder("tmp", 0o1777)
    return tree


def image(tree: Tree) -> Image:
    """An image of one layer."""
    return Image.of([Layer.of(tree)], PROCESS, {"org.opencontainers.image.title": "x"})


def read(path: Path) -> dict[str, bytes]:
    """What is in an archive."""
    with tarfile.open(path) as archive:
        return {one.name: content.read() for one in archive if (content := archive.extractfile(one)) is not None}


def test_the_same_files_are_the_same_archive(tmp_path: Path) -> None:
    """An image could not be compared with the one that runs, and each upgrade would restart all."""
    for name, order in (("a.tar", ("x", "y")), ("b.tar", ("y", "x"))):
        tree = small("x", "y") if order == ("x", "y") else Tree(dict(reversed(small("x", "y").nodes.items())))
        write(tmp_path / name, {"insuretech.local/x:1": image(tree)})

    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()


def test_every_address_in_an_archive_is_that_of_its_content(tmp_path: Path) -> None:
    """The machine that is given it would refuse it, at the end of an hour's building."""
    write(tmp_path / "x.tar", {"insuretech.local/x:1": image(small("x"))})
    files = read(tmp_path / "x.tar")
    index = json.loads(files["index.json"])
    manifest = json.loads(_blob(files, index["manifests"][0]))
    config = json.loads(_blob(files, manifest["config"]))

    assert index["manifests"][0]["annotations"]["io.containerd.image.name"] == "insuretech.local/x:1"
    layers = [_blob(files, layer) for layer in manifest["layers"]]
    with tarfile.open(fileobj=io.BytesIO(layers[0])) as layer:
        members = {one.name: one for one in layer}
    assert members["usr/local/bin/x"].mode == 0o755
    assert members["usr/local/bin/alias"].linkname == "x"
    assert members["tmp"].mode == 0o1777
    assert {(one.mtime, one.uid, one.uname) for one in members.values()} == {(0, 0, "")}
    assert config["config"]["User"] == "65532:65532"


def _blob(files: dict[str, bytes], descriptor: dict[str, Any]) -> bytes:
    content = files[f"blobs/{descriptor['digest'].replace(':', '/')}"]
    assert descriptor["size"] == len(content)
    assert descriptor["digest"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
    return content


def test_images_of_one_archive_hold_a_layer_once(tmp_path: Path) -> None:
    """Kubernetes' five images would be five times as large."""
    layer = Layer.of(small("x"))
    both = {f"insuretech.local/{name}:1": Image.of([layer], PROCESS, {"name": name}) for name in ("a", "b")}
    write(tmp_path / "x.tar", both)

    blobs = [name for name in read(tmp_path / "x.tar") if name.startswith("blobs/")]
    assert len(blobs) == len({"layer", "config a", "config b", "manifest a", "manifest b"})


def test_a_layer_is_made_again_only_when_its_inputs_change(tmp_path: Path) -> None:
    """Every change of a text would compile all libraries anew."""
    kitchen = Kitchen(Reporter(Console(file=StringIO())), tmp_path)
    made = []

    def make() -> tuple[Tree, list[sbom.Component]]:
        made.append(1)
        return small("x"), [sbom.Component("pkg:pypi/x@1", "x", "1")]

    first, again = (kitchen.layer("x", ["a"], make) for _ in range(2))
    kitchen.layer("x", ["b"], make)

    assert len(made) == 2
    assert again == first


@pytest.fixture
def package(tmp_path: Path) -> Package:
    """A package as an old one might be: files in /lib, a manual, a hard link."""
    files = tmp_path / "files"
    for path in ("lib/x86_64-linux-gnu/libx.so.1", "usr/share/doc/x/changelog", "usr/bin/x", "DEBIAN/control"):
        (files / path).parent.mkdir(parents=True, exist_ok=True)
        (files / path).write_text(path, encoding="ascii")
    (files / "usr/bin/x").chmod(0o4755)
    (files / "usr/bin/y").hardlink_to(files / "usr/bin/x")
    control = "Package: x\nVersion: 1:2-3\nArchitecture: amd64\nMaintainer: nobody\nDescription: x\n"
    (files / "DEBIAN/control").write_text(control, encoding="ascii")
    file = tmp_path / "x.deb"
    subprocess.run(
        ["dpkg-deb", "--build", "--root-owner-group", str(files), str(file)], check=True, capture_output=True
    )
    return Package("x", "1:2-3", file)


def test_a_package_lies_where_a_modern_debian_has_it(package: Package) -> None:
    """A library in a folder that is a link elsewhere would hide all others, or not be found."""
    nodes = debian.tree([package]).nodes

    assert nodes["usr/lib/x86_64-linux-gnu/libx.so.1"].content == b"lib/x86_64-linux-gnu/libx.so.1"
    assert nodes["lib"].target == "usr/lib"
    assert nodes["usr/bin/y"].content == b"usr/bin/x"
    assert nodes["usr/bin/x"].mode == 0o755  # whoever runs it gains no rights by it
    assert not any(path.startswith("usr/share/doc") for path in nodes)


def test_a_list_of_parts_is_the_same_twice_and_names_each_once() -> None:
    """A scanner would report every build as another one."""
    parts = [sbom.Component("pkg:pypi/b@2", "b", "2"), sbom.Component("pkg:pypi/a@1", "a", "1", "0" * 64)]

    first = sbom.document("insuretech.local/app:1", "sha256:00", parts)
    assert first == sbom.document("insuretech.local/app:1", "sha256:00", [*reversed(parts), parts[0]])
    told = json.loads(first)
    assert [one["purl"] for one in told["components"]] == ["pkg:pypi/a@1", "pkg:pypi/b@2"]
    assert told["components"][0]["hashes"] == [{"alg": "SHA-256", "content": "0" * 64}]


def test_parts_of_every_kind_are_named_as_scanners_know_them(package: Package) -> None:
    """A flaw found in a library would not be found in our image."""
    own = '[[package]]\nname = "own"\nversion = "1.0"\n'
    lock = f'{own}[[package]]\nname = "lib"\nversion = "2.0"\nchecksum = "ab"\n'

    assert [one.purl for one in sbom.of_crates(lock)] == ["pkg:cargo/lib@2.0"]
    assert [one.purl for one in sbom.of_python([("Ruamel.Yaml_x", "1")])] == ["pkg:pypi/ruamel-yaml-x@1"]
    assert sbom.of_debian([package])[0].purl == "pkg:deb/debian/x@1%3A2-3?arch=amd64&distro=debian-13"
