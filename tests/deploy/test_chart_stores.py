"""The chart's Kafka, Redis and S3: what is where, and what remains when a site is gone."""

from tests.deploy.conftest import Render, Rendered


def kafka_settings(chart: Rendered) -> list[dict[str, str]]:
    """Every broker's settings."""
    files = [text for one in chart.of("ConfigMap") for name, text in one["data"].items() if name.startswith("server-")]
    lines = ([line.partition("=") for line in text.splitlines() if "=" in line and line[0] != "#"] for text in files)
    return [{name: value for name, _, value in pairs} for pairs in lines]


def test_no_record_is_in_one_place_only_and_no_place_is_needed(chart: Rendered) -> None:
    """A site that dies would take records along, or stop all others."""
    brokers = kafka_settings(chart)
    voters = brokers[0]["controller.quorum.voters"].split(",")

    assert {one["broker.rack"] for one in brokers} == {"spb", "msk", "witness"}
    assert len({one["node.id"] for one in brokers}) == len(brokers)
    assert sorted(voter.partition("@")[0] for voter in voters) == sorted(
        one["node.id"] for one in brokers if "controller" in one["process.roles"]
    )
    assert {(one["default.replication.factor"], one["min.insync.replicas"]) for one in brokers} == {("3", "2")}
    assert {one["offsets.topic.replication.factor"] for one in brokers} == {"3"}


def test_the_full_size_has_two_brokers_a_site_and_one_controller_a_place(render: Render) -> None:
    """The customer's picture."""
    places = [
        {"zone": "spb", "id": 1, "brokers": 2, "controllers": 1},
        {"zone": "msk", "id": 2, "brokers": 2, "controllers": 1},
        {"zone": "witness", "id": 3, "brokers": 1, "controllers": 1},
    ]
    brokers = kafka_settings(render({"kafka": {"places": places}}))

    assert sorted(one["node.id"] for one in brokers) == ["10", "11", "20", "21", "30"]
    assert sorted(one["node.id"] for one in brokers if "controller" in one["process.roles"]) == ["10", "20", "30"]


def test_a_site_that_goes_on_alone_needs_none_of_the_others_and_keeps_what_they_had_together(render: Render) -> None:
    """Its controllers would wait for votes that never come; records they had together would be written over."""
    places = [
        {"zone": "spb", "id": 1, "brokers": 2, "controllers": 2},
        {"zone": "msk", "id": 2, "brokers": 2, "controllers": 1},
    ]
    together = {"kafka": {"places": places}}
    alone = {"kafka": {"places": places, "alone": {"zone": "msk", "since": "20261130T031500"}}}
    chart = render(alone)
    (begun,) = {one["log.dirs"] for one in kafka_settings(chart)}
    (before,) = {one["log.dirs"] for one in kafka_settings(render(together))}
    msk = [one for one in kafka_settings(chart) if one["broker.rack"] == "msk"]

    assert begun != before
    assert {one["controller.quorum.voters"].partition("@")[0] for one in msk} == {"20"}
    assert all("," not in one["controller.quorum.voters"] for one in msk)
    assert {(one["default.replication.factor"], one["min.insync.replicas"]) for one in msk} == {("2", "1")}
    assert {one["offsets.topic.replication.factor"] for one in msk} == {"2"}
    assert chart.get("StatefulSet", "kafka-spb")["spec"]["replicas"] == 0
    assert chart.get("StatefulSet", "kafka-msk")["spec"]["replicas"] == 2


def test_a_log_of_another_name_is_begun_by_every_broker(render: Render) -> None:
    """A quorum of other controllers would read what the old one has voted for, and lose one of both."""
    for log in ("data", "data-20261130T180000"):
        folders = {one["log.dirs"] for one in kafka_settings(render({"kafka": {"log": log}}))}
        assert folders == {f"/var/lib/kafka/{log}"}


def test_services_know_the_same_brokers_whoever_goes_on(render: Render) -> None:
    """All of them would start anew at the moment at which they are needed most."""
    alone = render({"kafka": {"alone": {"zone": "msk", "since": "20261130T031500"}}})

    for one in render({}).of("Deployment"):
        name = one["metadata"]["name"]
        assert one["spec"]["template"] == next(
            other["spec"]["template"] for other in alone.of("Deployment") if other["metadata"]["name"] == name
        )


def test_each_pair_of_redis_is_in_two_sites(chart: Rendered) -> None:
    """A site that dies would take a third of what is read hot along, copy and all."""
    container = chart.get("Deployment", "keeper")["spec"]["template"]["spec"]["containers"][0]
    nodes = next(one["value"] for one in container["env"] if one["name"] == "INSURETECH_REDIS").split(",")
    zones = [node.split("-redis-")[1].split("-")[0] for node in nodes]

    assert len(set(nodes)) == 6
    assert all(zones[number] != zones[number + 3] for number in range(3))


def test_s3_has_a_copy_in_every_zone(chart: Rendered) -> None:
    """Papers would be in one site only."""
    settings = chart.get("ConfigMap", "s3")["data"]["garage.toml"]
    zones = {
        one["spec"]["template"]["spec"]["nodeSelector"]["topology.kubernetes.io/zone"]
        for one in chart.of("StatefulSet")
        if "-s3-" in one["metadata"]["name"]
    }

    assert zones == {"spb", "msk", "witness"}
    assert "replication_factor = 3" in settings
    assert "data_fsync = true" in settings
