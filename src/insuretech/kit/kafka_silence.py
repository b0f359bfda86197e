"""Notices partitions whose records do not come to us although the broker has some.

librdkafka may go on asking a broker that leads a partition no more: what brokers say of a topic that was made anew is
older, by its count, than what it knew of the topic before, and it does not believe it. A new client knows of no before.
"""

from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, Protocol

from confluent_kafka import Consumer, KafkaException, TopicPartition

from insuretech.kit.kafka import Kafka

Place = tuple[str, int]
"""Topic and partition."""

_ANSWER = 1.0  # seconds for each question; without an answer Kafka is away, and silent for a good reason


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
    """Asks the brokers by a client of its own, which fetches nothing, in a thread of its own.

    On the connections of a consumer each question waits behind the fetch that is under way, up to half a second, and
    meanwhile nothing else is fetched. (librdkafka's client for administration asks for all partitions at once, but
    connects to a broker that is away without a pause: it would take a whole processor then.)
    """

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka
        self._client: Consumer | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="consumer-spans")
        self._asked: Future[dict[Place, Span]] | None = None

    def ask(self, places: Iterable[Place]) -> None:
        """Ask about these partitions; what was asked before is forgotten."""
        if self._asked is not None:
            self._asked.cancel()
        self._asked = self._thread.submit(self._spans, list(places))

    def answer(self) -> Mapping[Place, Span] | None:
        """See ``Asking``."""
        if self._asked is None or not self._asked.done():
            return None
        asked, self._asked = self._asked, None
        return asked.result()

    def _spans(self, places: list[Place]) -> dict[Place, Span]:
        client, self._client = self._client or self._new_client(), None
        client.poll(0)  # what it has to say goes to our log
        spans = {
            place: Span(*client.get_watermark_offsets(TopicPartition(*place), timeout=_ANSWER)) for place in places
        }
        self._client = client  # one that had no answer may believe in brokers of before: the next time asks a new one
        return spans

    def _new_client(self) -> Consumer:
        return Consumer(self._kafka.client(group_id="insuretech.spans", enable_auto_commit=False))


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
        for one in consumer.committed([TopicPartition(*place) for place in places], timeout=_ANSWER):
            if one.error is not None:
                raise KafkaException(one.error)
            self._reached[one.topic, one.partition] = max(0, one.offset)
