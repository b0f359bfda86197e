"""The events of all services as an AsyncAPI 3.0 document, drawn from the contracts themselves.

See https://www.asyncapi.com/docs/reference/specification/v3.0.0.
"""

import inspect
from typing import Any

import msgspec

from insuretech import __version__
from insuretech.contracts.events import EVENTS
from insuretech.contracts.topics import topics
from insuretech.kit.events import Event

_SCHEMA = "#/components/schemas/"


def asyncapi_document() -> dict[str, Any]:
    """One channel per topic, one message per event type, one sending operation per channel."""
    references, schemas = msgspec.json.schema_components(EVENTS.values(), ref_template=f"{_SCHEMA}{{name}}")
    payloads = dict(zip(EVENTS, references, strict=True))
    names = sorted({event.topic for event in EVENTS.values()})
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "InsureTech events",
            "version": __version__,
            "description": "Facts that services tell each other, delivered at least once and in order within a key. "
            "Headers say what a message is; receivers drop repeats by `id`. The key is the aggregate's id.",
        },
        "defaultContentType": "application/json",
        "channels": {topic: _channel(topic) for topic in names},
        "operations": {f"publish {topic}": _operation(topic) for topic in names},
        "components": {
            "messages": {name: _message(event, payloads[name]) for name, event in EVENTS.items()},
            "schemas": {"Headers": _headers(), **schemas},
        },
    }


def _channel(topic: str) -> dict[str, Any]:
    settings = next(one for one in topics() if one.name == topic)
    kept = (
        {"cleanup.policy": ["compact"]}
        if settings.retention_days is None
        else {"cleanup.policy": ["delete"], "retention.ms": settings.retention_days * 86_400_000}
    )
    return {
        "address": topic,
        "bindings": {
            "kafka": {
                "topic": topic,
                "partitions": settings.partitions,
                "replicas": settings.copies,
                "topicConfiguration": kept,
            }
        },
        "messages": {
            name: {"$ref": f"#/components/messages/{name}"} for name, event in EVENTS.items() if event.topic == topic
        },
    }


def _operation(topic: str) -> dict[str, Any]:
    service = topic.partition(".")[0]
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{topic}"},
        "summary": f"The service {service} tells what happened.",
    }


def _message(event: type[Event], payload: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": event.type_name(),
        "title": event.__name__,
        "summary": inspect.getdoc(event),
        "headers": {"$ref": f"{_SCHEMA}Headers"},
        "bindings": {"kafka": {"key": {"type": "string"}}},
        "payload": payload,
    }


def _headers() -> dict[str, Any]:
    moment = {"type": "string", "format": "date-time"}
    return {
        "title": "Headers",
        "type": "object",
        "required": ["id", "type", "occurred_at"],
        "properties": {
            "id": {"type": "string", "format": "uuid", "description": "Of this event; receivers deduplicate by it."},
            "type": {"type": "string", "enum": sorted(EVENTS)},
            "occurred_at": moment,
            "position": {"type": "string", "description": "A decimal number that grows with every event of a key."},
            "traceparent": {"type": "string", "description": "W3C trace of the request that led to the event."},
        },
    }
