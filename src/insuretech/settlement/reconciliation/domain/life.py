"""The life of a discrepancy: who may do what to it when, and what the next file of the other side makes of it."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal

from insuretech.kit.problems import Conflict


class Status(StrEnum):
    """Where a discrepancy stands."""

    OPEN = "open"
    IN_WORK = "in_work"
    RESOLVED = "resolved"
    WRITTEN_OFF = "written_off"
    REOPENED = "reopened"


class Action(StrEnum):
    """What is done to a discrepancy; the last four are done by reconciliation itself."""

    COMMENT = "comment"
    TAKE = "take"
    RELEASE = "release"
    RESOLVE = "resolve"
    WRITE_OFF = "write_off"
    REOPEN = "reopen"
    UNDO = "undo"
    FOUND = "found"
    CHANGED = "changed"
    FOUND_AGAIN = "found_again"
    GONE = "gone"


Resolution = Literal["ours_corrected", "theirs_corrected", "next_period", "explained", "gone"]
"""How a discrepancy came to its end: our line was corrected, theirs will be, it belongs to another month, it is
explained and stays so, or the next file no longer had it."""

WAITING = frozenset({Status.OPEN, Status.IN_WORK, Status.REOPENED})
CLOSED = frozenset({Status.RESOLVED, Status.WRITTEN_OFF})

MOVES: Mapping[Action, tuple[frozenset[Status], Status]] = {
    Action.TAKE: (WAITING, Status.IN_WORK),
    Action.RELEASE: (frozenset({Status.IN_WORK}), Status.OPEN),
    Action.RESOLVE: (WAITING, Status.RESOLVED),
    Action.WRITE_OFF: (WAITING, Status.WRITTEN_OFF),
    Action.REOPEN: (CLOSED, Status.REOPENED),
}
"""From which states an action leads to which; ``UNDO`` leads back to where the last action came from."""

NEEDS_WORDS = frozenset({Action.COMMENT, Action.WRITE_OFF, Action.REOPEN})
"""What is not done without a sentence that says why."""


class NotPossibleNow(Conflict):
    """The discrepancy is in a state that does not allow this; somebody may have been quicker."""

    slug = "discrepancy-state"
    title = "The discrepancy is in another state by now"


def after(action: Action, status: Status) -> Status:
    """The state that an action leads to. Raises ``NotPossibleNow``."""
    if action is Action.COMMENT:
        return status
    allowed, target = MOVES[action]
    if status not in allowed:
        raise NotPossibleNow(f"It is {status.value}: {action.value} is for {', '.join(sorted(allowed))}.")
    return target


def possible(status: Status) -> tuple[Action, ...]:
    """What a person may do to a discrepancy in this state."""
    return (*(action for action, (allowed, _) in MOVES.items() if status in allowed), Action.COMMENT)


def met_again(status: Status, *, changed: bool) -> tuple[Status, Action | None]:
    """What another reconciliation that finds the same discrepancy makes of it.

    Work on it goes on. What was written off stays so unless the figures are others by now; what was called resolved
    is not, and comes back.
    """
    if status is Status.RESOLVED or (status is Status.WRITTEN_OFF and changed):
        return Status.REOPENED, Action.FOUND_AGAIN
    return status, Action.CHANGED if changed else None
