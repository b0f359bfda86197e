"""What people did and were told, and what was done to the machines meanwhile: one JSON object a line.

Times are seconds since the epoch, taken from one clock (``time.time``) by every process of this machine.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, TextIO

import msgspec

Belief = Literal["done", "refused", "unknown"]
"""What a client knows after a call: it was carried out, it was not, or nobody can tell."""


class Call(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="call"):
    """One request with its answer. Repeats of one request share ``key``, as a real client's do.

    ``writes``: whether it changes anything. ``told`` holds what matters later: ids, states, amounts.
    """

    start: float
    end: float
    visitor: str
    operation: str
    writes: bool
    belief: Belief
    status: int = 0
    key: str = ""
    error: str = ""
    told: dict[str, Any] = {}


class Mark(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="mark"):
    """A moment of what is tried: a fault begins, is mended (``heal``), and everything is well (``well``)."""

    at: float
    what: Literal["warm", "begin", "heal", "well", "quiet"]
    fault: str = ""
    detail: str = ""


Line = Call | Mark


class History:
    """Writes lines as they come; a crash loses none that were noted."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def note(self, line: Line) -> None:
        self._file.write(msgspec.json.encode(line).decode() + "\n")
        self._file.flush()


def read(*paths: Path) -> tuple[list[Call], list[Mark]]:
    """All lines of some files, each kind in the order of time."""
    lines = [line for path in paths for line in _lines(path)]
    calls = sorted((one for one in lines if isinstance(one, Call)), key=lambda call: call.start)
    marks = sorted((one for one in lines if isinstance(one, Mark)), key=lambda mark: mark.at)
    return calls, marks


def _lines(path: Path) -> Iterator[Line]:
    decoder = msgspec.json.Decoder(Line)
    with path.open("rb") as file:
        for line in file:
            yield decoder.decode(line)


def longest_gap(moments: Sequence[float], begin: float, end: float) -> float:
    """The longest time between neighbours, as far as it touches ``begin`` to ``end``; all of it when there are none.

    A silence that begins before the window counts from its own beginning, as people do not know of windows.
    """
    before = [moment for moment in moments if moment < begin]
    after = [moment for moment in moments if moment > end]
    inside = [moment for moment in moments if begin <= moment <= end]
    edge = [before[-1] if before else begin, *inside, after[0] if after else end]
    return max(later - earlier for earlier, later in pairwise(edge))


def reached(marks: Iterable[Mark], what: str, begin: Mark) -> float:
    """When the fault that began so reached a further mark; its beginning where it never did."""
    return next((m.at for m in marks if m.what == what and m.fault == begin.fault and m.at >= begin.at), begin.at)
