"""The judge of the data layer: holds what clients were told against what the databases hold. Pure, so tested itself."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from deploy.drills.history import Call, Mark, longest_gap, reached

WRITE_GOAL, READ_GOAL = 30.0, 5.0
"""Seconds in which writes and reads are back after any fault that needs no person."""
SETTLE = 5.0
"""Seconds after all is well that still belong to a fault."""

Charge = Literal["lost", "doubled", "unsettled", "split", "differs", "late"]
"""``split``: two databases took writes at once. ``differs``: a standby holds other rows than the primary."""


class Books(msgspec.Struct, frozen=True, kw_only=True):
    """What the primary holds at the end: effects by key; and a digest of all rows of every database by its name."""

    effects: dict[str, int]
    digests: dict[str, str]


class Violation(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that must not be."""

    charge: Charge
    text: str


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """A fault as clients felt it; seconds. ``unknown``: attempts whose outcome the client did not learn.

    ``first_try``: the share of writes that needed no second attempt.
    """

    fault: str
    begin: float
    heal: float
    well: float
    write_gap: float
    read_gap: float
    attempts: int
    failed: int
    unknown: int
    first_try: float = 1.0


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the judge says. ``counts`` tells how much was judged, so that an empty run does not pass for a good one."""

    violations: tuple[Violation, ...]
    windows: tuple[Window, ...]
    counts: dict[str, int]


def judge(calls: Sequence[Call], marks: Sequence[Mark], books: Books, automatic: Mapping[str, bool]) -> Verdict:
    """Hold the history against the books; ``automatic`` says of which faults writes must come back by themselves."""
    felt = tuple(windows(calls, marks))
    violations = (*_lost(calls, books), *_doubled(books), *_unsettled(calls), *_split(calls), *_differs(books))
    late = tuple(_late(felt, automatic))
    writes = [call for call in calls if call.writes]
    return Verdict(
        violations=(*violations, *late),
        windows=felt,
        counts={
            "writes acknowledged": len({call.key for call in writes if call.belief == "done"}),
            "write attempts": len(writes),
            "writes unknown": sum(call.belief == "unknown" for call in writes),
            "reads answered": sum(call.belief == "done" for call in calls if not call.writes),
            "rows": len(books.effects),
        },
    )


def _lost(calls: Iterable[Call], books: Books) -> Iterator[Violation]:
    for key in sorted({call.key for call in calls if call.writes and call.belief == "done"} - books.effects.keys()):
        yield Violation(charge="lost", text=f"{key} was acknowledged and is not there")


def _doubled(books: Books) -> Iterator[Violation]:
    for key, count in sorted(books.effects.items()):
        if count != 1:
            yield Violation(charge="doubled", text=f"{key} took effect {count} times")


def _unsettled(calls: Iterable[Call]) -> Iterator[Violation]:
    """Whoever did not learn an outcome goes on until it does; only what was begun last may end without."""
    ends: dict[str, str] = {}
    for call in sorted((one for one in calls if one.writes), key=lambda one: one.end):
        if ends.get(call.key) != "done":
            ends[call.key] = call.belief
    for key, belief in sorted(ends.items()):
        if belief != "done":
            yield Violation(charge="unsettled", text=f"the outcome of {key} was never learnt")


def _split(calls: Sequence[Call]) -> Iterator[Violation]:
    """A write that began after another database had acknowledged one on a later timeline was taken by a second primary.

    On one timeline there is one primary: two databases that acknowledge on the same one are two primaries as well.
    """
    done = sorted((call for call in calls if call.writes and call.belief == "done"), key=lambda one: one.end)
    owners: defaultdict[int, set[str]] = defaultdict(set)
    for call in done:
        owners[call.told["timeline"]].add(call.told["server"])
    for timeline, servers in sorted(owners.items()):
        if len(servers) > 1:
            yield Violation(charge="split", text=f"{' and '.join(sorted(servers))} took writes on timeline {timeline}")
    newest: tuple[int, float] = (0, 0.0)  # a timeline, and when it was first acknowledged
    seen: Counter[int] = Counter()
    for call in done:
        timeline = call.told["timeline"]
        if timeline < newest[0] and call.start > newest[1] and not seen[timeline]:
            seen[timeline] += 1
            text = f"{call.told['server']} took {call.key} on timeline {timeline} after {newest[0]} had begun"
            yield Violation(charge="split", text=text)
        if timeline > newest[0]:
            newest = (timeline, call.end)


def _differs(books: Books) -> Iterator[Violation]:
    common, _ = Counter(books.digests.values()).most_common(1)[0] if books.digests else ("", 0)
    for name, digest in sorted(books.digests.items()):
        if digest != common:
            yield Violation(charge="differs", text=f"{name} does not hold the same rows as the others")


def _late(felt: Iterable[Window], automatic: Mapping[str, bool]) -> Iterator[Violation]:
    for window in felt:
        if not automatic.get(window.fault, True):
            continue
        if window.write_gap > WRITE_GOAL:
            text = f"{window.fault}: no write for {window.write_gap:.1f} s, the goal is {WRITE_GOAL:.0f} s"
            yield Violation(charge="late", text=text)
        if window.read_gap > READ_GOAL:
            text = f"{window.fault}: no read for {window.read_gap:.1f} s, the goal is {READ_GOAL:.0f} s"
            yield Violation(charge="late", text=text)


def windows(calls: Sequence[Call], marks: Sequence[Mark]) -> Iterator[Window]:
    """Each fault with the longest time in which nobody's call succeeded."""
    writes = sorted(call.end for call in calls if call.writes and call.belief == "done")
    reads = sorted(call.end for call in calls if not call.writes and call.belief == "done")
    for begin in (mark for mark in marks if mark.what == "begin"):
        heal, well = reached(marks, "heal", begin), reached(marks, "well", begin)
        until = well + SETTLE
        within = [call for call in calls if begin.at <= call.start <= until]
        yield Window(
            fault=begin.fault,
            begin=begin.at,
            heal=heal,
            well=well,
            write_gap=longest_gap(writes, begin.at, until),
            read_gap=longest_gap(reads, begin.at, until),
            attempts=len(within),
            failed=sum(call.belief == "refused" for call in within),
            unknown=sum(call.belief == "unknown" for call in within),
            first_try=_first_try(calls, begin.at, until),
        )


def _first_try(calls: Iterable[Call], begin: float, until: float) -> float:
    """Of the writes begun in that time, the share that was done at once; 1 where there were none."""
    first: dict[str, Call] = {}
    for call in calls:
        if call.writes and (call.key not in first or call.start < first[call.key].start):
            first[call.key] = call
    begun = [call for call in first.values() if begin <= call.start <= until]
    return sum(call.belief == "done" for call in begun) / len(begun) if begun else 1.0
