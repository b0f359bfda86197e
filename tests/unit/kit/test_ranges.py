"""Relays come and go at any moment; between them every range of keys is relayed, by one, and fairly shared."""

from hypothesis import given
from hypothesis import strategies as st

from insuretech.kit.ranges import next_step, share

relays = st.lists(st.integers(1, 10_000), min_size=1, max_size=20, unique=True)
ranges = st.integers(1, 24)


@given(ranges, relays)
def test_shares_add_up_and_differ_by_one_at_most(number: int, present: list[int]) -> None:
    """Otherwise some keys are relayed by nobody, or one replica does all the work."""
    shares = [share(number, present, me) for me in present]
    assert sum(shares) == number
    assert max(shares) - min(shares) <= 1


def step_all(number: int, present: list[int], holders: dict[int, int], order: list[int]) -> int:
    """One step of every relay in some order, each seeing what the ones before left; how many ranges moved."""
    moved = 0
    for me in order:
        step = next_step(number, present, me, dict(holders))
        for one in step.give_up:
            assert holders.pop(one) == me, "only its own"
        for one in step.take:
            assert one not in holders, "only free ones"
            holders[one] = me
        moved += len(step.give_up) + len(step.take)
    return moved


@given(ranges, st.lists(relays, min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_after_any_coming_and_going_all_ranges_are_shared_again(number: int, casts: list[list[int]], chance) -> None:  # type: ignore[no-untyped-def]
    """Otherwise a deploy or a crash leaves events of some orders waiting until somebody restarts something."""
    holders: dict[int, int] = {}
    for present in casts:
        holders = {one: relay for one, relay in holders.items() if relay in present}  # locks of the dead are free
        for _ in range(3):
            step_all(number, present, holders, chance.sample(present, len(present)))
        held = [list(holders.values()).count(relay) for relay in present]
        assert sum(held) == number, "every range is relayed"
        assert max(held) - min(held) <= 1, "and fairly shared"
        assert step_all(number, present, dict(holders), present) == 0, "then nothing moves any more"


@given(ranges, relays)
def test_a_newcomer_gets_its_share_and_the_others_keep_the_rest(number: int, present: list[int]) -> None:
    """Otherwise every start of a replica moves ranges between those that were there, and events wait for it."""
    newcomer = max(present) + 1
    holders: dict[int, int] = {}
    for _ in range(3):
        step_all(number, present, holders, present)
    before = dict(holders)
    everybody = [*present, newcomer]
    for _ in range(3):
        step_all(number, everybody, holders, everybody)
    moved = [one for one in range(number) if before[one] != holders[one]]
    assert all(holders[one] == newcomer for one in moved)
    assert len(moved) == share(number, everybody, newcomer)


def test_who_is_not_seen_yet_takes_nothing() -> None:
    """Otherwise a relay acts on a picture without itself in it, and shares are not those of the others."""
    assert next_step(6, [1, 2], 3, {}).take == ()
