"""The servers that other tests stand on work, and survive what they are there to survive."""

import time

import obstore
import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from obstore.store import S3Store
from redis.cluster import RedisCluster
from redis.exceptions import RedisError

from cluster.part import RunningGarage, RunningKafka, RunningRedis
from tests.system.running import strain


def test_kafka_keeps_a_message_when_the_broker_that_took_it_dies(kafka: RunningKafka) -> None:
    """An event acknowledged by one broker alone would be lost with it."""
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    admin.create_topics([NewTopic("parts.kept", num_partitions=1, replication_factor=3)])["parts.kept"].result(30)
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "enable.idempotence": True})
    producer.produce("parts.kept", key="a", value="1")
    assert producer.flush(30) == 0
    leader = admin.list_topics("parts.kept", timeout=60).topics["parts.kept"].partitions[0].leader
    kafka.kill(f"kafka-{leader}")
    try:
        consumer = Consumer(
            {"bootstrap.servers": kafka.bootstrap, "group.id": "parts", "auto.offset.reset": "earliest"}
        )
        consumer.subscribe(["parts.kept"])
        message = consumer.poll(60)
        consumer.close()
    finally:
        kafka.heal()
    assert message is not None
    assert message.value() == b"1"


def test_redis_takes_writes_again_after_a_master_died(redis_cluster: RunningRedis) -> None:
    """Hot reads would stay slow until a person comes."""
    client = RedisCluster.from_url(f"redis://{redis_cluster.nodes.partition(',')[0]}", socket_timeout=2)
    client.set("{a}", "1")
    before = redis_cluster.masters()
    assert len(before) == 3
    redis_cluster.kill(before[0])
    try:
        until = time.monotonic() + 15 * strain()
        while True:
            try:
                for key in range(50):
                    client.set(f"key-{key}", "1")
                break
            except RedisError:
                assert time.monotonic() < until
                time.sleep(0.1)
    finally:
        redis_cluster.heal()
        client.close()


@pytest.mark.filterwarnings("ignore::UserWarning")
async def test_s3_gives_back_what_was_put_while_a_node_is_away(s3: RunningGarage) -> None:
    """A site that is away must not keep a policy's document from its buyer."""
    store = S3Store(
        s3.bucket,
        endpoint=s3.urls[1],
        region=s3.region,
        access_key_id=s3.access_key,
        secret_access_key=s3.secret_key,
        client_options={"allow_http": True},
        virtual_hosted_style_request=False,
    )
    await obstore.put_async(store, "before", b"1")
    s3.kill("s3-1")
    try:
        await obstore.put_async(store, "during", b"2")
        assert bytes(await (await obstore.get_async(store, "before")).bytes_async()) == b"1"
        assert bytes(await (await obstore.get_async(store, "during")).bytes_async()) == b"2"
    finally:
        s3.heal()
