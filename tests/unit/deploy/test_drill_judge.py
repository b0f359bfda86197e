"""The judge of the databases' drills is judged: each planted fault must be found, and an honest run must pass."""

from typing import Any

import msgspec
import pytest

from deploy.drills.history import Belief, Call, Mark
from deploy.drills.judge import Books, Verdict, judge

SPB, MSK = "10.60.1.11", "10.60.2.11"
MARKS = [
    Mark(at=10.0, what="begin", fault="power-off-spb"),
    Mark(at=40.0, what="heal", fault="power-off-spb"),
    Mark(at=50.0, what="well", fault="power-off-spb"),
]
SAME = {"spb-db-1": "aa", "msk-db-1": "aa"}


def write(
    key: str, end: float, belief: Belief = "done", *, server: str = SPB, timeline: int = 1, start: float = 0
) -> Call:
    """A write as a client saw it."""
    told: dict[str, Any] = {"server": server, "timeline": timeline} if belief == "done" else {}
    return Call(
        start=start or end - 0.1, end=end, visitor="central-writer-1", operation="write", writes=True, belief=belief,
        key=key, told=told,
    )  # fmt: skip


def reading(end: float) -> Call:
    """A read that was answered."""
    return Call(start=end - 0.1, end=end, visitor="central-reader-1", operation="read", writes=False, belief="done")


HONEST = [
    *(write(f"a-{second}", float(second)) for second in range(1, 11)),
    write("a-11", 13.5, "unknown", start=10.5),
    *(write(f"a-{second}", float(second), server=MSK, timeline=2) for second in range(26, 60)),
    write("a-11", 25.0, server=MSK, timeline=2),
    *(reading(float(second)) for second in range(60)),
]
KEYS = {call.key for call in HONEST if call.writes}
BOOKS = Books(effects=dict.fromkeys(KEYS, 1), digests=SAME)


def judged(calls: list[Call], books: Books = BOOKS, *, automatic: bool = True) -> Verdict:
    """The verdict on a history."""
    return judge(sorted(calls, key=lambda call: call.start), MARKS, books, {"power-off-spb": automatic})


def charges(verdict: Verdict) -> list[str]:
    """What a verdict charges, in order."""
    return [violation.charge for violation in verdict.violations]


def test_an_honest_run_passes_and_says_how_long_it_was_felt() -> None:
    """Otherwise nobody believes a charge."""
    verdict = judged(HONEST)
    assert charges(verdict) == []
    assert verdict.windows[0].write_gap == 15.0
    assert verdict.windows[0].read_gap == 1.0
    assert verdict.windows[0].unknown == 1
    assert verdict.windows[0].first_try == 30 / 31, "a-11 alone needed a second attempt"
    assert verdict.counts["writes acknowledged"] == len(KEYS)


def test_a_lost_row_is_found() -> None:
    """Otherwise an acknowledged order may be gone unseen."""
    books = msgspec.structs.replace(BOOKS, effects={key: 1 for key in KEYS if key != "a-30"})
    assert charges(judged(HONEST, books)) == ["lost"]


def test_a_row_that_was_never_acknowledged_may_be_missing() -> None:
    """Otherwise honest refusals are charged."""
    calls = [*HONEST, write("a-99", 59.0, "refused"), write("a-99", 59.5, server=MSK, timeline=2)]
    books = msgspec.structs.replace(BOOKS, effects={**BOOKS.effects, "a-99": 1})
    assert charges(judged(calls, books)) == []


def test_a_doubled_effect_is_found() -> None:
    """Otherwise somebody may pay twice unseen."""
    books = msgspec.structs.replace(BOOKS, effects={**BOOKS.effects, "a-11": 2})
    assert charges(judged(HONEST, books)) == ["doubled"]


def test_a_row_without_its_effect_is_found() -> None:
    """Otherwise half an order passes for a whole one."""
    books = msgspec.structs.replace(BOOKS, effects={**BOOKS.effects, "a-11": 0})
    assert charges(judged(HONEST, books)) == ["doubled"]


def test_an_outcome_that_nobody_learnt_is_found() -> None:
    """Otherwise an unknown outcome stays unknown for ever."""
    assert charges(judged([*HONEST, write("a-77", 58.0, "unknown")])) == ["unsettled"]


@pytest.mark.parametrize(
    "second",
    [
        pytest.param(write("b-1", 31.0, server=SPB, timeline=1), id="the old one goes on"),
        pytest.param(write("b-1", 31.0, server=SPB, timeline=2), id="both on the same timeline"),
    ],
)
def test_a_second_primary_is_found(second: Call) -> None:
    """Otherwise two sites may both take orders, and one of them loses its own."""
    books = msgspec.structs.replace(BOOKS, effects={**BOOKS.effects, "b-1": 1})
    assert charges(judged([*HONEST, second], books)) == ["split"]


def test_a_write_that_was_under_way_when_the_new_one_began_is_no_second_primary() -> None:
    """Otherwise every failover is charged."""
    before = write("b-1", 25.5, server=SPB, timeline=1, start=9.9)
    books = msgspec.structs.replace(BOOKS, effects={**BOOKS.effects, "b-1": 1})
    assert charges(judged([*HONEST, before], books)) == []


def test_a_standby_with_other_rows_is_found() -> None:
    """Otherwise the next failover loses what it lacks."""
    books = msgspec.structs.replace(BOOKS, digests={**SAME, "msk-db-2": "bb"})
    assert charges(judged(HONEST, books)) == ["differs"]


def test_writes_that_come_back_late_miss_the_goal_unless_a_person_is_needed() -> None:
    """Otherwise a slow failover passes."""
    calls = [call for call in HONEST if not (call.writes and 20 < call.end < 45)]
    books = msgspec.structs.replace(
        BOOKS, effects={call.key: 1 for call in calls if call.writes and call.key != "a-11"}
    )
    calls = [call for call in calls if call.key != "a-11"]
    assert charges(judged(calls, books)) == ["late"]
    assert charges(judged(calls, books, automatic=False)) == []
