"""What the nodes of the cluster are given: the programs of Kubernetes, and an image of everything that runs in it."""

import hashlib
from collections.abc import Iterable

from cluster import parts as servers
from cluster.fetching import Reporter
from deploy.images.catalogue import USUAL
from deploy.images.making import make
from deploy.parts import building
from deploy.parts.catalogue import KUBERNETES_BEFORE
from deploy.twin.inventory import Machine

_PROGRAMS = ("kubernetes", "helm", "coredns", "pause", "traefik", "descheduler")
_NODES = {"control_plane", "worker"}


def ensure(machines: Iterable[Machine], kubernetes: str, reporter: Reporter) -> str:
    """Make what is missing, which the first time is most of an hour on two cores; may be interrupted and goes on.

    ``kubernetes``: the version of ``now``, or the one ``before`` as well. Gives a name that follows from what was
    made; an empty one where none of the machines is a node.
    """
    if not any(_NODES & set(machine.groups) for machine in machines):
        return ""
    before = (KUBERNETES_BEFORE.name,) if kubernetes == "before" else ()
    building.build(reporter, (*_PROGRAMS, *before))
    servers.install(reporter)
    made = make(reporter, (*USUAL, *before))
    references = sorted(image.reference for archive in made.values() for image in archive.images)
    return hashlib.sha256("\n".join(references).encode()).hexdigest()
