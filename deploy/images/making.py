"""From definitions to archives with an index that says what is where, for whoever brings them to machines."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from cluster.fetching import Reporter
from cluster.parts import alone, cache, sha256
from deploy.images import sbom
from deploy.images.catalogue import ARCHIVES, ASKED_BY_VERSION, USUAL, Images
from deploy.images.kitchen import Dish, Kitchen
from deploy.images.oci import Image, write

REGISTRY = "insuretech.local"
"""The first part of every image's name. There is no such host: machines have the images before they are asked for."""


class Reference(msgspec.Struct, frozen=True):
    """An image: what it is called, what it is (digest of its manifest), the file that says what is in it."""

    name: str
    tag: str
    digest: str
    sbom: str

    @property
    def reference(self) -> str:
        return f"{REGISTRY}/{self.name}:{self.tag}"


class Archive(msgspec.Struct, frozen=True):
    """A file with images."""

    file: str
    checksum: str
    images: Sequence[Reference]


Index = dict[str, Archive]
"""Archives by name."""


def folder() -> Path:
    """Where archives, their lists of parts and the index are."""
    return cache() / "images"


def index() -> Index:
    """What was made so far."""
    try:
        return msgspec.json.decode((folder() / "index.json").read_bytes(), type=Index)
    except FileNotFoundError:
        return {}


def make(reporter: Reporter, names: Iterable[str] = USUAL) -> Index:
    """Make archives and write the index. Layers whose inputs are the same are not made again."""
    with alone(reporter, "lock-images"):
        kitchen = Kitchen(reporter, folder())
        known = index()
        for name in names:
            known[name] = _archive(name, ARCHIVES[name](kitchen))
            _write_index(known)
    return known


def _archive(name: str, dishes: Images) -> Archive:
    images, references = {}, []
    for called, dish in dishes.items():
        labels = {"org.opencontainers.image.title": called, "org.opencontainers.image.version": dish.version}
        image = Image.of([one.layer for one in dish.layers], dish.process, labels)
        reference = _reference(called, dish, image)
        images[reference.reference] = image
        references.append(reference)
    file = folder() / f"{name}.tar"
    write(file, images)
    return Archive(file.name, sha256(file), references)


def _reference(called: str, dish: Dish, image: Image) -> Reference:
    tag = dish.version if called in ASKED_BY_VERSION else f"{dish.version}-{image.digest.partition(':')[2][:12]}"
    parts = [component for one in dish.layers for component in one.components]
    file = folder() / f"{called}-{dish.version}.cdx.json"
    file.write_bytes(sbom.document(f"{REGISTRY}/{called}:{tag}", image.digest, parts))
    return Reference(called, tag, image.digest, file.name)


def _write_index(known: Index) -> None:
    new = folder() / "index.json.new"
    new.write_bytes(msgspec.json.format(msgspec.json.encode(known), indent=1))
    new.replace(folder() / "index.json")
