"""Topics as data: what differs is found, what would lose records is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from insuretech.contracts.events import EVENTS
from insuretech.contracts.topics import topics
from insuretech.kit.topics import Difference, Topic, TopicThere, differences

ORDERS = Topic("orders.order.v1", 6, 30)


def there(topic: Topic, partitions: int = 0, copies: int = 0, **settings: str) -> TopicThere:
    """The topic as Kafka has it, but for what is said."""
    changed = {name.replace("_", "."): value for name, value in settings.items()}
    own = {**topic.settings, **changed}
    return TopicThere(
        topic.name,
        partitions or topic.partitions,
        copies or topic.copies,
        {"segment.bytes": "1073741824", **own},
        frozenset(own),
    )


def found(topic: Topic, known: TopicThere | None, *, grow: bool = False) -> list[Difference]:
    """What is to be done to one topic."""
    return differences([topic], {} if known is None else {topic.name: known}, grow=grow)


def test_every_event_has_a_topic_that_is_made() -> None:
    """Otherwise the first event of a new kind waits for ever, as Kafka makes no topic by itself."""
    assert {event.topic for event in EVENTS.values()} <= {topic.name for topic in topics()}


def test_products_are_kept_for_good_and_the_rest_for_a_while() -> None:
    """Otherwise a new service finds no products, or the brokers' disks fill."""
    kept = {topic.name: topic.retention_days for topic in topics()}
    assert kept.pop("catalogue.product.v1") is None
    assert all(days is not None for days in kept.values())


def test_an_acknowledged_record_is_in_two_sites() -> None:
    """Otherwise the loss of one site loses records that were acknowledged."""
    for topic in topics():
        assert topic.copies == 3
        assert topic.settings["min.insync.replicas"] == "2"
        assert topic.settings["unclean.leader.election.enable"] == "false"


@pytest.mark.parametrize(("copies", "needed"), [(3, "2"), (2, "1"), (1, "1")])
def test_one_broker_may_be_away_where_there_are_fewer(copies: int, needed: str) -> None:
    """Otherwise a site that goes on alone cannot restart a broker without all events waiting."""
    assert replace(ORDERS, copies=copies).settings["min.insync.replicas"] == needed


def test_nothing_is_done_where_all_is_well() -> None:
    """Otherwise every deploy changes something in Kafka, and nobody reads the plan any more."""
    assert found(ORDERS, there(ORDERS)) == []


def test_a_missing_topic_is_made() -> None:
    """Otherwise a fresh installation cannot begin."""
    (step,) = found(ORDERS, None)
    assert (step.action, step.wanted) == ("create", "6 partitions, 3 copies, 30 days")


def test_settings_are_put_right_and_strangers_taken_back() -> None:
    """Otherwise what somebody tried on a broker at night stays for years."""
    steps = found(ORDERS, there(ORDERS, retention_ms="1000", segment_ms="5"))
    assert [(step.action, step.what, step.now, step.wanted) for step in steps] == [
        ("set", "retention.ms", "1000", str(30 * 86_400_000)),
        ("unset", "segment.ms", "5", "–"),
    ]


@given(st.integers(1, 50), st.integers(1, 50), st.booleans())
def test_partitions_are_never_taken_away_and_added_only_when_asked_for(now: int, wanted: int, grow: bool) -> None:
    """Otherwise a slip in a file loses records, or mixes up the order of events of running purchases."""
    steps = found(Topic("t.t.v1", wanted, 1), there(Topic("t.t.v1", wanted, 1), partitions=now), grow=grow)
    grown = [step for step in steps if step.action == "grow"]
    refused = [step for step in steps if step.refused]
    assert bool(grown) == (now < wanted and grow)
    assert bool(refused) == (now > wanted or (now < wanted and not grow))


def test_the_number_of_copies_is_not_changed_by_the_way() -> None:
    """Otherwise a command moves all data between sites at noon."""
    (step,) = found(ORDERS, there(ORDERS, copies=1))
    assert step.action == "none"
    assert "kafka-reassign-partitions" in step.refused
