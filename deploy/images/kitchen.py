"""Where images are made: layers are kept by a digest of what decides them, so that what has not changed is not made."""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from cluster.fetching import Reporter
from cluster.parts import cache
from deploy.images.debian import Debian, Package
from deploy.images.oci import Blob, Layer, Process, Tree
from deploy.images.sbom import Component

_CODE = Path(__file__).parent
_KIND = "application/vnd.oci.image.layer.v1.tar+gzip"

Made = tuple[Tree, Sequence[Component]]
"""Files, and what they are parts of."""


@dataclass(frozen=True)
class Cooked:
    """A layer and what is in it."""

    layer: Layer
    components: Sequence[Component]


@dataclass(frozen=True)
class Dish:
    """An image before it has a name: ``version`` is that of what it is for."""

    version: str
    layers: Sequence[Cooked]
    process: Process


class Kitchen:
    """Makes layers, and keeps them in the cache."""

    def __init__(self, reporter: Reporter, folder: Path | None = None) -> None:
        self.reporter = reporter
        self.folder = folder or cache() / "images"
        self._debian = Debian()
        self._code = hashlib.sha256(b"".join(file.read_bytes() for file in sorted(_CODE.glob("*.py")))).hexdigest()

    def debian(self, wanted: Iterable[str], *, without: Iterable[str] = ()) -> list[Package]:
        """Packages of Debian with all that they need."""
        return self._debian.packages(wanted, without=without)

    def layer(self, name: str, inputs: Iterable[str], make: Callable[[], Made]) -> Cooked:
        """A layer as it was made before from the same inputs, or made now."""
        key = hashlib.sha256("\n".join((self._code, *inputs)).encode()).hexdigest()[:16]
        kept = self.folder / "layers" / f"{name}-{key}.tar.gz"
        facts = kept.with_suffix("").with_suffix(".json")
        if not facts.exists():
            with self.reporter.step(f"Making the layer {name}"):
                tree, components = make()
                layer = Layer.of(tree)
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_bytes(layer.blob.content)
            told = {"contents": layer.contents, "components": [asdict(one) for one in components]}
            new = facts.with_suffix(".new")
            new.write_text(json.dumps(told), encoding="utf-8")
            new.replace(facts)
        told = json.loads(facts.read_text(encoding="utf-8"))
        layer = Layer(Blob(_KIND, kept.read_bytes()), told["contents"])
        return Cooked(layer, [Component(**one) for one in told["components"]])
