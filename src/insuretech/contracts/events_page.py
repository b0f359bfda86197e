"""The events of all services as a page for people, drawn from the contracts themselves."""

import inspect
from collections.abc import Iterator
from typing import Any

import msgspec

from insuretech.contracts.events import EVENTS, event_schemas
from insuretech.contracts.topics import topics
from insuretech.kit.events import Event

_HEAD = """\
# Events

Facts that services tell each other. They are written to the sender's outbox in the transaction of the change, delivered
at least once, and in order within a key; receivers drop repeats by the event's id. No event holds personal data.

On Kafka a record's key is the aggregate's id, its value the JSON below, and its headers are `id`, `type`,
`occurred_at`, `position` (grows with every event of a key) and `traceparent`. What a service gives up on goes to its
table of dead letters and, with `consumer` and `reason` as further headers, to `<service>.dead-letters.v1`. Topics are
set by `src/insuretech/contracts/data/topics.yaml` and made by `insuretech topics apply`.

A command's answer names its events in `Insuretech-Position`, as `<type>/<id>`; a read that brings the header along is
answered when they have been handled, within bounds ([how](decisions/0014-outbox-to-kafka.md)).

A field with a default may be added. Any other change is a new version under a new topic (`….v2`): a test compares the
contracts with `src/insuretech/contracts/events.lock.json`, which `insuretech contracts lock` brings up to date.

`insuretech contracts page` writes this page, and `insuretech contracts asyncapi` the same as an AsyncAPI 3.0 document,
[`asyncapi.json`](asyncapi.json).
"""


def events_page() -> str:
    """Markdown with one chapter per topic and one table of fields per event."""
    schemas = event_schemas()
    parts = [_HEAD]
    for topic in (topic for topic in topics() if any(event.topic == topic.name for event in EVENTS.values())):
        kept = "the last event of each key" if topic.retention_days is None else f"{topic.retention_days} days"
        parts.append(f"## `{topic.name}`\n\n{topic.partitions} partitions; keeps {kept}.\n")
        parts += [_event(event, schemas[name]) for name, event in EVENTS.items() if event.topic == topic.name]
    return "\n".join(parts)


def _event(event: type[Event], schema: dict[str, Any]) -> str:
    whole = schema["$defs"][event.__name__]
    lines = [f"### {event.__name__}", "", f"`{event.type_name()}`", "", inspect.getdoc(event) or "", ""]
    rows = [f"| `{name}` | {_kind(field, schema)} | {_default(field)} |" for name, field in whole["properties"].items()]
    return "\n".join([*lines, "| field | type | default |", "|---|---|---|", *rows, ""])


def _default(field: dict[str, Any]) -> str:
    return f"`{msgspec.json.encode(field['default']).decode()}`" if "default" in field else ""


def _kind(field: dict[str, Any], schema: dict[str, Any]) -> str:
    """The type of a field in a few words."""
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        inner = ", ".join(f"`{one}`" for one in schema["$defs"][name].get("properties", {}))
        return f"{name} ({inner})"
    if "anyOf" in field:
        return " or ".join(_kind(one, schema) for one in field["anyOf"])
    if "enum" in field:
        return " or ".join(f"`{one}`" for one in field["enum"])
    if field.get("type") == "array":
        return f"list of {_kind(field.get('items', {}), schema)}"
    return " ".join(_words(field)) or "anything"


def _words(field: dict[str, Any]) -> Iterator[str]:
    if "format" in field:
        yield field["format"]
    elif "type" in field:
        yield field["type"]
