"""The images: what each holds and how it runs. None has a shell of ours or a package manager."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from cluster import parts as servers
from cluster.parts import sha256
from deploy.images import application, sbom
from deploy.images.debian import Package
from deploy.images.debian import tree as debian_tree
from deploy.images.kitchen import Cooked, Dish, Kitchen
from deploy.images.oci import Process, Tree
from deploy.parts import building
from deploy.parts.catalogue import COREDNS, DESCHEDULER, KUBERNETES, KUBERNETES_BEFORE, PAUSE, TRAEFIK, Part
from insuretech import __version__

_PYTHON = ("python3", "ca-certificates", "libstdc++6", "tzdata")
_NO_PYTHON_TOOLS = ("libreadline8t64", "readline-common", "netbase", "openssl", "openssl-provider-legacy")
_JAVA = ("openjdk-21-jre-headless",)
_JAVA_HOME = "/usr/lib/jvm/java-21-openjdk-amd64"
_NO_JAVA_TOOLS = ("ca-certificates-java", "ca-certificates", "openssl", "openssl-provider-legacy")
_PATH = "/usr/local/bin:/usr/bin"
ETCD = "3.6.4"
"""The version that the module of Kubernetes holds."""

Images = Mapping[str, Dish]
"""Images of one archive by their name."""


def app(kitchen: Kitchen) -> Images:
    """Our package: every service, migrations and all commands."""
    packages = kitchen.debian(_PYTHON, without=_NO_PYTHON_TOOLS)
    python = debian_tree(packages)
    checksums = [one.checksum for one in packages]

    def system() -> tuple[Tree, Sequence[sbom.Component]]:
        whole = Tree({**python.nodes, **application.compiled(python).nodes})
        whole.folder("tmp", 0o1777)
        return whole, sbom.of_debian(packages)

    def needed() -> tuple[Tree, Sequence[sbom.Component]]:
        tree, found = application.installed(python, "--require-hashes", "-r", str(application.LOCK))
        return tree, sbom.of_python(found)

    def ours() -> tuple[Tree, Sequence[sbom.Component]]:
        with tempfile.TemporaryDirectory() as folder:
            wheel = application.build_wheel(Path(folder))
            tree, found = application.installed(python, str(wheel))
        tree.nodes.update(application.command().nodes)
        return tree, sbom.of_python(found)

    layers = [
        kitchen.layer("python", checksums, system),
        kitchen.layer("requirements", [*checksums, sha256(application.LOCK)], needed),
        kitchen.layer("insuretech", [*checksums, application.fingerprint()], ours),
    ]
    surroundings = {"PATH": _PATH, "PYTHONPATH": f"/{application.SITE}", "PYTHONUNBUFFERED": "1", "NO_COLOR": "1"}
    return {"app": Dish(__version__, layers, Process(("/usr/local/bin/insuretech",), environment=surroundings))}


def kafka(kitchen: Kitchen) -> Images:
    """A Java and Kafka's jars; the classes are named by what starts it."""
    libraries = servers.find_kafka()
    known = servers.checksums()
    packages = kitchen.debian(_JAVA, without=_NO_JAVA_TOOLS)

    def jars() -> tuple[Tree, Sequence[sbom.Component]]:
        tree = Tree()
        for name in known:
            tree.file(f"opt/kafka/libs/{name}", libraries / name)
        return tree, sbom.of_jars((libraries / name for name in known), known)

    layers = [_packages(kitchen, "java", packages), kitchen.layer("kafka", sorted(known.values()), jars)]
    process = Process((f"{_JAVA_HOME}/bin/java",), environment={"PATH": _PATH, "JAVA_HOME": _JAVA_HOME})
    return {"kafka": Dish(servers.KAFKA, layers, process)}


def redis(kitchen: Kitchen) -> Images:
    """Valkey as Debian has it, which speaks Redis' protocol."""
    packages = kitchen.debian(("valkey-server", "valkey-tools"), without=("init-system-helpers", "lsb-base", "adduser"))
    version = next(one.version for one in packages if one.name == "valkey-server").partition("+")[0]
    process = Process(("/usr/bin/valkey-server",), environment={"PATH": _PATH})
    return {"valkey": Dish(version, [_packages(kitchen, "valkey", packages)], process)}


def s3(kitchen: Kitchen) -> Images:
    """Garage with the C library it was linked to."""
    program = servers.find_garage()
    packages = kitchen.debian(("libc6", "libgcc-s1"))

    def garage() -> tuple[Tree, Sequence[sbom.Component]]:
        tree = Tree()
        tree.file("usr/local/bin/garage", program, 0o755)
        return tree, sbom.of_crates(servers.garage_crates())

    layers = [_packages(kitchen, "libc", packages), kitchen.layer("garage", [sha256(program)], garage)]
    process = Process(("/usr/local/bin/garage",), ("server",), {"PATH": _PATH})
    return {"garage": Dish(servers.GARAGE, layers, process)}


def traefik(kitchen: Kitchen) -> Images:
    """The ingress controller."""
    process = Process(("/usr/local/bin/traefik",), environment={"PATH": _PATH})
    return {"traefik": Dish(TRAEFIK.version, [_program(kitchen, TRAEFIK.name)], process)}


def descheduler(kitchen: Kitchen) -> Images:
    """What sees that pods stand where they should."""
    process = Process(("/usr/local/bin/descheduler",), environment={"PATH": _PATH})
    return {"descheduler": Dish(DESCHEDULER.version, [_program(kitchen, DESCHEDULER.name)], process)}


def coredns(kitchen: Kitchen) -> Images:
    """Names inside the cluster."""
    process = Process(("/usr/local/bin/coredns",), environment={"PATH": _PATH})
    return {"coredns": Dish(f"v{COREDNS.version}", [_program(kitchen, COREDNS.name)], process)}


def pause(kitchen: Kitchen) -> Images:
    """What holds the namespaces of a pod."""
    return {"pause": Dish(PAUSE.version, [_program(kitchen, PAUSE.name)], Process(("/usr/local/bin/pause",)))}


def kubernetes(kitchen: Kitchen, part: Part = KUBERNETES) -> Images:
    """The control plane, its store and kube-proxy: one layer, by different names; kube-proxy has nft beside it."""
    layer = _program(kitchen, part.name)
    version = f"v{part.version}"
    # kubeadm's manifests name the command and say as whom it runs; the store and the API write to folders of root.
    process = Process(environment={"PATH": f"{_PATH}:/usr/sbin"}, user=0)
    control = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
    # Without the names of protocols (netbase) nft tells numbers, and kube-proxy takes its own entries for old ones.
    nft = _packages(kitchen, "nftables", kitchen.debian(("nftables", "netbase")))
    return {
        **{name: Dish(version, [layer], process) for name in control},
        "etcd": Dish(ETCD, [layer], process),
        "kube-proxy": Dish(version, [nft, layer], process),
    }


ARCHIVES: Mapping[str, Callable[[Kitchen], Images]] = {
    "pause": pause,
    "coredns": coredns,
    "kubernetes": kubernetes,
    KUBERNETES_BEFORE.name: partial(kubernetes, part=KUBERNETES_BEFORE),
    "traefik": traefik,
    "descheduler": descheduler,
    "redis": redis,
    "s3": s3,
    "kafka": kafka,
    "app": app,
}
"""Archives by name. Images of one archive share layers."""
USUAL = tuple(name for name in ARCHIVES if name != KUBERNETES_BEFORE.name)
"""What is made unless something else is asked for."""

ASKED_BY_VERSION = frozenset({"pause", "coredns", "etcd", "kube-apiserver", "kube-controller-manager"}) | frozenset(
    {"kube-scheduler", "kube-proxy"}
)
"""kubeadm asks for these by version alone; all others have what they are in their tag."""


def _packages(kitchen: Kitchen, name: str, packages: Sequence[Package]) -> Cooked:
    return kitchen.layer(
        name, [one.checksum for one in packages], lambda: (debian_tree(packages), sbom.of_debian(packages))
    )


def _program(kitchen: Kitchen, name: str) -> Cooked:
    """A layer with a part of ours and its further names."""
    built = building.find(name)

    def program() -> tuple[Tree, Sequence[sbom.Component]]:
        tree = Tree()
        tree.file(f"usr/local/bin/{name}", built.program, 0o755)
        for other in built.part.names:
            tree.link(f"usr/local/bin/{other}", name)
        return tree, sbom.of_go(built.program)

    return kitchen.layer(name, [sha256(built.program)], program)
