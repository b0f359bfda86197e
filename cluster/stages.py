"""The order in which a cluster comes up."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cluster.processes import Program
from insuretech.kit.failures import Unusable


class ClusterFailed(Unusable):
    """The cluster cannot be brought up or is not there; the message is one sentence for a person."""


@dataclass(frozen=True)
class Stage:
    """Programs that start together, and what is done once they work."""

    title: str
    programs: Sequence[Program]
    then: Callable[[], None] = lambda: None
