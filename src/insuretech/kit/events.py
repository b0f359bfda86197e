"""What an event is, whatever it tells of."""

from datetime import datetime
from typing import ClassVar
from uuid import UUID

import msgspec


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A fact others may act on; subclasses name their ``topic`` and, in the past tense, themselves."""

    topic: ClassVar[str]
    name: ClassVar[str]

    @classmethod
    def type_name(cls) -> str:
        return f"{cls.topic}.{cls.name}"

    @property
    def key(self) -> str:
        """The aggregate's id: events of one key keep their order."""
        raise NotImplementedError


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """An event on its way: what the outbox stores and receivers deduplicate by ``id``.

    ``position`` grows with every event of a key (0 where it is not known), so that the later of two can be told.
    """

    id: UUID
    type: str
    topic: str
    key: str
    occurred_at: datetime
    trace_id: str
    payload: msgspec.Raw
    position: int = 0
