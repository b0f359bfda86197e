"""Partitions that are silent although they have something to say."""

from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaException, TopicPartition

from insuretech.kit.kafka_silence import Place, Silences

PLACE: Place = ("orders.order.v1", 4)


class Brokers:
    """Answers as a client does: the first and last offset of the partition, and what its group has committed."""

    def __init__(self, first: int, end: int, committed: int = -1001) -> None:
        self.first, self.end, self._committed = first, end, committed
        self.error: object = None

    def committed(self, asked: list[TopicPartition], timeout: float) -> list[Any]:
        assert timeout > 0
        return [
            SimpleNamespace(topic=one.topic, partition=one.partition, offset=self._committed, error=self.error)
            for one in asked
        ]

    def get_watermark_offsets(self, _: TopicPartition, timeout: float) -> tuple[int, int]:
        assert timeout > 0
        return self.first, self.end


def silent(brokers: Brokers, *, came: int | None = None, busy: bool = False) -> bool:
    """Whether the partition is given up when two looks, 40 seconds apart, find the same."""
    silences = Silences(30.0)
    if came is not None:
        silences.came(PLACE, came)
    for moment in (100.0, 140.0):
        assert silences.look(brokers, {PLACE}, {PLACE} if busy else set(), moment) == {PLACE: brokers.end}  # type: ignore[arg-type]
    return silences.too_long(140.0) == [PLACE]


@pytest.mark.parametrize(
    ("brokers", "came", "expected"),
    [
        (Brokers(0, 114), 113, False),  # all of it is here
        (Brokers(0, 114), 81, True),  # more is there and does not come
        (Brokers(0, 114, committed=82), None, True),  # likewise since we began
        (Brokers(0, 114, committed=114), None, False),
        (Brokers(0, 0), None, False),  # nothing was ever said
        (Brokers(114, 114), 81, False),  # the rest has left by its age
        (Brokers(0, 10), 44, True),  # the topic was made anew, and ends before where we are
    ],
)
def test_who_is_silent_without_a_reason_is_given_up(brokers: Brokers, came: int | None, expected: bool) -> None:
    """Otherwise events stay behind for good, or a healthy consumer leaves its group every half minute."""
    assert silent(brokers, came=came) is expected


def test_who_has_enough_to_do_is_not_silent() -> None:
    """Otherwise a consumer that is behind is thrown out of its work for being behind."""
    assert not silent(Brokers(0, 5000), came=1000, busy=True)


def test_a_record_ends_the_silence() -> None:
    """Otherwise a slow partition is given up although it moves."""
    silences, brokers = Silences(30.0), Brokers(0, 114)
    silences.came(PLACE, 81)
    silences.look(brokers, {PLACE}, set(), 100.0)  # type: ignore[arg-type]  # as much of a client as is asked
    silences.came(PLACE, 82)
    silences.look(brokers, {PLACE}, set(), 140.0)  # type: ignore[arg-type]
    assert silences.too_long(140.0) == []


def test_what_was_taken_away_is_forgotten() -> None:
    """Otherwise a partition that others handle by now costs us our client."""
    silences = Silences(30.0)
    silences.came(PLACE, 81)
    silences.look(Brokers(0, 114), {PLACE}, set(), 100.0)  # type: ignore[arg-type]
    silences.forget({PLACE})
    assert silences.too_long(140.0) == []


def test_a_broker_that_answers_with_an_error_is_no_silence() -> None:
    """Otherwise nothing committed is taken for the beginning while the group's broker is only busy."""
    brokers = Brokers(0, 114)
    brokers.error = "not coordinator"
    with pytest.raises(KafkaException):
        Silences(30.0).look(brokers, {PLACE}, set(), 100.0)  # type: ignore[arg-type]
