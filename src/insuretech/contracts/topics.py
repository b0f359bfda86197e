"""The topics of all services: which there are follows from the events, how they are set from ``data/topics.yaml``."""

from functools import cache
from importlib.resources import files
from typing import Annotated

import msgspec
import yaml

from insuretech.contracts.events import EVENTS
from insuretech.kit.topics import Topic, dead_letter_topic

CONSUMERS = ("catalogue", "documents", "orders", "quotes", "settlement")
"""Services that react to events, and so may give up on one."""

_Days = Annotated[int, msgspec.Meta(ge=1, le=3660)]
_Partitions = Annotated[int, msgspec.Meta(ge=1, le=1000)]


class _Settings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    partitions: _Partitions | None = None
    retention_days: _Days | None = None
    compact: bool = False


class _File(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    every: _Settings
    topics: dict[str, _Settings]
    dead_letters: _Settings


@cache
def topics() -> tuple[Topic, ...]:
    """Every topic there must be, by name; raises ``ValueError`` when the file names one without events."""
    text = files("insuretech.contracts").joinpath("data", "topics.yaml").read_text(encoding="utf-8")
    file = msgspec.convert(yaml.safe_load(text), _File)
    names = {event.topic for event in EVENTS.values()}
    if unknown := set(file.topics) - names:
        raise ValueError(f"topics.yaml names topics without events: {', '.join(sorted(unknown))}")
    told = [_topic(name, file.topics.get(name, _Settings()), file.every) for name in names]
    letters = [_topic(dead_letter_topic(service), file.dead_letters, file.every) for service in CONSUMERS]
    return tuple(sorted([*told, *letters], key=lambda topic: topic.name))


def _topic(name: str, own: _Settings, every: _Settings) -> Topic:
    partitions = own.partitions or every.partitions or 1
    return Topic(name, partitions, None if own.compact else own.retention_days or every.retention_days)
