"""The chart: what Kubernetes would be told, and what would go wrong for people if it were told something else."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import kubernetes_validate
import msgspec
import pytest
import yaml

from insuretech.compose.services import BUILDERS, SEALING
from insuretech.kit.settings import Settings
from tests.deploy.conftest import CHART, VALUES, Document, Refused, Render, Rendered

KNOWN = {"HOST", "PORT", "DATABASE_URL", "PGSSLROOTCERT", "SSL_CERT_FILE"} | {
    f"INSURETECH_{name.upper()}" for name in Settings.__struct_fields__
}


def labels(document: Document) -> Mapping[str, str]:
    """Of anything that has some."""
    return document["metadata"]["labels"]  # type: ignore[no-any-return]


def chosen_by(selector: Mapping[str, Any], chart: Rendered) -> set[str]:
    """What makes the pods that a selector means."""
    wanted = selector.get("matchLabels", {} if "matchExpressions" in selector else selector)
    found = {name for name, pod in chart.pods() if wanted.items() <= labels(pod).items()}
    for rule in selector.get("matchExpressions", ()):
        inside = {name for name, pod in chart.pods() if labels(pod).get(rule["key"]) in rule["values"]}
        found = found & inside if rule["operator"] == "In" else found - inside
    return found


# ---------------------------------------------------------------- as a whole


def test_helm_finds_nothing_to_say_against_it(helm: Callable[..., Any]) -> None:
    """What Helm warns of today it refuses in its next version."""
    done = helm("lint", "--strict", str(CHART), "--values", "-", given=yaml.safe_dump(dict(VALUES)))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"kafka": {"enabled": False, "bootstrap": "kafka:9092"}},
        {"redis": {"enabled": False, "nodes": "redis:6379"}, "s3": {"enabled": False, "url": "https://s3"}},
        {"ingress": {"enabled": False}, "networkPolicies": False},
        {"image": {"pullSecrets": [{"name": "registry"}]}, "settings": {"INSURETECH_LOG_LEVEL": "DEBUG"}},
        {
            "kafka": {
                "places": [
                    {"zone": "spb", "id": 1, "brokers": 2, "controllers": 2},
                    {"zone": "msk", "id": 2, "brokers": 2, "controllers": 1},
                ]
            }
        },
    ],
    ids=["as it is", "others' Kafka", "others' Redis and S3", "others' ingress", "told more", "3+2"],
)
def test_everything_is_of_a_form_that_kubernetes_takes(render: Render, values: dict[str, Any]) -> None:
    """A field that does not exist is dropped without a word by some, and refuses the whole upgrade by others."""
    for document in render(values).documents:
        kubernetes_validate.validate(document, "1.34", strict=True)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"replica": 3}, "replica"),
        ({"services": {"quote": {}}}, "quote"),
        ({"publicUrl": "insuretech.example"}, "publicUrl"),
        ({"tags": {"app": ""}}, "python -m deploy.images"),
        ({"kafka": {"enabled": False}}, "kafka.bootstrap"),
        ({"settings": {"LOG_LEVEL": "DEBUG"}}, "LOG_LEVEL"),
        ({"processes": {"market": {"services": ["quote"]}}}, "quote"),
        ({"processes": {"market": {"services": ["quotes", "sandbox"]}}}, "sandbox has to be alone"),
        ({"processes": {"a": {"services": ["quotes"]}, "b": {"services": ["quotes"]}}}, "quotes is in a already"),
        ({"database": {"proxies": []}}, "proxies"),
        ({"kafka": {"alone": {"zone": "msk", "since": ""}}}, "since"),
        ({"kafka": {"alone": {"zone": "ekb", "since": "20261130T031500"}}}, "no controller is in ekb"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_name(render: Render, values: dict[str, Any], said: str) -> None:
    """A misspelt value would be a default that nobody asked for."""
    with pytest.raises(Refused, match=said):
        render(values)


def test_values_are_all_in_the_schema() -> None:
    """One that is not could be given any form, and told wrong."""
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))

    assert set(values) <= set(schema["properties"])
    for name, value in values.items():
        told = schema["properties"][name]
        if isinstance(value, dict) and told.get("additionalProperties") is False:
            assert set(value) <= set(told["properties"]), name
    assert msgspec.json.decode(json.dumps(schema))["additionalProperties"] is False


# ---------------------------------------------------------------- pods


def test_no_pod_has_rights(chart: Rendered) -> None:
    """Whoever breaks into one would have the machine, or the cluster."""
    for name, pod in chart.pods():
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is (name == "insuretech-descheduler"), name
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
    for name, container in chart.containers():
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name


def test_the_one_with_rights_reads_and_asks_pods_to_leave(chart: Rendered) -> None:
    """With more of them a hole in it would be one in the cluster, Secrets and all."""
    everywhere = chart.get("ClusterRole", "descheduler")["rules"]
    assert {verb for rule in everywhere for verb in rule["verbs"]} == {"get", "list", "watch"}
    assert {kind for rule in everywhere for kind in rule["resources"]}.isdisjoint({"secrets", "configmaps", "*"})
    here = chart.get("Role", "descheduler")["rules"]
    assert {kind for rule in here for kind in rule["resources"]} == {"pods/eviction", "events"}


def test_every_container_says_what_it_needs_and_has_an_end_to_its_memory(chart: Rendered) -> None:
    """One that leaks would take its neighbours along."""
    for name, container in chart.containers():
        assert set(container["resources"]["requests"]) == {"cpu", "memory"}, name
        assert "memory" in container["resources"]["limits"], name


def test_environment_is_what_our_package_knows(chart: Rendered) -> None:
    """A setting that does not exist ends the process at its start, in every pod at once."""
    for name, container in chart.containers():
        if "/app:" not in container["image"]:
            continue
        told = {one["name"] for one in container["env"]}
        assert {one for one in told if one not in KNOWN and one.removesuffix("_FILE") not in KNOWN} == set(), name


def test_pods_are_told_of_no_services_by_kubernetes(chart: Rendered) -> None:
    """INSURETECH_ORDERS_PORT and the like would be settings that do not exist."""
    assert all(pod["spec"]["enableServiceLinks"] is False for _, pod in chart.pods())


def test_a_file_that_a_process_is_told_of_is_mounted(chart: Rendered) -> None:
    """It would wait for ever, or end at its start."""
    for name, pod in chart.pods():
        volumes = {one["name"]: one for one in pod["spec"].get("volumes", ())}
        for container in pod["spec"]["containers"]:
            mounts = {one["mountPath"]: one["name"] for one in container.get("volumeMounts", ())}
            env = {one["name"]: one.get("value", "") for one in container.get("env", ())}
            files = [value for name, value in env.items() if name.endswith("_FILE")]
            if "INSURETECH_DATABASE_URLS" in env:
                served = [one for one in container["args"][1:] if one != "storefront"]
                files += [f"{env['INSURETECH_DATABASE_URLS']}/{one}" for one in served]
            for file in files:
                folder, _, key = file.rpartition("/")
                secret = volumes[mounts[folder]]["secret"]
                keys = {one["key"] for one in secret.get("items", ())} or {key}
                assert key in keys, (name, file)
                assert secret["defaultMode"] == 0o440


def test_a_service_knows_the_secrets_it_needs_and_no_others(chart: Rendered) -> None:
    """The password of one service would open the data of another."""
    for service in BUILDERS:
        spec = chart.get("Deployment", service)["spec"]["template"]["spec"]
        volumes = {one["name"]: one["secret"] for one in spec["volumes"] if "secret" in one}
        assert ("keyring" in volumes) == (service in SEALING), service
        if "database" in volumes:
            assert {one["key"] for one in volumes["database"]["items"]} - {"ca.crt"} == {service}
        assert ("database" in volumes) == (service != "storefront"), service


def test_services_that_share_a_process_are_found_under_their_own_names(render: Render) -> None:
    """A site of two machines could not carry seven processes, and calls would find nobody."""
    names = [name for name in BUILDERS if name != "sandbox"]
    shared = render({"processes": {"market": {"services": names}}})

    assert {one["metadata"]["labels"]["app.kubernetes.io/component"] for one in shared.of("Deployment")} >= {
        "market",
        "sandbox",
    }
    spec = shared.get("Deployment", "market")["spec"]["template"]["spec"]
    assert spec["containers"][0]["args"] == ["service", *names]
    keys = {key["key"] for one in spec["volumes"] if one["name"] == "database" for key in one["secret"]["items"]}
    assert keys == set(names) - {"storefront"}
    for name in names:
        assert chosen_by(shared.get("Service", name)["spec"]["selector"], shared) == {"insuretech-market"}
    test_what_is_chosen_by_labels_is_there(shared)
    test_a_file_that_a_process_is_told_of_is_mounted(shared)


def test_who_reads_the_database_checks_its_certificate_where_that_is_wanted(render: Render) -> None:
    """Somebody in between could be the database."""
    checked = render({"database": {**VALUES["database"], "checked": True}})

    for name, container in checked.containers():
        env = {one["name"]: one.get("value") for one in container.get("env", ())}
        if {"DATABASE_URL_FILE", "INSURETECH_DATABASE_URLS"} & env.keys():
            assert env["PGSSLROOTCERT"] == "/run/secrets/insuretech/database/ca.crt", name


# ---------------------------------------------------------------- services


@pytest.mark.parametrize("service", list(BUILDERS))
def test_three_probes_ask_for_three_things(chart: Rendered, service: str) -> None:
    """A restart does not bring a database back, and a process that starts is not dead."""
    container = chart.get("Deployment", service)["spec"]["template"]["spec"]["containers"][0]
    asked = {kind: container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness", "readiness")}

    assert asked == {"startup": "/healthz/startup", "liveness": "/healthz/live", "readiness": "/healthz/ready"}


@pytest.mark.parametrize("service", list(BUILDERS))
def test_an_upgrade_takes_no_replica_away_and_stops_each_in_peace(chart: Rendered, service: str) -> None:
    """People would wait, or see an error, with every upgrade."""
    spec = chart.get("Deployment", service)["spec"]
    container = spec["template"]["spec"]["containers"][0]
    drain = next(float(one["value"]) for one in container["env"] if one["name"] == "INSURETECH_DRAIN")
    noticed = container["readinessProbe"]["periodSeconds"] * container["readinessProbe"]["failureThreshold"]

    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert drain > noticed
    assert spec["template"]["spec"]["terminationGracePeriodSeconds"] >= drain + 5


def test_the_way_in_is_on_every_node(chart: Rendered) -> None:
    """Edge servers ask nodes by their addresses, and only a node's own pod answers: one that went elsewhere when its
    node died would not come back with it, and people would wait for nobody.
    """
    spec = chart.get("DaemonSet", "ingress")["spec"]

    assert spec["updateStrategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert "nodeSelector" not in spec["template"]["spec"]


@pytest.mark.parametrize("service", BUILDERS)
def test_replicas_are_over_sites_and_a_dead_site_hinders_none(chart: Rendered, service: str) -> None:
    """All three in one site would die with it; none could start after it."""
    spec = chart.get("Deployment", service)["spec"]
    template = spec["template"]["spec"]
    by_key = {one["topologyKey"]: one for one in template["topologySpreadConstraints"]}
    zone = by_key["topology.kubernetes.io/zone"]

    assert spec["replicas"] >= 3
    assert zone["whenUnsatisfiable"] == "DoNotSchedule"
    assert zone["nodeTaintsPolicy"] == "Honor"
    assert zone["matchLabelKeys"] == ["pod-template-hash"]
    assert "kubernetes.io/hostname" in by_key
    left = {one["key"]: one["tolerationSeconds"] for one in template["tolerations"]}
    assert left["node.kubernetes.io/unreachable"] <= 10
    assert left["node.kubernetes.io/not-ready"] <= 10


def test_calls_stay_in_their_site(chart: Rendered) -> None:
    """Every hop would cost ten milliseconds more."""
    called = [one for one in chart.of("Service") if one["spec"].get("clusterIP") != "None"]

    assert [one["metadata"]["name"] for one in called if _leaves_site(one["spec"])] == []


def _leaves_site(spec: Document) -> bool:
    return spec.get("trafficDistribution") != "PreferClose" and spec.get("externalTrafficPolicy") != "Local"


def test_what_is_chosen_by_labels_is_there(chart: Rendered) -> None:
    """A budget or a policy that means no pod protects nothing, and says nothing."""
    for one in chart.of("Service"):
        if "selector" in one["spec"]:
            assert chosen_by(one["spec"]["selector"], chart), one["metadata"]["name"]
    for one in chart.of("PodDisruptionBudget"):
        assert chosen_by(one["spec"]["selector"], chart), one["metadata"]["name"]
    for one in chart.of("NetworkPolicy"):
        assert chosen_by(one["spec"]["podSelector"], chart), one["metadata"]["name"]
        for rule in (*one["spec"].get("ingress", ()), *one["spec"].get("egress", ())):
            for peer in (*rule.get("from", ()), *rule.get("to", ())):
                if "podSelector" in peer:
                    assert chosen_by(peer["podSelector"], chart), one["metadata"]["name"]


def test_everything_that_has_replicas_keeps_some_while_machines_are_emptied(chart: Rendered) -> None:
    """Two machines upgraded at once would take a quorum away."""
    protected = {name for one in chart.of("PodDisruptionBudget") for name in chosen_by(one["spec"]["selector"], chart)}
    single = {one["metadata"]["name"] for one in chart.of("Job", "CronJob", "DaemonSet")}
    many = {name for name, _ in chart.pods()} - single

    assert many - protected == {"insuretech-keeper", "insuretech-descheduler"}


# ---------------------------------------------------------------- who speaks to whom


def test_everybody_is_refused_who_is_not_named(chart: Rendered) -> None:
    """A pod that is broken into would speak to all others."""
    nobody = chart.get("NetworkPolicy", "nobody")["spec"]

    assert chosen_by(nobody["podSelector"], chart) == {name for name, _ in chart.pods()}
    assert "ingress" not in nobody
    assert {port["port"] for rule in nobody["egress"] for port in rule["ports"]} == {53}


def test_services_are_asked_through_the_way_in_alone(chart: Rendered) -> None:
    """What is refused there would be had by another way."""
    rules = chart.get("NetworkPolicy", "services")["spec"]["ingress"]

    asked_by = {name for rule in rules for peer in rule["from"] for name in chosen_by(peer["podSelector"], chart)}
    assert asked_by == {"insuretech-ingress"}


@pytest.mark.parametrize("service", list(BUILDERS))
def test_only_who_calls_outside_may(chart: Rendered, service: str) -> None:
    """A service that has been taken over would carry its data away."""
    outside = [
        one["metadata"]["name"] for one in chart.of("NetworkPolicy") if one["metadata"]["name"].endswith("-outside")
    ]

    assert (f"insuretech-{service}-outside" in outside) == (service in {"quotes", "orders", "settlement", "sandbox"})


def test_points_of_the_cdn_are_told_by_their_addresses_and_reached_at_no_others(
    chart: Rendered, render: Render
) -> None:
    """People would see a withdrawn product; and who may reach all points may reach whatever stands beside them."""
    container = chart.get("Deployment", "cdn")["spec"]["template"]["spec"]["containers"][0]
    told = next(one["value"] for one in container["env"] if one["name"] == "INSURETECH_CDN_POINTS")
    rules = chart.get("NetworkPolicy", "cdn")["spec"]["egress"]
    nets = {peer["ipBlock"]["cidr"] for rule in rules for peer in rule["to"] if "ipBlock" in peer}

    assert (told, nets) == ("https://10.0.9.11:8444", {"10.0.9.11/32"})
    assert "insuretech-cdn" not in json.dumps(render({"cdn": {"points": []}}).documents)


# ---------------------------------------------------------------- the way in


def test_every_route_leads_to_a_service_that_is_there(chart: Rendered) -> None:
    """People would see a page that says "bad gateway"."""
    routes = yaml.safe_load(chart.get("ConfigMap", "ingress-routes")["data"]["routes.yaml"])["http"]
    there = {f"http://{one['metadata']['name']}.insuretech.svc.cluster.local" for one in chart.of("Service")}
    used = {one["service"] for one in routes["routers"].values()}

    assert used == set(BUILDERS)
    assert {routes["services"][name]["loadBalancer"]["servers"][0]["url"] for name in used} <= there


def test_earlier_addresses_come_before_later_ones(chart: Rendered) -> None:
    """A policy's document would be looked for among orders."""
    routers = yaml.safe_load(chart.get("ConfigMap", "ingress-routes")["data"]["routes.yaml"])["http"]["routers"]
    refused = routers.pop("refused")
    priorities = [routers[name]["priority"] for name in sorted(routers)]

    assert priorities == sorted(priorities, reverse=True)
    assert len(set(priorities)) == len(priorities)
    assert refused["priority"] > max(priorities)
    assert refused["entryPoints"] == ["public"]


def test_paths_between_services_are_not_on_the_public_side(chart: Rendered) -> None:
    """Anybody could read offers and policies."""
    routers = yaml.safe_load(chart.get("ConfigMap", "ingress-routes")["data"]["routes.yaml"])["http"]["routers"]
    inside = {name: one["entryPoints"] for name, one in routers.items() if "/internal/v1" in one["rule"]}

    assert inside
    assert all(points == ["inside"] for points in inside.values())


def test_a_service_that_is_left_out_has_no_route(render: Render) -> None:
    """An insurer of the sandbox has no place in production."""
    text = json.dumps(render({"services": {"sandbox": None}}).documents)

    assert "insuretech-sandbox" not in text
