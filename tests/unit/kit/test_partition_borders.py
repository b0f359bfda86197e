"""Borders of partitions: ranges of ids mean the times they say, and no moment is left out or in two of them."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from insuretech.kit.ids import first_id_at, made_at, new_id
from insuretech.kit.partitions import Borders, Span, name_of

moments = st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - see timezones
periods = st.sampled_from([timedelta(hours=1), timedelta(hours=6), timedelta(days=1), timedelta(days=7)])


def version_7(moment: datetime, random: int) -> UUID:
    """A UUIDv7 of RFC 9562 made at a moment."""
    rest = random & ~(0xF << 76) & ~(0b11 << 62) | 0x7 << 76 | 0b10 << 62
    return UUID(int=first_id_at(moment).int | rest)


@given(moments, st.integers(0, (1 << 80) - 1), moments)
def test_an_id_is_on_the_side_of_a_border_its_time_is_on(moment: datetime, random: int, border: datetime) -> None:
    """Rows would lie in the partition of another day, and be dropped too early or found too late."""
    made = version_7(moment, random)
    in_milliseconds = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    border = border.replace(microsecond=border.microsecond // 1000 * 1000)

    assert made.version == 7
    assert made_at(made) == in_milliseconds
    assert (made >= first_id_at(border)) == (in_milliseconds >= border)


def test_our_own_ids_tell_their_time() -> None:
    """The library might make ids of another kind in its next version."""
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    made = [new_id() for _ in range(100)]
    after = datetime.now(UTC) + timedelta(milliseconds=2)

    assert all(before <= made_at(one) <= after for one in made)
    assert made == sorted(made)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(moments, periods), max_size=4),
    moments,
    periods,
    st.timedeltas(timedelta(hours=1), timedelta(days=12)),
)
def test_missing_partitions_fill_what_is_missing(
    before: list[tuple[datetime, timedelta]], start: datetime, period: timedelta, ahead: timedelta
) -> None:
    """Rows would fall into the default partition, or a partition could not be made as it covers another."""
    existing: list[Span] = []
    for moment, other in before:  # as earlier rounds with other periods would have made them
        existing += Borders(other).missing(existing, moment, moment + other)

    made = Borders(period).missing(existing, start, start + ahead)
    ordered = sorted([*existing, *made], key=lambda span: str(span.lower))

    for one, next_one in pairwise(ordered):
        assert one.upper is not None
        assert next_one.lower is not None
        assert one.upper <= next_one.lower
    moment = start
    while moment < start + ahead:
        assert sum(span.holds(moment) for span in ordered) == 1
        moment += period / 2
    assert len({name_of("t", span) for span in ordered}) == len(ordered)
    assert Borders(period).missing(ordered, start, start + ahead) == []


def test_everything_before_a_border_needs_no_other_partition() -> None:
    """A table that was there before partitions could not be taken in."""
    noon = datetime(2026, 11, 22, 12, tzinfo=UTC)
    old = Span(None, datetime(2026, 11, 23, tzinfo=UTC))

    made = Borders(timedelta(days=1)).missing([old], noon - timedelta(days=30), noon + timedelta(days=1))

    assert made == [Span(datetime(2026, 11, 23, tzinfo=UTC), datetime(2026, 11, 24, tzinfo=UTC))]
