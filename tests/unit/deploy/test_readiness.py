"""When the twin says that it is ready."""

from deploy.twin.inside import Inside, Member, Node, Workload
from deploy.twin.readiness import ill

LEADER = Member(name="spb-db-1", role="leader", state="running", timeline=3, lag=0)
NODE = Node(name="spb-w-1", zone="spb", ready=True, version="v1.34.4")
MARKET = Workload(name="market", ready={"spb": 2, "msk": 1}, pods=3)
WELL = Inside(members=(LEADER,), sites={"spb": True, "msk": True}, nodes=(NODE,), workloads=(MARKET,))


def test_a_twin_in_which_all_is_well_is_ready() -> None:
    """Otherwise nobody is ever told to begin."""
    assert ill(WELL) == []


def test_whatever_lacks_is_named() -> None:
    """Otherwise a drill begins on a half-built twin, or an operator waits without knowing for what."""
    hurt = Inside(
        members=(Member(name="spb-db-1", role="replica", state="streaming", timeline=3, lag=0),),
        sites={"spb": True, "msk": False},
        nodes=(NODE, Node(name="msk-w-1", zone="msk", ready=False, version="v1.34.4")),
        workloads=(Workload(name="market", ready={"spb": 1}, pods=3),),
    )
    assert ill(hurt) == ["no database takes writes", "site msk", "node msk-w-1", "2 of market"]


def test_silence_is_not_taken_for_health() -> None:
    """Otherwise a twin whose API servers do not answer would count as ready."""
    assert ill(Inside()) == ["no database takes writes", "both sites", "the API servers", "all pods"]
