"""Topics as they should be against topics as they are: what differs, and making it so.

Kafka never makes a topic by itself here. A change that would lose records or the order within a key is refused: fewer
partitions or copies need a new topic, and more partitions move keys, so they are made only when asked for.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Literal, TypeVar

import msgspec
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource, ConfigSource
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.cimpl import NewPartitions, NewTopic

from insuretech.kit.failures import Unusable
from insuretech.kit.kafka import LARGEST_RECORD, Kafka, KafkaAway, reason_of

Answer = TypeVar("Answer")

COPIES = 3
"""One in every site and one with the witness: with two in sync a site may go without loss or standstill."""

_DAY = 86_400_000  # milliseconds
_FIRST_LIMIT = 6.0  # seconds to find a broker that answers
_LIMIT = 20.0  # seconds for one request to it


class TopicsDiffer(Unusable):
    """Some topics are set in a way that we do not change by ourselves."""


class Topic(msgspec.Struct, frozen=True):
    """A topic as it should be; without ``retention_days`` it is compacted: the last record of each key stays.

    One of the brokers that have a copy may be away.
    """

    name: str
    partitions: int
    retention_days: int | None
    copies: int = COPIES

    @property
    def settings(self) -> dict[str, str]:
        """The settings we state ourselves, as Kafka spells them."""
        kept = (
            {"cleanup.policy": "compact"}
            if self.retention_days is None
            else {"cleanup.policy": "delete", "retention.ms": str(self.retention_days * _DAY)}
        )
        return {
            **kept,
            "min.insync.replicas": str(max(1, self.copies - 1)),
            "max.message.bytes": str(LARGEST_RECORD),
            "unclean.leader.election.enable": "false",
        }


class TopicThere(msgspec.Struct, frozen=True):
    """A topic as Kafka has it; ``own`` are the settings that were made for it, beside defaults of the brokers."""

    name: str
    partitions: int
    copies: int
    settings: Mapping[str, str]
    own: frozenset[str] = frozenset()


class Difference(msgspec.Struct, frozen=True):
    """One thing to be done, or one that must not be: ``refused`` says why."""

    topic: str
    action: Literal["create", "grow", "set", "unset", "none"]
    what: str
    now: str
    wanted: str
    refused: str = ""


def differences(wanted: Iterable[Topic], there: Mapping[str, TopicThere], *, grow: bool = False) -> list[Difference]:
    """What must be done, in the order of topics; more partitions are refused unless ``grow``."""
    found: list[Difference] = []
    for topic in wanted:
        known = there.get(topic.name)
        if known is None:
            found.append(Difference(topic.name, "create", "topic", "–", _described(topic)))
        else:
            found += [*_shape(topic, known, grow=grow), *_settings(topic, known)]
    return found


def _described(topic: Topic) -> str:
    kept = "compacted" if topic.retention_days is None else f"{topic.retention_days} days"
    return f"{topic.partitions} partitions, {topic.copies} copies, {kept}"


def _shape(topic: Topic, known: TopicThere, *, grow: bool) -> list[Difference]:
    found = []
    if known.partitions != topic.partitions:
        fewer = known.partitions > topic.partitions
        refused = "" if grow else "keys would move and lose their order for a while; ask for it with --grow"
        if fewer:
            refused = "partitions cannot be taken away without losing records; make a new topic"
        now, wanted = str(known.partitions), str(topic.partitions)
        found.append(Difference(topic.name, "none" if refused else "grow", "partitions", now, wanted, refused))
    if known.copies != topic.copies:
        refused = "copies are moved by kafka-reassign-partitions, while somebody watches"
        found.append(Difference(topic.name, "none", "copies", str(known.copies), str(topic.copies), refused))
    return found


def _settings(topic: Topic, known: TopicThere) -> list[Difference]:
    wanted = topic.settings
    found = [
        Difference(topic.name, "set", name, known.settings.get(name, "–"), value)
        for name, value in wanted.items()
        if known.settings.get(name) != value
    ]
    strays = sorted(known.own - set(wanted))
    return found + [Difference(topic.name, "unset", name, known.settings.get(name, "–"), "–") for name in strays]


class Topics:
    """The topics of a Kafka; raises ``KafkaAway`` where it does not answer."""

    def __init__(self, kafka: Kafka) -> None:
        self._servers = kafka.servers
        self._admin = AdminClient(kafka.client(socket_timeout_ms=10_000))

    def there(self, names: Sequence[str]) -> dict[str, TopicThere]:
        """Those of the named topics that exist."""
        metadata = self._asked(lambda: self._admin.list_topics(timeout=_FIRST_LIMIT))
        known = {name: metadata.topics[name] for name in names if name in metadata.topics}
        if not known:
            return {}
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in known]
        answers = self._asked(lambda: self._admin.describe_configs(resources, request_timeout=_LIMIT))
        found = {}
        for resource, answer in answers.items():
            entries: dict[str, ConfigEntry] = self._asked(answer.result)
            topic = known[resource.name]
            found[resource.name] = TopicThere(
                name=resource.name,
                partitions=len(topic.partitions),
                copies=min(len(partition.replicas) for partition in topic.partitions.values()),
                settings={name: entry.value or "" for name, entry in entries.items()},
                own=frozenset(name for name, entry in entries.items() if _is_own(entry)),
            )
        return found

    def apply(self, wanted: Iterable[Topic], todo: Iterable[Difference]) -> None:
        """Do what ``differences`` found; what is refused is left alone."""
        by_name, steps = {topic.name: topic for topic in wanted}, list(todo)
        new = [_new(by_name[step.topic]) for step in steps if step.action == "create"]
        if new:
            self._done(self._admin.create_topics(new, request_timeout=_LIMIT))
        more = [NewPartitions(step.topic, int(step.wanted)) for step in steps if step.action == "grow"]
        if more:
            self._done(self._admin.create_partitions(more, request_timeout=_LIMIT))
        changed = {step.topic for step in steps if step.action in {"set", "unset"}}
        resources = [_changes(name, [step for step in steps if step.topic == name]) for name in sorted(changed)]
        if resources:
            self._done(self._admin.incremental_alter_configs(resources, request_timeout=_LIMIT))

    def _done(self, futures: Mapping[Any, Future[None]]) -> None:
        for future in futures.values():
            self._asked(future.result)

    def _asked(self, ask: Callable[[], Answer]) -> Answer:
        try:
            return ask()
        except KafkaException as error:
            reason = reason_of(error)
            if reason.retriable() or reason.name().startswith("_"):
                raise KafkaAway(f"Kafka does not answer at {self._servers}: {reason.str()}.") from error
            raise TopicsDiffer(f"Kafka refuses: {reason.str()}") from error


def _is_own(entry: ConfigEntry) -> bool:
    return ConfigSource(entry.source) is ConfigSource.DYNAMIC_TOPIC_CONFIG


def _new(topic: Topic) -> NewTopic:
    return NewTopic(topic.name, topic.partitions, topic.copies, config=topic.settings)


def _changes(name: str, steps: Sequence[Difference]) -> ConfigResource:
    operations = {"set": AlterConfigOpType.SET, "unset": AlterConfigOpType.DELETE}
    entries = [
        ConfigEntry(step.what, step.wanted, incremental_operation=operations[step.action])
        for step in steps
        if step.action in operations
    ]
    return ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries)


def dead_letter_topic(service: str) -> str:
    """Where the records go that a service gave up on."""
    return f"{service}.dead-letters.v1"
