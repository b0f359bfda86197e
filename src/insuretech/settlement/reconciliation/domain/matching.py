"""How the lines of two books are held against each other; the SQL of ``repository`` does the same to a million.

Lines belong together by the key of their number and by the way the money goes (``entry``). Among those of one key, in
this order and always as many as there are on both sides:

1. same amount and same day: these agree;
2. same amount, days in their order: the day differs;
3. same day, amounts in their order: the amount differs;
4. what is left, by amount and day: the amount differs.

What remains stands on one side alone. Where the other side has this key at all, it is a duplicate; else the first of
them is missing on the other side and the rest are duplicates of it. Everything is decided by key, amount and day, so
the order of lines in a file makes no difference.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from datetime import date
from decimal import Decimal
from enum import StrEnum

import msgspec

from insuretech.settlement.reconciliation.domain.columns import Entry


class Kind(StrEnum):
    """What is wrong between the two books."""

    ONLY_OURS = "only_ours"
    ONLY_THEIRS = "only_theirs"
    AMOUNT = "amount_differs"
    DAY = "day_differs"
    DUPLICATE_OURS = "duplicate_ours"
    DUPLICATE_THEIRS = "duplicate_theirs"


class Side(msgspec.Struct, frozen=True, order=True):
    """A line as far as matching looks at it, the rest hangs on ``reference``."""

    amount: Decimal
    day: date
    reference: str = ""


class Finding(msgspec.Struct, frozen=True, order=True):
    """One discrepancy; ``ordinal`` counts those of the same key, entry and kind from 1."""

    key: str
    entry: Entry
    kind: Kind
    ordinal: int
    ours: Side | None
    theirs: Side | None


Line = tuple[str, Entry, Side]


def match(ours: Iterable[Line], theirs: Iterable[Line], *, compare_days: bool = True) -> tuple[int, list[Finding]]:
    """The number of pairs that agree, and everything that does not."""
    groups: dict[tuple[str, Entry], tuple[list[Side], list[Side]]] = defaultdict(lambda: ([], []))
    for place, lines in enumerate((ours, theirs)):
        for key, entry, side in lines:
            groups[key, entry][place].append(side)
    agreed, findings = 0, []
    for (key, entry), (own, other) in sorted(groups.items()):
        pairs, found = _group(sorted(own), sorted(other), compare_days=compare_days)
        agreed += pairs
        numbers: Counter[Kind] = Counter()
        for kind, mine, yours in found:
            numbers[kind] += 1
            findings.append(Finding(key, entry, kind, numbers[kind], mine, yours))
    return agreed, findings


Found = tuple[Kind, Side | None, Side | None]


def _group(own: list[Side], other: list[Side], *, compare_days: bool) -> tuple[int, list[Found]]:
    both = bool(own) and bool(other)
    agreed, own, other = _paired(own, other, lambda side: (side.amount, side.day))
    count = len(agreed)
    found: list[Found] = []
    later, own, other = _paired(own, other, lambda side: side.amount)
    if compare_days:
        found += [(Kind.DAY, mine, yours) for mine, yours in later]
    else:
        count += len(later)
    for same in (lambda side: side.day, lambda _: None):
        apart, own, other = _paired(own, other, same)
        found += [(Kind.AMOUNT, mine, yours) for mine, yours in apart]
    found += [_alone(side, place, both, Kind.ONLY_OURS, Kind.DUPLICATE_OURS) for place, side in enumerate(own)]
    for place, side in enumerate(other):
        kind, line, _ = _alone(side, place, both, Kind.ONLY_THEIRS, Kind.DUPLICATE_THEIRS)
        found.append((kind, None, line))
    return count, found


def _alone(side: Side, place: int, both: bool, missing: Kind, duplicate: Kind) -> Found:
    return (duplicate if both or place else missing, side, None)


def _paired(
    own: list[Side], other: list[Side], same: Callable[[Side], object]
) -> tuple[list[tuple[Side, Side]], list[Side], list[Side]]:
    """Pairs of what is the same to ``same``, in order; and what is left on both sides, in order."""
    waiting: dict[object, list[Side]] = defaultdict(list)
    for side in other:
        waiting[same(side)].append(side)
    pairs, left = [], []
    for side in own:
        candidates = waiting[same(side)]
        if candidates:
            pairs.append((side, candidates.pop(0)))
        else:
            left.append(side)
    return pairs, left, sorted(side for sides in waiting.values() for side in sides)
