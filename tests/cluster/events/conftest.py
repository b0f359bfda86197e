"""A town whose residents' moves go through a real Kafka."""

import itertools
from collections.abc import Callable

import pytest

from cluster.part import RunningKafka
from insuretech.kit.db import Database
from insuretech.kit.kafka import Kafka
from insuretech.kit.topics import Topic, Topics, dead_letter_topic, differences
from tests.cluster.events.city import City
from tests.service.kit.town import Town

_numbers = itertools.count(1)


@pytest.fixture
async def city(kafka: RunningKafka, database: Callable[[str], Database]) -> City:
    """A database and a topic of the test's own."""
    town = Town(database("documents"))
    await town.found()
    city = City(town, Kafka(kafka.bootstrap), f"town.resident.v{next(_numbers)}")
    wanted = [Topic(city.topic, 6, 1), Topic(dead_letter_topic(city.service), 1, 1)]
    topics = Topics(city.kafka)
    topics.apply(wanted, differences(wanted, topics.there([topic.name for topic in wanted])))
    return city
