"""Reads product files. Everything wrong with one is told at once, each with its file and line."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, TypeVar

import jsonschema_rs
import msgspec
import yaml

from insuretech.catalogue.domain import ConsentText, Listed, Product
from insuretech.catalogue.product_checks import Fault, Path, product_faults
from insuretech.kit.failures import Unusable


class ProductFilesInvalid(Unusable):
    """Product files cannot be loaded; the message has a line ``osago.yaml:41: what is wrong`` for each fault."""

    def __init__(self, complaints: Sequence[str]) -> None:
        super().__init__("\n".join(complaints))
        self.complaints = list(complaints)


def packaged_files() -> Traversable:
    """The products that come with the package: folders ``products`` and ``consents``."""
    return files("insuretech.catalogue") / "data"


def read_products(folder: Traversable | None = None, *, insurers: Collection[str]) -> list[Listed]:
    """Every product of ``folder`` with its consents, ordered by file name; raises ``ProductFilesInvalid``.

    ``insurers`` are the codes we are connected with.
    """
    where = folder or packaged_files()
    complaints: list[str] = []
    consents: dict[str, ConsentText] = {}
    for document in _documents(where, "consents", complaints):
        text = _typed(document, ConsentText, complaints)
        if text is not None:
            consents[text.code] = text
    listed: list[Listed] = []
    for document in _documents(where, "products", complaints):
        product = _typed(document, Product, complaints)
        if product is None:
            continue
        faults = list(product_faults(product, consents=consents, insurers=insurers))
        if document.name.removesuffix(".yaml") != product.code:
            faults.append(Fault(("code",), f"{product.code!r} is not the name of the file"))
        complaints.extend(document.complaint(fault) for fault in faults)
        texts = tuple(consents[asked.code] for asked in product.consents if asked.code in consents)
        listed.append(Listed(product, texts))
    if complaints:
        raise ProductFilesInvalid(complaints)
    if not listed:
        raise ProductFilesInvalid([f"There are no product files in {where}."])
    return listed


@dataclass(frozen=True)
class _Document:
    """A YAML file as plain values, with the line of every value."""

    name: str
    content: Any
    lines: dict[Path, int]

    def complaint(self, fault: Fault) -> str:
        """``osago.yaml:41: steps[2].fields[0] points to nothing``; the line of the nearest thing that is there."""
        path = fault.path
        while path and path not in self.lines:
            path = path[:-1]
        return f"{self.name}:{self.lines.get(path, 1)}: {_spelled(fault.path)}{fault.said}"


def _spelled(path: Path) -> str:
    words = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")
    return f"{words}: " if words else ""


def _documents(folder: Traversable, kind: str, complaints: list[str]) -> Iterator[_Document]:
    place = folder / kind
    entries = sorted(place.iterdir(), key=lambda entry: entry.name) if place.is_dir() else []
    for entry in entries:
        if not entry.name.endswith(".yaml"):
            continue
        try:
            yield _read(entry.name, entry.read_text(encoding="utf-8"))
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            complaints.append(f"{entry.name}:{line}: {error.problem or 'is no YAML'}")
        except UnicodeDecodeError:
            complaints.append(f"{entry.name}:1: is not UTF-8")


_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times faster where libyaml is there, as in the wheels


def _read(name: str, text: str) -> _Document:
    loader = _LOADER(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return _Document(name, None, {})
        lines: dict[Path, int] = {}
        _note_lines(node, (), lines)
        return _Document(name, loader.construct_document(node), lines)
    finally:
        loader.dispose()


def _note_lines(node: yaml.Node, path: Path, lines: dict[Path, int]) -> None:
    """The line of every value; a mapping with one key twice is an error, as YAML would keep the last in silence."""
    lines[path] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*path, key.value)
            if here in lines:
                raise yaml.MarkedYAMLError(problem=f"{key.value!r} is here twice", problem_mark=key.start_mark)
            _note_lines(value, here, lines)
            lines[here] = key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _note_lines(value, (*path, index), lines)


Typed = TypeVar("Typed")


def _typed(document: _Document, kind: type[Typed], complaints: list[str]) -> Typed | None:
    """The file's content as a struct; None when it is not, which has then been complained of."""
    validator = jsonschema_rs.Draft202012Validator(msgspec.json.schema(kind))
    found = [
        Fault(tuple(error.instance_path), error.message[:200])
        for error in validator.iter_errors(document.content if document.content is not None else {})
    ]
    if found:
        complaints.extend(document.complaint(fault) for fault in found)
        return None
    try:
        return msgspec.convert(document.content, kind)
    except msgspec.ValidationError as error:
        complaints.append(document.complaint(Fault((), str(error))))
        return None
