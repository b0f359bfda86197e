"""Notices partitions whose records do not come to us although the broker has some.

librdkafka may go on asking a broker that leads a partition no more: what brokers say of a topic that was made anew is
older, by its count, than what it knew of the topic before, and it does not believe it. A new client knows of no before.
"""

from collections.abc import Iterable

from confluent_kafka import Consumer, KafkaException, TopicPartition

Place = tuple[str, int]
"""Topic and partition."""

_ANSWER = 1.0  # seconds for each question; without an answer Kafka is away, and silent for a good reason


class Silences:
    """What has reached us of each partition, and since when nothing did although there was more.

    Asked and told in the thread of the client alone.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit
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

    def look(self, consumer: Consumer, places: set[Place], busy: set[Place], now: float) -> dict[Place, int]:
        """Ask the brokers how far each partition goes: its end, by partition.

        One that ends before what came from it was made anew; a client that has not noticed waits for ever as well.
        ``busy`` have enough waiting here, so that we fetch no more of them. Raises ``KafkaException`` when a broker
        does not answer.
        """
        self._learn(consumer, [place for place in places if place not in self._reached])
        ends = {}
        for place in places:
            first, ends[place] = consumer.get_watermark_offsets(TopicPartition(*place), timeout=_ANSWER)
            reached = self._reached[place]
            nothing_waits = reached <= ends[place] <= max(first, reached)
            if place in busy or nothing_waits:
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
        for one in consumer.committed([TopicPartition(*place) for place in places], timeout=_ANSWER):
            if one.error is not None:
                raise KafkaException(one.error)
            self._reached[one.topic, one.partition] = max(0, one.offset)
