"""The API's reference page, drawn from the OpenAPI document that the application itself serves."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_METHODS = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True)
class FieldRow:
    """One field of a body or answer; ``name`` is dotted when it is nested."""

    name: str
    kind: str
    required: bool
    description: str


@dataclass(frozen=True)
class Operation:
    """One method of one address."""

    anchor: str
    method: str
    path: str
    summary: str
    description: str
    parameters: tuple[FieldRow, ...]
    body: tuple[FieldRow, ...]
    answers: tuple[tuple[str, str], ...]


def operations(document: Mapping[str, Any], *, prefix: str = "/api/") -> dict[str, list[Operation]]:
    """Operations below ``prefix`` by the resource they belong to, in the document's order."""
    found: dict[str, list[Operation]] = {}
    for path, item in document["paths"].items():
        if not path.startswith(prefix):
            continue
        resource = path.removeprefix(prefix).split("/")[1]
        for method in _METHODS:
            if method in item:
                found.setdefault(resource, []).append(_operation(document, path, method, item[method]))
    return found


def _operation(document: Mapping[str, Any], path: str, method: str, operation: Mapping[str, Any]) -> Operation:
    content: Mapping[str, Any] = operation.get("requestBody", {}).get("content", {})
    media: Mapping[str, Any] = next(iter(content.values()), {})
    body: Mapping[str, Any] = media.get("schema", {})
    return Operation(
        anchor=operation.get("operationId", f"{method}{path}"),
        method=method.upper(),
        path=path,
        summary=operation.get("summary", ""),
        description=operation.get("description", ""),
        parameters=tuple(
            FieldRow(row["name"], row["in"], row.get("required", False), row.get("description", ""))
            for row in operation.get("parameters", ())
        ),
        body=tuple(_fields(document, body)),
        answers=tuple((status, answer["description"]) for status, answer in sorted(operation["responses"].items())),
    )


def _fields(document: Mapping[str, Any], schema: Mapping[str, Any], prefix: str = "", depth: int = 0) -> list[FieldRow]:
    """The fields of an object, nested ones after their parent, three levels deep."""
    schema = _resolved(document, schema)
    rows: list[FieldRow] = []
    for name, child in schema.get("properties", {}).items():
        child_schema = _resolved(document, child)
        dotted = f"{prefix}{name}"
        required = name in schema.get("required", ())
        rows.append(FieldRow(dotted, _kind(child_schema), required, child_schema.get("description", "")))
        if depth < 2:
            inner = child_schema.get("items", child_schema)
            mark = "[]." if "items" in child_schema else "."
            rows += _fields(document, inner, f"{dotted}{mark}", depth + 1)
    return rows


def _resolved(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    for _ in range(8):
        options = [option for option in schema.get("oneOf", schema.get("anyOf", ())) if option.get("type") != "null"]
        if "$ref" in schema:
            schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]]
        elif len(options) == 1:
            schema = options[0]
        else:
            break
    return schema


def _kind(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return " | ".join(str(value) for value in schema["enum"])
    kind = schema.get("type", "any")
    names = [name for name in kind if name != "null"] if isinstance(kind, list) else [kind]
    return f"{' | '.join(names)}{' ' + schema['format'] if 'format' in schema else ''}"
