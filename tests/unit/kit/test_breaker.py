"""The breaker leaves a broken party alone, and finds out with one call whether it is well again."""

from collections.abc import Callable, Sequence
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from insuretech.kit.breaker import Breaker, BreakerOpen, BreakerState

CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN


class Time:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("steps", "state"),
    [
        ("", CLOSED),
        ("f f", CLOSED),
        ("f f f", OPEN),
        ("f f s f f", CLOSED),
        ("f f a f", OPEN),
        ("f f f w", HALF_OPEN),
        ("f f f w s", CLOSED),
        ("f f f w f", OPEN),
        ("f f f w f w s f f", CLOSED),
        ("f f f w a", HALF_OPEN),
    ],
)
def test_the_state_after_a_course_of_calls(steps: str, state: BreakerState) -> None:
    """Otherwise a dead insurer holds every quote up, or a recovered one is never asked again.

    f: a call that fails, s: one that succeeds, a: one that is abandoned, w: the pause passes. Three failures open it.
    """
    time = Time()
    breaker = Breaker(failures=3, pause=10, clock=time)
    for step in steps.split():
        if step == "w":
            time.now += 10
            continue
        probe = breaker.before()
        ends: dict[str, Callable[[], None]] = {
            "f": breaker.failed,
            "s": breaker.succeeded,
            "a": partial(breaker.abandoned, probe),
        }
        ends[step]()
    assert breaker.state is state


def test_while_open_nothing_is_sent() -> None:
    """Otherwise each call waits for the time limit of a party that is known to be dead."""
    time = Time()
    breaker = Breaker(failures=1, pause=10, clock=time)
    breaker.before()
    breaker.failed()
    time.now = 9.9
    with pytest.raises(BreakerOpen):
        breaker.before()


def test_a_single_probe_is_let_through() -> None:
    """Otherwise everyone who waited rushes at a party that is just getting up."""
    time = Time()
    breaker = Breaker(failures=1, pause=10, clock=time)
    breaker.before()
    breaker.failed()
    time.now = 10
    assert breaker.before() is True
    with pytest.raises(BreakerOpen):
        breaker.before()


def test_an_old_call_that_is_abandoned_does_not_make_room_for_a_second_probe() -> None:
    """Otherwise calls from before the trouble multiply the probes."""
    time = Time()
    breaker = Breaker(failures=1, pause=10, clock=time)
    old, failing = breaker.before(), breaker.before()
    assert old is failing is False
    breaker.failed()
    time.now = 10
    breaker.before()
    breaker.abandoned(old)
    with pytest.raises(BreakerOpen):
        breaker.before()


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 5))
def test_it_opens_exactly_after_so_many_failures_in_a_row(outcomes: Sequence[bool], limit: int) -> None:
    """Otherwise one odd failure cuts an insurer off, or a dead one goes on costing time."""
    breaker = Breaker(failures=limit, pause=10, clock=Time())
    row = 0
    for good in outcomes:
        breaker.before()
        if good:
            breaker.succeeded()
        else:
            breaker.failed()
        row = 0 if good else row + 1
        if row == limit:
            assert breaker.state is OPEN
            return
        assert breaker.state is CLOSED


class ConcurrentCalls(RuleBasedStateMachine):
    """Calls that overlap in any way, while time passes."""

    def __init__(self) -> None:
        super().__init__()
        self.time = Time()
        self.breaker = Breaker(failures=2, pause=5, clock=self.time)
        self.calls: list[bool] = []

    @rule()
    def begin(self) -> None:
        try:
            self.calls.append(self.breaker.before())
        except BreakerOpen:
            assert self.breaker.state is not CLOSED

    @precondition(lambda self: self.calls)
    @rule(data=st.data(), outcome=st.sampled_from(["succeeded", "failed", "abandoned"]))
    def end(self, data: st.DataObject, outcome: str) -> None:
        probe = self.calls.pop(data.draw(st.integers(0, len(self.calls) - 1)))
        if outcome == "abandoned":
            self.breaker.abandoned(probe)
        elif outcome == "failed":
            self.breaker.failed()
        else:
            self.breaker.succeeded()
            assert self.breaker.state is CLOSED, "an answer is proof that the party is there"

    @rule(seconds=st.integers(0, 8))
    def pass_time(self, seconds: int) -> None:
        self.time.now += seconds

    @invariant()
    def never_stuck(self) -> None:
        """With nothing under way, a pause is all it takes to be let through again."""
        if not self.calls:
            moment = self.time.now
            self.time.now += 5
            assert self.breaker.state is not OPEN
            self.breaker.abandoned(self.breaker.before())
            self.time.now = moment


TestConcurrentCalls = ConcurrentCalls.TestCase
