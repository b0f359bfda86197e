"""The catalogue: what is done to the twin, for how long, and how it is mended.

Every fault takes the twin as it is and finds out by itself who leads; so it does the same after any other.
"""

import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from rich.console import Console

from cluster.fetching import Reporter
from deploy.commands import run
from deploy.drills import going_back, losing, promoting, replacing, restoring, switching_layout, upgrading
from deploy.drills.databases import Databases
from deploy.twin import network
from deploy.twin.inside import kubeconfig, kubectl
from deploy.twin.playbook import ROLLING, play, wanted
from deploy.twin.whole import Twin


@dataclass(frozen=True)
class Scene:
    """What a fault is done to."""

    twin: Twin
    databases: Databases


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong.

    ``leader`` is the site that must lead before it begins, or nothing when it does not matter. ``strike`` does it and
    says to whom; ``mend`` undoes it; between them ``lasts`` seconds pass. ``automatic``: whether writes must come back
    before it is mended, without a person; ``needs``: a function or place without whose machines there is nothing to do
    it to, or the cluster; ``layout``: the only one in which it makes sense, if it is one; ``kubernetes``: likewise the
    version that the nodes must have (now, before). ``work``: an operator's work of minutes, for when it is asked for.
    """

    name: str
    what: str
    strike: Callable[[Scene], tuple[str, ...]]
    mend: Callable[[Scene, tuple[str, ...]], None]
    leader: str = ""
    lasts: float = 60.0
    automatic: bool = True
    needs: str = ""
    layout: str = ""
    kubernetes: str = ""
    work: bool = False

    def fits(self, twin: Twin) -> bool:
        """Whether a twin has what it needs."""
        there = {name for one in twin.machines for name in (one.machine.site, *one.machine.groups)}
        if kubeconfig(twin).exists():
            there.add("cluster")
        wanted = ((self.layout, twin.inventory.layout), (self.kubernetes, twin.inventory.kubernetes))
        return self.needs in {"", *there} and all(need in {"", has} for need, has in wanted)


def catalogue() -> Mapping[str, Fault]:
    """All faults of the data layer, by name."""
    found = (
        Fault(
            "power-off-spb",
            "all machines of spb lose their power",
            _power_off("spb"),
            _boot,
            leader="spb",
            layout="witness",
        ),
        Fault(
            "promote-msk",
            "all machines of spb lose their power with the quorum, and a person has msk lead",
            lambda scene: promoting.promote(scene.twin, "spb", "msk"),
            lambda scene, names: promoting.take_back(scene.twin, "spb", names),
            leader="spb",
            lasts=30.0,
            automatic=False,
            layout="3+2",
        ),
        Fault("power-off-msk", "all machines of msk lose their power", _power_off("msk"), _boot, leader="msk"),
        Fault(
            "power-off-witness",
            "the witness loses its power",
            _power_off("witness"),
            _boot,
            lasts=30.0,
            needs="witness",
        ),
        Fault("power-off-primary", "the primary's machine loses its power", _power_off_primary, _boot),
        Fault("kill-primary", "PostgreSQL and Patroni of the primary are killed", _kill_primary, _nothing),
        Fault("freeze-primary", "the primary's machine stops where it stands, and goes on later", _freeze, _thaw),
        Fault("cut-sites", "spb and msk do not reach each other, both reach the witness", _cut("spb", "msk"), _heal),
        Fault(
            "cut-off-spb",
            "spb reaches nobody else",
            _cut("spb", "msk", "witness"),
            _heal,
            leader="spb",
            layout="witness",
        ),
        Fault(
            "lose-etcd",
            "all members of Patroni's etcd but one lose their disks; it begins anew from the last",
            lambda scene: losing.lose_etcd(scene.twin),
            lambda scene, names: losing.bring_etcd_back(scene.twin, names),
            lasts=20.0,
        ),
        Fault(
            "roll-databases",
            "every PostgreSQL restarts in its turn, as for a new minor version",
            _roll,
            _nothing,
            lasts=0.0,
        ),
        Fault("power-off-haproxy", "HAProxy's machine in spb loses its power", _power_off_haproxy, _boot, lasts=30.0),
        _replaced("replace-database", "the primary's machine", lambda scene: scene.databases.known_leader()),
        *_of_the_cluster(),
        Fault(
            "restore",
            "the database of a moment is brought back beside the living one",
            lambda scene: restoring.restore(scene.twin, scene.databases),
            lambda scene, names: restoring.take_away(scene.twin, names),
            lasts=0.0,
            needs="cluster",
        ),
        Fault(
            "switch-layout",
            "to the other layout and back: machines come and go, Kafka begins another log, S3 has other copies",
            lambda scene: switching_layout.there(scene.twin),
            lambda scene, _: switching_layout.back(scene.twin),
            lasts=20.0,
            needs="cluster",
            work=True,
        ),
        Fault(
            "go-back",
            "somebody drops a service's tables, and all databases go back to the moment before",
            lambda scene: going_back.drop(scene.twin, scene.databases),
            lambda scene, struck: going_back.go_back(scene.twin, struck),
            lasts=0.0,
            automatic=False,
            needs="cluster",
            work=True,
        ),
        Fault(
            "upgrade-kubernetes",
            "every node in its turn goes to the next version of Kubernetes",
            lambda scene: upgrading.upgrade_kubernetes(scene.twin),
            _nothing,
            lasts=0.0,
            needs="cluster",
            kubernetes="before",
        ),
    )
    return {fault.name: fault for fault in found}


def _of_the_cluster() -> tuple[Fault, ...]:
    """What only people notice."""
    found = (
        Fault(
            "power-off-edge", "an edge server of msk loses its power", _power_off_one("msk", "edge"), _boot, lasts=30
        ),
        _replaced("replace-worker", "a worker of spb", _first("spb", "worker")),
        # The one that is asked for everything.
        _replaced("replace-control-plane", "the first control plane", _first("msk", "control_plane")),
        _replaced("replace-edge", "an edge server of msk, HAProxy, DNS and etcd with it,", _first("msk", "edge")),
        _replaced("replace-witness", "the witness", _first("witness", "etcd"), layout="witness"),
        Fault("power-off-worker", "a worker of spb loses its power", _power_off_one("spb", "worker"), _boot, lasts=60),
        Fault(
            "power-off-point",
            "the Central point of the CDN loses its power",
            _power_off("cdn-central"),
            _boot,
            lasts=40,
        ),
        Fault("kill-dns", "the name server of spb is killed again and again", _kill_dns, _nothing, lasts=0),
        Fault("kill-broker", "a Kafka broker is killed", _kill_all("kafka.Kafka", "spb"), _nothing, lasts=20),
        Fault("kill-redis", "every node of Redis is killed", _kill_all("valkey-server"), _nothing, lasts=20),
        Fault(
            "lose-kafka",
            "every broker loses its disks; topics are made anew and PostgreSQL's events sent again",
            lambda scene: losing.lose_kafka(scene.twin),
            lambda scene, _: losing.bring_back(scene.twin),
            lasts=20,
        ),
        Fault(
            "roll-services",
            "every service restarts, pod by pod, as for a new version",
            _roll_services,
            _nothing,
            lasts=0,
        ),
    )
    return tuple(replace(fault, needs="cluster") for fault in found)


def _replaced(name: str, which: str, chosen: Callable[[Scene], str], *, layout: str = "") -> Fault:
    return Fault(
        name,
        f"{which} is lost with its disks, and an empty machine takes its place",
        lambda scene: replacing.lose(scene.twin, chosen(scene)),
        lambda scene, names: replacing.replace(scene.twin, names),
        lasts=30.0,
        layout=layout,
        work=True,
    )


def _first(site: str, function: str) -> Callable[[Scene], str]:
    """The first machine of a site by name that has a function."""
    return lambda scene: min(one.name for one in scene.twin.chosen([function]) if one.machine.site == site)


def _power_off_one(site: str, function: str) -> Callable[[Scene], tuple[str, ...]]:
    def strike(scene: Scene) -> tuple[str, ...]:
        name = _first(site, function)(scene)
        scene.twin.machine(name).cut_power()
        return (name,)

    return strike


def _kill_all(pattern: str, site: str = "") -> Callable[[Scene], tuple[str, ...]]:
    def strike(scene: Scene) -> tuple[str, ...]:
        nodes = [one for one in scene.twin.chosen(["worker"]) if not site or one.machine.site == site]
        struck = [one for one in nodes if one.processes_named(pattern)]
        for one in struck:
            one.send(pattern, signal.SIGKILL)
        return tuple(one.name for one in struck)

    return strike


def _kill_dns(scene: Scene) -> tuple[str, ...]:
    """Systemd brings it back after a second; so for half a minute."""
    until = time.monotonic() + 30
    name = min(one.name for one in scene.twin.chosen(["dns"]) if one.machine.site == "spb")
    while time.monotonic() < until:
        if scene.twin.machine(name).processes_named("pdns_server"):
            scene.twin.machine(name).send("pdns_server", signal.SIGKILL)
        time.sleep(0.2)
    return (name,)


def _roll_services(scene: Scene) -> tuple[str, ...]:
    """Replace all pods, new ones before old ones go."""
    words = (*kubectl(scene.twin), "--namespace", "insuretech", "rollout")
    ours = ("--selector", "app.kubernetes.io/instance=insuretech")
    for kind in ("deployment", "daemonset"):
        run(*words, "restart", kind, *ours)
        run(*words, "status", "--timeout=20m", kind, *ours, limit=1300)
    return ("kubernetes",)


def _power_off(site: str) -> Callable[[Scene], tuple[str, ...]]:
    def strike(scene: Scene) -> tuple[str, ...]:
        machines = [one for one in scene.twin.chosen([site]) if one.runs]
        for one in machines:
            one.cut_power()
        return tuple(one.name for one in machines)

    return strike


def _power_off_primary(scene: Scene) -> tuple[str, ...]:
    leader = scene.databases.known_leader()
    scene.twin.machine(leader).cut_power()
    return (leader,)


def _power_off_haproxy(scene: Scene) -> tuple[str, ...]:
    names = {one.name for one in scene.twin.chosen(["haproxy"])} & {one.name for one in scene.twin.chosen(["spb"])}
    name = min(names)
    scene.twin.machine(name).cut_power()
    return (name,)


def _kill_primary(scene: Scene) -> tuple[str, ...]:
    leader = scene.databases.known_leader()
    machine = scene.twin.machine(leader)
    # Patroni first: it would start a server that is gone.
    machine.send("/usr/bin/patroni", signal.SIGKILL)
    machine.send("postgres", signal.SIGKILL)
    return (leader,)


def _freeze(scene: Scene) -> tuple[str, ...]:
    leader = scene.databases.known_leader()
    scene.twin.machine(leader).group.freeze()
    return (leader,)


def _thaw(scene: Scene, names: tuple[str, ...]) -> None:
    for name in names:
        scene.twin.machine(name).group.thaw()


def _boot(scene: Scene, names: tuple[str, ...]) -> None:
    scene.twin.boot([scene.twin.machine(name) for name in names])


def _roll(scene: Scene) -> tuple[str, ...]:
    """What an upgrade does, but for new packages: the twin has none."""
    machines = [one.name for one in scene.twin.chosen(["postgresql"])]
    more = wanted("postgresql", restart=True)
    play(scene.twin.home, scene.twin.inventory, machines, Reporter(Console(quiet=True)), book=ROLLING, more=more)
    return tuple(machines)


def _cut(here: str, *others: str) -> Callable[[Scene], tuple[str, ...]]:
    def strike(scene: Scene) -> tuple[str, ...]:
        for other in others:
            network.cut(scene.twin.inventory, here, other)
        return (here, *others)

    return strike


def _heal(scene: Scene, names: tuple[str, ...]) -> None:
    here, *others = names
    for other in others:
        network.heal(scene.twin.inventory, here, other)


def _nothing(scene: Scene, names: tuple[str, ...]) -> None:
    """What was killed comes back by itself."""
