"""Holding two books against each other."""

import random
from collections import Counter
from datetime import date, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from insuretech.settlement.reconciliation.domain.matching import Kind, Line, Side, match

FIRST = date(2026, 10, 1)


def line(key: str, amount: str, day: int = 1) -> Line:
    """A line of October; money that goes back has a minus."""
    money = Decimal(amount)
    return key, "return" if money < 0 else "premium", Side(money, FIRST + timedelta(days=day - 1))


lines = st.lists(
    st.builds(
        line,
        st.sampled_from(["A1", "A2", "A3"]),
        st.sampled_from(["100.00", "100.01", "250.00", "-100.00"]),
        st.integers(1, 3),
    ),
    max_size=12,
)


def test_each_kind_of_discrepancy() -> None:
    """The six sentences that staff read must be said of the right policies."""
    ours = [line("SAME", "10"), line("MISSING", "20"), line("SUM", "30"), line("DAY", "40"), line("TWICE", "50")]
    ours += [line("HERE2", "60"), line("HERE2", "60"), line("BACK", "70"), line("BACK", "-70")]
    theirs = [line("SAME", "10"), line("THEIRS", "20"), line("SUM", "30.01"), line("DAY", "40", 2), line("BACK", "70")]
    theirs += [line("TWICE", "50"), line("TWICE", "50"), line("HERE2", "60")]
    agreed, findings = match(ours, theirs)
    assert agreed == 4
    assert {(each.key, each.kind) for each in findings} == {
        ("MISSING", Kind.ONLY_OURS),
        ("THEIRS", Kind.ONLY_THEIRS),
        ("SUM", Kind.AMOUNT),
        ("DAY", Kind.DAY),
        ("TWICE", Kind.DUPLICATE_THEIRS),
        ("HERE2", Kind.DUPLICATE_OURS),
        ("BACK", Kind.ONLY_OURS),
    }


@given(lines, lines, st.randoms(use_true_random=False))
def test_the_order_of_lines_makes_no_difference(ours: list[Line], theirs: list[Line], shuffle: random.Random) -> None:
    """An insurer who sorts its table another way would otherwise give us other discrepancies."""
    first = match(ours, theirs)
    mixed = [list(ours), list(theirs)]
    for side in mixed:
        shuffle.shuffle(side)
    assert match(*mixed) == first


@given(lines, lines)
def test_every_line_is_accounted_for_once(ours: list[Line], theirs: list[Line]) -> None:
    """A line that neither agrees nor is told of is money nobody looks at."""
    agreed, findings = match(ours, theirs)
    assert agreed + sum(each.ours is not None for each in findings) == len(ours)
    assert agreed + sum(each.theirs is not None for each in findings) == len(theirs)


@given(lines, lines)
def test_the_other_side_sees_the_mirror_image(ours: list[Line], theirs: list[Line]) -> None:
    """The insurer's own reconciliation must find the same discrepancies as ours."""
    mirror = {
        Kind.ONLY_OURS: Kind.ONLY_THEIRS,
        Kind.ONLY_THEIRS: Kind.ONLY_OURS,
        Kind.DUPLICATE_OURS: Kind.DUPLICATE_THEIRS,
        Kind.DUPLICATE_THEIRS: Kind.DUPLICATE_OURS,
    }
    agreed, findings = match(ours, theirs)
    other, mirrored = match(theirs, ours)
    assert agreed == other
    assert Counter((each.key, each.kind) for each in findings) == Counter(
        (each.key, mirror.get(each.kind, each.kind)) for each in mirrored
    )


@given(lines)
def test_equal_books_agree_in_everything(ours: list[Line]) -> None:
    """Two equal registers with any duplicates inside have nothing to be discussed."""
    assert match(ours, list(ours)) == (len(ours), [])


@given(lines, lines)
def test_days_may_be_left_out_of_it(ours: list[Line], theirs: list[Line]) -> None:
    """The provider's register dates payments otherwise than we do; its kopecks count all the same."""
    _, findings = match(ours, theirs, compare_days=False)
    assert all(each.kind is not Kind.DAY for each in findings)
