"""How we speak to Kafka: settings that every client shares, and an event as a record.

A record's key is the aggregate's id and its value the event's JSON; the rest of the envelope travels in headers ``id``,
``type``, ``occurred_at``, ``position`` and ``traceparent`` (W3C).
"""

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import structlog
from confluent_kafka import KafkaError, KafkaException, Message

from insuretech.kit.events import Envelope
from insuretech.kit.failures import Unusable
from insuretech.kit.settings import Settings
from insuretech.kit.tracing import trace_id_of, traceparent_of

log = structlog.get_logger(__name__)

LARGEST_RECORD = 1_000_000
"""Bytes of a record that topics and producers agree on: Kafka's own default is a little more."""

_LOUD = logging.WARNING
_NO_SUCH_HOST = 'Set INSURETECH_KAFKA to "host:port,…".'


class KafkaAway(Unusable):
    """No broker answers."""


class RecordInvalid(Exception):
    """A record is not one of our events; the message says what it lacks."""


@dataclass(frozen=True)
class Kafka:
    """Where Kafka is and who we are to it.

    ``instance`` stays over restarts of a process among its replicas; ``rack`` is the site, so that records may be
    fetched from the near replica.
    """

    servers: str
    instance: str = ""
    rack: str = ""

    def client(self, **more: Any) -> dict[str, Any]:
        """What every client is configured with, and ``more``, whose names have ``_`` for ``.``."""
        common = {
            "bootstrap.servers": self.servers,
            "client.id": f"insuretech-{self.instance or 'one'}",
            "client.rack": self.rack,
            "log.connection.close": False,
            "socket.keepalive.enable": True,
            "reconnect.backoff.max.ms": 2000,
            "logger": _ToStructlog(),
        }
        return common | {name.replace("_", "."): value for name, value in more.items()}


def kafka_of(settings: Settings) -> Kafka:
    """Kafka as the settings name it; raises ``KafkaAway`` when they do not."""
    if not settings.kafka:
        raise KafkaAway(f"No Kafka is set. {_NO_SUCH_HOST}")
    return Kafka(settings.kafka, settings.instance, settings.zone)


class _ToStructlog:
    """librdkafka's own lines, as structured logs like all others; below a warning they are of no use to us."""

    def log(self, level: int, text: str, *arguments: object) -> None:
        says = text % arguments if arguments else text
        if level >= _LOUD and not says.startswith("CONFWARN"):  # our settings are what we want
            log.warning("kafka.client", says=says)


def ends_client(error: KafkaError) -> bool:
    """Whether the client that tells this is done for: said by a flag or, of a fenced member, by code alone."""
    return error.fatal() or error.code() == KafkaError._FATAL  # noqa: SLF001 - a constant


def record_headers(envelope: Envelope) -> list[tuple[str, bytes]]:
    """What a record says of itself beside its key and value."""
    return [
        ("id", str(envelope.id).encode()),
        ("type", envelope.type.encode()),
        ("occurred_at", envelope.occurred_at.isoformat().encode()),
        ("position", str(envelope.position).encode()),
        ("traceparent", traceparent_of(envelope.trace_id, envelope.id).encode()),
    ]


def headers_of(message: Message) -> dict[str, bytes]:
    """The headers of a record; of a repeated one the last."""
    found = message.headers() or []
    pairs = found.items() if isinstance(found, dict) else found
    return {name: value if isinstance(value, bytes) else (value or "").encode() for name, value in pairs}


def envelope_of(message: Message) -> Envelope:
    """The event that a record carries, its payload as it came; raises ``RecordInvalid``."""
    headers = headers_of(message)
    value, key = message.value(), message.key()
    try:
        if value is None:
            raise RecordInvalid("The record has no value.")
        return Envelope(
            id=UUID(headers["id"].decode("ascii")),
            type=headers["type"].decode(),
            topic=message.topic() or "",
            key=(key or b"").decode(),
            occurred_at=_moment(headers["occurred_at"].decode()),
            trace_id=trace_id_of(headers.get("traceparent", b"").decode("ascii", "replace")),
            payload=msgspec.Raw(value),
            position=int(headers.get("position", b"0")),
        )
    except KeyError as error:
        raise RecordInvalid(f"The record has no header {error.args[0]}.") from error
    except ValueError as error:
        raise RecordInvalid(f"The record's key or headers cannot be read: {error}.") from error


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("occurred_at has no offset")
    return moment


def reason_of(error: KafkaException) -> KafkaError:
    """What librdkafka says went wrong."""
    reason = error.args[0]
    return reason if isinstance(reason, KafkaError) else KafkaError(KafkaError._FAIL, str(reason))  # noqa: SLF001 - a constant
