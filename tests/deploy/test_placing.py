"""Where a real scheduler places the chart's pods, what becomes of them when a site dies, and when it has come back."""

from collections.abc import Iterator

import pytest

from tests.deploy.conftest import Rendered
from tests.deploy.placing import NAMESPACE, Cluster, disks, eventually, node

SITES = {site: [f"{site}-w-{number}" for number in (1, 2, 3)] for site in ("spb", "msk")}
KINDS = ("ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "PodDisruptionBudget")
MAKERS = ("Deployment", "StatefulSet", "DaemonSet")
SERVICES = {"catalogue", "quotes", "orders", "documents", "settlement", "storefront", "sandbox"}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, chart: Rendered) -> Iterator[Cluster]:
    """Six machines in two sites and a witness, with the chart placed on them."""
    with Cluster(tmp_path_factory.mktemp("placing")).running() as running:
        workers = [node(name, site) for site, names in SITES.items() for name in names]
        running.place([*workers, node("witness-1", "witness", light=True)])
        running.place([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}])
        running.place(disks([*SITES["spb"], *SITES["msk"], "witness-1"]))
        running.place(chart.of(*KINDS))
        running.place(chart.of(*MAKERS))
        eventually(lambda: whole(running))
        yield running


def whole(cluster: Cluster) -> bool:
    """Whether every service has its three pods, and every quorum all of its members."""
    found = cluster.zones()
    counts = {name: found[name].total() for name in found}
    quorums = counts.get("kafka") == 3 and counts.get("redis") == 6 and counts.get("s3") == 3
    return quorums and all(counts.get(name) == 3 for name in SERVICES)


def spread(cluster: Cluster) -> bool:
    """Whether every service is in both sites."""
    found = cluster.zones()
    return all(set(found.get(name, ())) == set(SITES) for name in SERVICES)


def test_every_service_is_in_both_sites_and_every_quorum_in_all_places(cluster: Cluster) -> None:
    """A site that dies would take all replicas of a service along, or a quorum."""
    found = cluster.zones()
    assert spread(cluster)
    assert found["kafka"] == found["s3"] == {"spb": 1, "msk": 1, "witness": 1}
    assert found["redis"] == {"spb": 3, "msk": 3}
    assert {name for name, zones in found.items() if "witness" in zones} == {"kafka", "s3"}


def test_a_site_takes_over_and_gives_back(cluster: Cluster, chart: Rendered) -> None:
    """While one is away the other must carry all; once it is back nobody may be left who dies with the other."""
    policy = chart.get("ConfigMap", "descheduler")["data"]["policy.yaml"]
    cluster.lose(SITES["spb"])
    eventually(lambda: all(cluster.zones().get(name) == {"msk": 3} for name in SERVICES))
    cluster.bring_back(SITES["spb"])
    assert not spread(cluster)

    looks = 0
    while not spread(cluster):
        looks += 1
        assert looks < 10, cluster.zones()
        cluster.deschedule(policy, "insuretech-descheduler")
        eventually(lambda: whole(cluster))
    before = cluster.zones()
    cluster.deschedule(policy, "insuretech-descheduler")
    assert cluster.zones() == before, "what stands as it should is left alone"
