"""Notices partitions whose records do not come to us although the broker has some.

librdkafka may go on asking a broker that leads a partition no more: what brokers say of a topic that was made anew is
older, by its count, than what it knew of the topic before, and it does not believe it. A new client knows of no before.
"""

from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from typing import NamedTuple, Protocol

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import ListOffsetsResultInfo, OffsetSpec

from insuretech.kit.kafka import Kafka

Place = tuple[str, int]
"""Topic and partition."""

_FIRST, _END = OffsetSpec.earliest(), OffsetSpec.latest()  # type: ignore[no-untyped-call]  # typed in part
_ANSWER = 5.0  # seconds for the brokers; without an answer Kafka is away, and silent for a good reason
_GROUP_ANSWER = 1.0  # seconds for the group, while nothing is fetched


class Span(NamedTuple):
    """The offset of the first record of a partition, and the one after its last."""

    first: int
    end: int


class Asking(Protocol):
    """Asks how far partitions go; the answer is there some time later."""

    def ask(self, places: Iterable[Place]) -> None: ...

    def answer(self) -> Mapping[Place, Span] | None:
        """What was asked last, once; None while it is not known. Raises ``KafkaException``."""
        ...


class Brokers:
    """Asks the brokers, over connections of its own.

    On those of a consumer each question waits behind the fetch that is under way, up to half a second, and meanwhile
    nothing else is fetched.
    """

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka
        self._admin: AdminClient | None = None
        self._firsts: dict[TopicPartition, Future[ListOffsetsResultInfo]] = {}
        self._ends: dict[TopicPartition, Future[ListOffsetsResultInfo]] = {}

    def ask(self, places: Iterable[Place]) -> None:
        """Ask about these partitions; what was asked before is forgotten."""
        asked = [TopicPartition(*place) for place in places]
        if not asked:
            return
        if self._admin is None:
            self._admin = AdminClient(self._kafka.client())
        self._admin.poll(0)  # what it has to say goes to our log
        self._firsts = self._offsets(self._admin, asked, _FIRST)
        self._ends = self._offsets(self._admin, asked, _END)

    def answer(self) -> Mapping[Place, Span] | None:
        """See ``Asking``."""
        firsts, ends = self._firsts, self._ends
        if not ends or not all(one.done() for one in (*firsts.values(), *ends.values())):
            return None
        self._firsts, self._ends = {}, {}
        return {
            (place.topic, place.partition): Span(firsts[place].result().offset, end.result().offset)
            for place, end in ends.items()
        }

    @staticmethod
    def _offsets(
        admin: AdminClient, asked: list[TopicPartition], which: OffsetSpec
    ) -> dict[TopicPartition, Future[ListOffsetsResultInfo]]:
        return admin.list_offsets(dict.fromkeys(asked, which), request_timeout=_ANSWER)


class Silences:
    """What has reached us of each partition, and since when nothing did although there was more.

    Asked and told in the thread of the client alone.
    """

    def __init__(self, limit: float, brokers: Asking) -> None:
        self._limit = limit
        self._brokers = brokers
        self._reached_then: dict[Place, int] = {}
        self._reached: dict[Place, int] = {}
        self._since: dict[Place, float] = {}

    def came(self, place: Place, offset: int) -> None:
        """A record of a partition is here."""
        self._reached[place] = offset + 1
        self._since.pop(place, None)

    def forget(self, places: Iterable[Place]) -> None:
        """They begin anew, at what is committed."""
        for place in places:
            self._reached.pop(place, None)
            self._since.pop(place, None)

    def ask(self, consumer: Consumer, places: set[Place]) -> None:
        """Have the brokers asked how far each partition goes; raises ``KafkaException`` when the group is mute."""
        self._learn(consumer, [place for place in places if place not in self._reached])
        self._reached_then = {place: self._reached[place] for place in places}
        self._brokers.ask(places)

    def look(self, busy: set[Place], now: float) -> dict[Place, int] | None:
        """The end of each partition that was asked about and is still ours, once the brokers have told; else None.

        One that ends before what had come from it was made anew; a client that has not noticed waits for ever as well.
        ``busy`` have enough waiting here, so that we fetch no more of them. Raises ``KafkaException`` when a broker
        does not answer.
        """
        spans = self._brokers.answer()
        if spans is None:
            return None
        ends = {}
        for place, (first, end) in spans.items():
            if place not in self._reached or place not in self._reached_then:
                continue
            ends[place] = end
            made_anew = end < self._reached_then[place]
            waits = end > max(first, self._reached[place])
            if place in busy or not (made_anew or waits):
                self._since.pop(place, None)
            else:
                self._since.setdefault(place, now)
        return ends

    def reached(self, place: Place) -> int:
        """The offset after the last record that came, or where we began."""
        return self._reached.get(place, 0)

    def too_long(self, now: float) -> list[Place]:
        """Partitions that have been silent for too long."""
        return sorted(place for place, since in self._since.items() if now - since > self._limit)

    def nothing_known(self) -> None:
        """Kafka does not answer: who is silent has a reason."""
        self._since.clear()

    def _learn(self, consumer: Consumer, places: list[Place]) -> None:
        if not places:
            return
        for one in consumer.committed([TopicPartition(*place) for place in places], timeout=_GROUP_ANSWER):
            if one.error is not None:
                raise KafkaException(one.error)
            self._reached[one.topic, one.partition] = max(0, one.offset)
