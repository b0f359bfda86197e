"""OCI images as archives (image-spec 1.1): trees of files become layers, layers become an image, one tar holds it.

Nothing of the machine or the moment gets in: entries are sorted, belong to root and carry no time. The same tree gives
the same bytes.
"""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

_COMPRESSION = 4  # level of gzip; more costs minutes and saves few percent
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"


@dataclass(frozen=True)
class Node:
    """A file (``content``), a symbolic link (``target``) or else a folder; ``mode`` are permission bits."""

    mode: int = 0o755
    content: bytes | Path | None = None
    target: str | None = None
    owner: int = 0


@dataclass
class Tree:
    """Files of a layer by their path, without a leading slash."""

    nodes: dict[str, Node] = field(default_factory=dict)

    def file(self, path: str, content: bytes | Path, mode: int = 0o644) -> None:
        self.nodes[_path(path)] = Node(mode, content)

    def link(self, path: str, target: str) -> None:
        self.nodes[_path(path)] = Node(0o777, target=target)

    def folder(self, path: str, mode: int = 0o755, owner: int = 0) -> None:
        self.nodes[_path(path)] = Node(mode, owner=owner)

    def folders_of(self) -> Iterable[str]:
        """Folders that are there only because something lies in them."""
        above = {str(parent) for path in self.nodes for parent in PurePosixPath(path).parents}
        return above - set(self.nodes) - {"."}

    def tar(self) -> bytes:
        """The layer, uncompressed."""
        nodes = {**{path: Node() for path in self.folders_of()}, **self.nodes}
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for path, node in sorted(nodes.items()):
                _add(archive, path, node)
        return buffer.getvalue()


def _path(path: str) -> str:
    clean = str(PurePosixPath("/", path))[1:]
    if not clean or ".." in PurePosixPath(clean).parts:
        raise ValueError(f"{path!r} is no path in an image")
    return clean


def _add(archive: tarfile.TarFile, path: str, node: Node) -> None:
    info = tarfile.TarInfo(path)
    info.mode, info.uid, info.gid = node.mode, node.owner, node.owner
    if node.target is not None:
        info.type, info.linkname = tarfile.SYMTYPE, node.target
        archive.addfile(info)
    elif node.content is None:
        info.type = tarfile.DIRTYPE
        archive.addfile(info)
    else:
        content = node.content if isinstance(node.content, bytes) else node.content.read_bytes()
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))


@dataclass(frozen=True)
class Blob:
    """Content with its address."""

    kind: str
    content: bytes

    @property
    def digest(self) -> str:
        return f"sha256:{hashlib.sha256(self.content).hexdigest()}"

    def descriptor(self, **more: Any) -> dict[str, Any]:
        return {"mediaType": self.kind, "digest": self.digest, "size": len(self.content), **more}


@dataclass(frozen=True)
class Layer:
    """A compressed layer and the address of what it holds."""

    blob: Blob
    contents: str

    @classmethod
    def of(cls, tree: Tree) -> "Layer":
        tar = tree.tar()
        compressed = gzip.compress(tar, _COMPRESSION, mtime=0)
        return cls(Blob(_LAYER, compressed), f"sha256:{hashlib.sha256(tar).hexdigest()}")


@dataclass(frozen=True)
class Process:
    """How a container of an image runs unless it is told otherwise."""

    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    user: int = 65532
    folder: str = "/"


@dataclass(frozen=True)
class Image:
    """Layers, a configuration and a manifest."""

    layers: Sequence[Layer]
    config: Blob
    manifest: Blob

    @classmethod
    def of(cls, layers: Sequence[Layer], process: Process, labels: Mapping[str, str]) -> "Image":
        config = _json(
            _CONFIG,
            {
                "architecture": "amd64",
                "os": "linux",
                "config": {
                    "Entrypoint": list(process.entrypoint),
                    "Cmd": list(process.command),
                    "Env": [f"{name}={value}" for name, value in sorted(process.environment.items())],
                    "User": f"{process.user}:{process.user}",
                    "WorkingDir": process.folder,
                    "Labels": dict(sorted(labels.items())),
                },
                "rootfs": {"type": "layers", "diff_ids": [layer.contents for layer in layers]},
            },
        )
        parts = {"config": config.descriptor(), "layers": [layer.blob.descriptor() for layer in layers]}
        return cls(layers, config, _json(_MANIFEST, {"schemaVersion": 2, "mediaType": _MANIFEST, **parts}))

    @property
    def digest(self) -> str:
        """The image's address: what it is, whatever it is called."""
        return self.manifest.digest


def write(path: Path, images: Mapping[str, Image]) -> None:
    """One archive with images by their reference (``name:tag``); what they share is in it once."""
    blobs: dict[str, bytes] = {}
    manifests = []
    for reference, image in images.items():
        for blob in (*(layer.blob for layer in image.layers), image.config, image.manifest):
            blobs[blob.digest] = blob.content
        named = {
            "io.containerd.image.name": reference,
            "org.opencontainers.image.ref.name": reference.rpartition(":")[2],
        }
        manifests.append(image.manifest.descriptor(annotations=named))
    files = {
        "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
        "index.json": _json(_INDEX, {"schemaVersion": 2, "mediaType": _INDEX, "manifests": manifests}).content,
        **{f"blobs/{digest.replace(':', '/')}": content for digest, content in sorted(blobs.items())},
    }
    new = path.with_name(f"{path.name}.new")
    with tarfile.open(new, "w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in files.items():
            _add(archive, name, Node(0o644, content))
    new.replace(path)


def _json(kind: str, document: Mapping[str, Any]) -> Blob:
    return Blob(kind, json.dumps(document, sort_keys=True, separators=(",", ":")).encode())
