"""Partitions that are silent although they have something to say."""

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaException, TopicPartition

from insuretech.kit.kafka_silence import Place, Silences, Span

PLACE: Place = ("orders.order.v1", 4)


class Brokers:
    """Answer with the first and last offset of the partition, and with what its group has committed."""

    def __init__(self, first: int, end: int, committed: int = -1001) -> None:
        self.first, self.end, self._committed = first, end, committed
        self.error: object = None
        self._asked: list[Place] = []

    def committed(self, asked: list[TopicPartition], timeout: float) -> list[Any]:
        assert timeout > 0
        return [
            SimpleNamespace(topic=one.topic, partition=one.partition, offset=self._committed, error=self.error)
            for one in asked
        ]

    def ask(self, places: Iterable[Place]) -> None:
        self._asked = list(places)

    def answer(self) -> dict[Place, Span] | None:
        asked, self._asked = self._asked, []
        return {place: Span(self.first, self.end) for place in asked} or None


def looked(
    silences: Silences, brokers: Brokers, moment: float, busy: set[Place] | None = None
) -> dict[Place, int] | None:
    """Ask, and look at the answer."""
    silences.ask(brokers, {PLACE})  # type: ignore[arg-type]  # as much of a client as is asked
    return silences.look(busy or set(), moment)


def silent(brokers: Brokers, *, came: int | None = None, busy: bool = False) -> bool:
    """Whether the partition is given up when two looks, 40 seconds apart, find the same."""
    silences = Silences(30.0, brokers)
    if came is not None:
        silences.came(PLACE, came)
    for moment in (100.0, 140.0):
        assert looked(silences, brokers, moment, {PLACE} if busy else set()) == {PLACE: brokers.end}
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
    brokers = Brokers(0, 114)
    silences = Silences(30.0, brokers)
    silences.came(PLACE, 81)
    looked(silences, brokers, 100.0)
    silences.came(PLACE, 82)
    looked(silences, brokers, 140.0)
    assert silences.too_long(140.0) == []


def test_what_was_taken_away_is_forgotten() -> None:
    """Otherwise a partition that others handle by now costs us our client."""
    brokers = Brokers(0, 114)
    silences = Silences(30.0, brokers)
    silences.came(PLACE, 81)
    looked(silences, brokers, 100.0)
    silences.ask(brokers, {PLACE})  # type: ignore[arg-type]
    silences.forget({PLACE})
    assert silences.look(set(), 140.0) == {}
    assert silences.too_long(140.0) == []


def test_what_comes_while_the_brokers_are_asked_is_neither_missing_nor_made_anew() -> None:
    """Otherwise a partition whose records come one at a time is given up between two of them."""
    brokers = Brokers(0, 82)
    silences = Silences(30.0, brokers)
    silences.came(PLACE, 81)
    for moment in (100.0, 140.0):
        silences.ask(brokers, {PLACE})  # type: ignore[arg-type]
        silences.came(PLACE, int(moment))
        silences.look(set(), moment)
        brokers.end = int(moment) + 1
    assert silences.too_long(140.0) == []


def test_nothing_is_judged_before_the_brokers_have_told() -> None:
    """Otherwise what was true of a partition long ago is held against it."""
    silences = Silences(30.0, Brokers(0, 114))
    assert silences.look(set(), 100.0) is None


def test_a_broker_that_answers_with_an_error_is_no_silence() -> None:
    """Otherwise nothing committed is taken for the beginning while the group's broker is only busy."""
    brokers = Brokers(0, 114)
    brokers.error = "not coordinator"
    with pytest.raises(KafkaException):
        looked(Silences(30.0, brokers), brokers, 100.0)
