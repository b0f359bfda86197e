"""The relay to Kafka, with producers that are told how to behave; ``tests/cluster/events`` has real ones."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import pytest

from insuretech.kit import kafka_relay
from insuretech.kit.events import Envelope
from insuretech.kit.kafka import Kafka
from insuretech.kit.kafka_relay import KafkaRelay
from tests.service.kit.town import Town, all_moves, messaging


class Producer:
    """Acknowledges at once, all but the first of them, which never says anything."""

    made: list["Producer"]

    def __init__(self, _: Kafka) -> None:
        self.made.append(self)
        self.silent = len(self.made) == 1
        self.sent: list[Envelope] = []
        self.abandoned = False

    def send(self, envelopes: Sequence[Envelope]) -> asyncio.Future[None]:
        self.sent += envelopes
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not self.silent:
            done.set_result(None)
        return done

    def abandon(self) -> None:
        self.abandoned = True


async def test_a_producer_that_never_answers_is_given_up(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise buyers' events stay behind for good when topics were made anew, until somebody restarts the process."""
    Producer.made = []
    monkeypatch.setattr(kafka_relay, "EventProducer", Producer)
    await town.publish(*all_moves(residents=5, each=4))
    relaying = asyncio.create_task(KafkaRelay(town.database, messaging, Kafka("nowhere:9092"), patience=0.3).run())
    try:
        await town.quiet(60)
    finally:
        relaying.cancel()
        with suppress(asyncio.CancelledError):
            await relaying

    silent, *others = Producer.made
    assert silent.abandoned
    told = [(envelope.key, envelope.id) for other in others for envelope in other.sent]
    assert sorted(told) == sorted((envelope.key, envelope.id) for envelope in await town.envelopes())
