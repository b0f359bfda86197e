"""Which part of a service's keys each relay takes, decided by every relay for itself from what all of them can see.

Keys fall into a fixed number of ranges. Each relay has a share by its rank among those present; it gives up what it
holds beyond the share and takes free ranges up to it. Nobody appoints anybody, ranges move only when they must, and
after relays come or go every range is taken again within a few steps of each.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """What a relay does next: ranges to give up, and free ones to try to take, in this order."""

    give_up: tuple[int, ...] = ()
    take: tuple[int, ...] = ()


def share(ranges: int, present: Sequence[int], me: int) -> int:
    """How many ranges are mine: shares differ by one at most and add up to all of them."""
    rank = sorted(present).index(me)
    even, more = divmod(ranges, len(present))
    return even + (rank < more)


def next_step(ranges: int, present: Sequence[int], me: int, holders: Mapping[int, int]) -> Step:
    """The step of relay ``me``, given who is present and who holds what (range to relay).

    A relay that is not seen as present yet does nothing.
    """
    if me not in present:
        return Step()
    mine = share(ranges, present, me)
    held = [number for number in range(ranges) if holders.get(number) == me]
    free = [number for number in range(ranges) if number not in holders]
    start = sorted(present).index(me) * ranges // len(present)  # relays begin at different ends of what is free
    in_order = sorted(free, key=lambda number: (number - start) % ranges)
    return Step(give_up=tuple(held[mine:]), take=tuple(in_order[: max(0, mine - len(held))]))
