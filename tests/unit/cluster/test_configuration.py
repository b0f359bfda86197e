"""What the servers are told: what would let data be lost, or let strangers in, is not left to defaults."""

import json
import re
import socket
import tomllib
from pathlib import Path

import pytest

from cluster.garage import Garage
from cluster.haproxy import Proxy, problem
from cluster.kafka import Kafka
from cluster.ports import SIZE, Ports, PortsTaken, require_free
from cluster.redis import NODES, RedisCluster, masters_in
from cluster.services import Services, make_secrets
from insuretech.kit.problems import Unavailable

PORTS = Ports(20000)


def told(text: str, divider: str) -> dict[str, str]:
    """Lines of a configuration by name."""
    return {name: value for name, _, value in (line.partition(divider) for line in text.splitlines())}


def test_a_broker_acknowledges_only_what_two_hold(tmp_path: Path) -> None:
    """An event that one broker alone has is lost with its disk."""
    kafka = Kafka(tmp_path, PORTS, tmp_path)
    settings = [told(kafka.settings(number), "=") for number in kafka.numbers]

    assert [one["broker.rack"] for one in settings] == ["spb", "msk", "witness"]
    for one in settings:
        assert one["min.insync.replicas"] == one["transaction.state.log.min.isr"] == "2"
        assert one["default.replication.factor"] == one["offsets.topic.replication.factor"] == "3"
        assert one["auto.create.topics.enable"] == "false"


def test_copies_of_a_redis_node_are_in_the_other_site(tmp_path: Path) -> None:
    """One site's end would take both."""
    zones = [program.zone for program in RedisCluster(tmp_path, PORTS).programs()]

    assert all(zones[number] != zones[number + 3] for number in range(3))


def test_masters_are_those_that_serve_slots_now() -> None:
    """A test that kills "a master" would kill a copy, and prove nothing."""
    view = """\
aa 127.0.0.1:20021@20031 master,fail - 0 0 1 disconnected
bb 127.0.0.1:20022@20032 myself,master - 0 0 2 connected 5461-10921
cc 127.0.0.1:20023@20033 master - 0 0 3 connected 10922-16383
dd 127.0.0.1:20024@20034 master - 0 0 7 connected 0-5460
ee 127.0.0.1:20025@20035 slave bb 0 0 2 connected
ff 127.0.0.1:20026@20036 master - 0 0 8 connected
"""
    assert masters_in(view, PORTS) == [2, 3, 4]


def test_s3_nodes_know_one_another_and_write_to_the_disk(tmp_path: Path) -> None:
    """Without peers they never meet again after a common restart; without fsync a power cut takes policies."""
    garage = Garage(tmp_path, PORTS, Path("/bin/true"))
    garage.prepare()
    settings = [tomllib.loads(garage.settings(number)) for number in garage.numbers]

    for number, one in zip(garage.numbers, settings, strict=True):
        others = {garage.node_id(other) for other in garage.numbers if other != number}
        assert {peer.partition("@")[0] for peer in one["bootstrap_peers"]} == others
        assert one["metadata_fsync"]
        assert one["data_fsync"]
    assert len({one["rpc_secret"] for one in settings}) == 1


def test_keys_of_s3_stay_over_restarts_and_are_for_the_owner_only(tmp_path: Path) -> None:
    """New keys would open no bucket; readable ones would open it to everybody."""
    garage = Garage(tmp_path / "s3", PORTS, Path("/bin/true"))
    garage.prepare()
    before = garage.keys
    garage.prepare()

    assert garage.keys == before
    modes = {path.stat().st_mode & 0o077 for path in (tmp_path / "s3").glob("*") if path.is_file()}
    assert modes == {0}


def test_secrets_are_made_once_and_for_the_owner_only(tmp_path: Path) -> None:
    """A new internal secret at each start would let replicas refuse one another."""
    make_secrets(tmp_path / "secrets", {"s3-access-key": "GK1"})
    before = (tmp_path / "secrets" / "internal").read_text()
    make_secrets(tmp_path / "secrets", {"s3-access-key": "GK2"})

    assert (tmp_path / "secrets" / "internal").read_text() == before
    assert (tmp_path / "secrets" / "s3-access-key").read_text() == "GK2"
    assert {path.stat().st_mode & 0o077 for path in (tmp_path / "secrets").iterdir()} == {0}


@pytest.fixture
def balancer(tmp_path: Path) -> str:
    """The load balancer's configuration for a small cluster."""
    services = Services(tmp_path, PORTS, {})
    replicas = {name: services.instances(name) for name in services.names}
    return Proxy(tmp_path, PORTS, tmp_path, replicas, tmp_path / "pg", {"s3-1": 1}).settings()


def section(text: str, head: str) -> str:
    """One part of HAProxy's configuration."""
    return re.split(r"\n(?=\S)", text[text.index(f"\n{head}\n") + 1 :])[0]


def test_nobody_outside_reaches_what_services_ask_each_other(balancer: str) -> None:
    """Offers and policyholders would be open to whoever guesses an address."""
    public = section(balancer, "frontend public").splitlines()
    deny = next(number for number, line in enumerate(public) if "deny" in line and "/internal/" in line)
    first_route = next(number for number, line in enumerate(public) if "use_backend" in line)

    assert deny < first_route
    assert not any("/internal/v1/" in line for line in public if "use_backend" in line)


def test_only_what_may_be_repeated_is_sent_again(balancer: str) -> None:
    """An order without a key, sent to a second replica, would be two orders."""
    public = section(balancer, "frontend public")

    assert "disable-l7-retry unless { method GET HEAD } or { req.hdr(Idempotency-Key) -m found }" in public


def test_every_replica_is_checked_and_behind_its_service(balancer: str, tmp_path: Path) -> None:
    """A replica left out is three quarters of a cluster that looks whole."""
    for name in Services(tmp_path, PORTS, {}).names:
        backend = section(balancer, f"backend {name}")
        assert "uri /healthz/ready" in backend
        assert [line.split()[1] for line in backend.splitlines() if line.strip().startswith("server ")] == [
            f"{name}-{number}" for number in (1, 2, 3)
        ]


def test_the_balancer_tells_programs_what_is_wrong_as_we_do() -> None:
    """A partner's program would meet HTML just when something fails."""
    head, _, body = problem("http://here", 503, Unavailable, "Nobody is there.").partition(b"\r\n\r\n")

    assert b"Content-Type: application/problem+json" in head
    assert f"Content-Length: {len(body)}".encode() in head
    assert json.loads(body)["type"] == "http://here/problems/unavailable"


def test_replicas_are_in_both_sites_and_have_names_that_stay(tmp_path: Path) -> None:
    """One site's end would take a whole service; a new name at each start is a new member of every Kafka group."""
    programs = Services(tmp_path, PORTS, {"DATABASE_URL": "postgresql:///x"}).programs()

    orders = [program for program in programs if program.role == "orders"]
    assert {program.zone for program in orders} == {"spb", "msk"}
    assert [program.environment["INSURETECH_INSTANCE"] for program in orders] == ["orders-1", "orders-2", "orders-3"]
    assert all(program.environment["DATABASE_URL"] == "postgresql:///x" for program in orders)


def test_no_two_of_a_cluster_want_the_same_port_and_all_are_in_its_range(tmp_path: Path) -> None:
    """The second would not start, or two clusters side by side would meet."""
    numbers = range(1, 4)
    ports = [
        *(PORTS.public, PORTS.internal, PORTS.s3, PORTS.statistics, PORTS.smtp),
        *(port(number) for port in (PORTS.broker, PORTS.controller) for number in numbers),
        *(port(number) for port in (PORTS.redis, PORTS.redis_bus) for number in range(1, NODES + 1)),
        *(port(number) for port in (PORTS.garage, PORTS.garage_rpc, PORTS.garage_admin) for number in numbers),
        *(int(program.environment["PORT"]) for program in Services(tmp_path, PORTS, {}).programs()),
    ]
    assert len(ports) == len(set(ports))
    assert all(PORTS.base <= port < PORTS.base + SIZE for port in ports)


def test_a_taken_port_is_said_with_what_to_do() -> None:
    """A person would look for the reason in the log of one of forty processes."""
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(PortsTaken, match="CLUSTER_PORT="):
        require_free([taken.getsockname()[1]])
