"""Whether events that are sent now can be read by services that know an earlier version of the contracts.

Between releases old and new services run side by side. A field may be added with a default; everything else changes
what a reader may rely on and needs a new version of the topic.
"""

from collections.abc import Iterator, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

import msgspec

from insuretech.contracts.events import event_schemas

Schema = Mapping[str, Any]

_FOR_PEOPLE = frozenset({"title", "description", "default"})


def lock_file() -> Traversable:
    """The schemas of all events as they were agreed on last."""
    return files("insuretech.contracts") / "events.lock.json"


def agreed_schemas() -> dict[str, Schema]:
    """What the lock file holds; nothing before there is one."""
    lock = lock_file()
    return msgspec.json.decode(lock.read_bytes()) if lock.is_file() else {}


def locked_form() -> bytes:
    """The content that the lock file should have now."""
    schemas = {name: _without_words(schema) for name, schema in event_schemas().items()}
    return msgspec.json.format(msgspec.json.encode(schemas, order="deterministic")) + b"\n"


def breaking_changes(before: Mapping[str, Schema], after: Mapping[str, Schema]) -> list[str]:
    """What a reader of ``before`` would stumble over in ``after``, a line each."""
    found: list[str] = []
    for name, schema in before.items():
        if name not in after:
            found.append(f"{name}: the event is gone")
            continue
        definitions = schema.get("$defs", {})
        for part, old in {"": schema, **definitions}.items():
            place = f"{name} {part}".strip()
            new = after[name].get("$defs", {}).get(part) if part else after[name]
            found += [f"{place}: no longer used"] if new is None else _breaks(old, new, place)
    return found


def _breaks(old: Schema, new: Schema, place: str) -> Iterator[str]:
    if "properties" not in old:
        if _bare(old) != _bare(new):
            yield f"{place}: {_bare(old)} became {_bare(new)}"
        return
    fields, now = old["properties"], new.get("properties", {})
    for field, shape in fields.items():
        if field not in now:
            yield f"{place}.{field}: is gone"
        elif _bare(shape) != _bare(now[field]):
            yield f"{place}.{field}: {_bare(shape)} became {_bare(now[field])}"
    for field in now.keys() - fields.keys():
        if old.get("additionalProperties") is False:
            yield f"{place}.{field}: added to what older readers take no additions to"
    required_before, required_now = set(old.get("required", ())), set(new.get("required", ()))
    for field in sorted(required_before ^ required_now):
        if field in required_before:
            yield f"{place}.{field}: is no longer always there"
        else:
            yield f"{place}.{field}: older events lack it, so it needs a default"


def _bare(schema: Schema) -> dict[str, Any]:
    """What a schema says of a value itself, without its fields."""
    return {
        key: value for key, value in _without_words(schema).items() if key not in {"$defs", "properties", "required"}
    }


def _without_words(schema: Schema) -> dict[str, Any]:
    """A schema without what changes nothing for a reader."""
    bare: dict[str, Any] = {}
    for key, value in schema.items():
        if key in {"properties", "$defs"}:
            bare[key] = {name: _without_words(part) for name, part in value.items()}
        elif isinstance(value, Mapping):
            bare[key] = _without_words(value)
        elif isinstance(value, list):
            bare[key] = [_without_words(part) if isinstance(part, Mapping) else part for part in value]
        elif key not in _FOR_PEOPLE:
            bare[key] = value
    return bare
