"""However insurers' answers come together, repeat and race: each counts once, and the live stream has no gap."""

import asyncio
from datetime import timedelta
from itertools import pairwise

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from insuretech.contracts.events import InsurerGaveNoOffer, OfferReceived, OfferRefused, QuoteCompleted
from insuretech.contracts.insurers import Declined, Invalid, Offered, Referred
from insuretech.quotes.answers import Ended, end_lines
from insuretech.quotes.domain import (
    NOT_REACHED,
    TIMED_OUT,
    LineStatus,
    OfferStatus,
    QuoteStatus,
    Verdict,
    judge,
)
from insuretech.quotes.ports import AllEnded, QuoteEvent
from tests.unit.quotes.fake_store import FakeDatabase
from tests.unit.quotes.specimens import LIMITS, NOW, line, offered, quote

amounts = st.integers(3000, 10000).map(lambda roubles: offered(f"{roubles}.00"))
refusals: st.SearchStrategy[Declined | Referred | Invalid] = st.sampled_from(
    [Declined(reason="нет"), Referred(reason=""), Invalid(reason="VIN")]
)
verdicts = st.one_of(
    (amounts | refusals).map(lambda answer: judge(answer, LIMITS, NOW)),
    st.sampled_from([Verdict(LineStatus.TIMED_OUT, TIMED_OUT), Verdict(LineStatus.UNAVAILABLE, NOT_REACHED)]),
)


@st.composite
def courses(draw: st.DrawFn) -> tuple[int, list[list[tuple[int, Verdict]]]]:
    """How many lines there are, and transactions that each end some of them, some more than once."""
    count = draw(st.integers(1, 8))
    steps = [(place, draw(verdicts)) for place in draw(st.permutations(range(count)))]
    steps += [(draw(st.integers(0, count - 1)), draw(verdicts)) for _ in range(draw(st.integers(0, 4)))]
    steps = draw(st.permutations(steps))
    batches: list[list[tuple[int, Verdict]]] = [[]]
    for place, verdict in steps:
        if place in {known for known, _ in batches[-1]} or draw(st.booleans()):
            batches.append([])
        batches[-1].append((place, verdict))
    return count, batches


@given(courses())
def test_every_line_ends_once_and_events_have_no_gap(course: tuple[int, list[list[tuple[int, Verdict]]]]) -> None:
    """A stream would skip a number and wait for ever, an offer be made twice, or a quote complete too early."""
    count, batches = course
    database, told = asyncio.run(_played(count, batches))
    tables = database.tables
    [row] = tables.quotes.values()
    assert row.status is QuoteStatus.COMPLETED
    assert row.open_lines == 0
    assert [event.sequence for event in told] == list(range(1, count + 2))
    assert [isinstance(event.data, AllEnded) for event in told] == [False] * count + [True]
    assert tables.events[row.quote.id] == told

    offering = [each for each in tables.lines.values() if each.status is LineStatus.OFFERED]
    assert {offer.line_id for offer in tables.offers.values()} == {each.id for each in offering}
    assert len(tables.offers) == row.offers == len(offering)
    assert all(LIMITS.allow(offer.premium) for offer in tables.offers.values())
    assert all(offer.cycle.status is OfferStatus.ACTIVE for offer in tables.offers.values())

    kinds = [type(event) for event in tables.published]
    assert kinds.count(OfferReceived) == len(offering)
    assert kinds.count(InsurerGaveNoOffer) == count - len(offering)
    assert kinds.count(QuoteCompleted) == 1
    assert kinds[-1] is QuoteCompleted
    for first, second in pairwise(tables.published):
        if isinstance(first, OfferRefused):
            assert isinstance(second, InsurerGaveNoOffer)


async def _played(count: int, batches: list[list[tuple[int, Verdict]]]) -> tuple[FakeDatabase, list[QuoteEvent]]:
    database, told = FakeDatabase(), []
    new = quote()
    lines = [line(new, f"i{place}", LineStatus.SENT) for place in range(count)]
    async with database.transaction() as store:
        await store.add_quote(new, lines, None)
    for batch in batches:
        ended = [Ended(line=lines[place], verdict=verdict) for place, verdict in batch]
        async with database.transaction() as store:
            told += await end_lines(store, new, ended, NOW)
    return database, told


@given(amounts)
def test_a_quote_that_ends_past_its_time_says_so(answer: Offered) -> None:
    """After a day's outage the stream would say that a quote is complete that nobody can use any more."""

    async def late() -> list[QuoteEvent]:
        database, new = FakeDatabase(), quote()
        only = line(new, "one", LineStatus.SENT)
        async with database.transaction() as store:
            await store.add_quote(new, [only], None)
            after = NOW + timedelta(hours=24)
            longer = msgspec.structs.replace(answer, expires_at=after + timedelta(hours=1))
            return await end_lines(store, new, [Ended(line=only, verdict=judge(longer, None, after))], after)

    last = asyncio.run(late())[-1].data
    assert isinstance(last, AllEnded)
    assert last.status is QuoteStatus.EXPIRED
