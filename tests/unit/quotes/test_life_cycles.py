"""Life cycles refuse what is not allowed, and offers end up right whatever order the news of orders comes in."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from insuretech.kit.ids import new_id
from insuretech.quotes.domain import (
    LINES,
    OFFERS,
    QUOTES,
    UNFINISHED,
    LineStatus,
    MoveRefused,
    Offer,
    OfferStatus,
    QuoteStatus,
    closing_status,
)
from tests.unit.quotes.specimens import NOW

TTL = timedelta(hours=24)


@given(st.sampled_from(LineStatus), st.sampled_from(LineStatus))
def test_an_end_is_an_end(before: LineStatus, after: LineStatus) -> None:
    """An insurer shown as having declined would later be shown as having offered, or an ended one asked again."""
    if LINES.is_final(before):
        with pytest.raises(MoveRefused):
            LINES.move(before, after)


@pytest.mark.parametrize("answered", [LineStatus.OFFERED, LineStatus.DECLINED, LineStatus.REFERRED, LineStatus.INVALID])
def test_nobody_answers_without_having_been_asked(answered: LineStatus) -> None:
    """An offer would appear from an insurer that was never sent the answers."""
    with pytest.raises(MoveRefused):
        LINES.move(LineStatus.QUEUED, answered)


def test_unfinished_lines_are_those_the_database_index_holds() -> None:
    """A line in a state the partial index forgets would never be taken up after a restart."""
    assert UNFINISHED == (LineStatus.QUEUED, LineStatus.SENT, LineStatus.PENDING)


@given(st.sampled_from(QuoteStatus), st.sampled_from(QuoteStatus))
def test_a_quote_goes_forward_only(before: QuoteStatus, after: QuoteStatus) -> None:
    """A completed quote would start collecting again and its live stream never end."""
    order = [QuoteStatus.DRAFT, QuoteStatus.COLLECTING, QuoteStatus.COMPLETED]
    if before in order and after in order and order.index(after) <= order.index(before):
        with pytest.raises(MoveRefused):
            QUOTES.move(before, after)


def test_a_quote_that_ends_past_its_time_is_expired() -> None:
    """After a day's outage people would be told that a quote is complete which nobody can use any more."""
    assert closing_status(NOW, NOW + TTL) is QuoteStatus.COMPLETED
    assert closing_status(NOW + TTL, NOW + TTL) is QuoteStatus.EXPIRED


class OfferMachine(RuleBasedStateMachine):
    """Any sequence of what may happen to an offer, in time order."""

    offer: Offer
    now: datetime
    issued: UUID | None

    @initialize()
    def made(self) -> None:
        self.now = NOW
        self.offer = Offer(OfferStatus.ACTIVE, NOW + TTL)
        self.issued = None

    def _try(self, step: str, *arguments: object) -> bool:
        before = self.offer
        try:
            self.offer = getattr(self.offer, step)(*arguments)
        except MoveRefused:
            assert self.offer is before
            return False
        if self.offer.status is not before.status:
            OFFERS.move(before.status, self.offer.status)
        return True

    @rule(hours=st.integers(1, 10))
    def time_passes(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    @rule()
    def is_ordered(self) -> None:
        taken = self._try("reserved", new_id(), self.now)
        assert not (taken and self.now >= self.offer.expires_at)

    @precondition(lambda self: self.offer.status is OfferStatus.RESERVED)
    @rule(issued=st.booleans())
    def order_ends(self, issued: bool) -> None:
        order = self.offer.order_id
        if issued:
            assert self._try("consumed", order)
            self.issued = order
        else:
            assert self._try("released", order, self.now, self.now)

    @rule()
    def stranger_lets_go(self) -> None:
        before = self.offer.status
        self._try("released", new_id(), self.now, self.now)
        assert self.offer.status is before

    @rule(step=st.sampled_from(["withdrawn", "repriced"]))
    def insurer_changes_its_mind(self, step: str) -> None:
        free = self.offer.status is OfferStatus.ACTIVE
        assert self._try(step) is free

    @rule()
    def is_swept(self) -> None:
        free = self.offer.status is OfferStatus.ACTIVE
        assert self._try("expired", self.now) is (free and self.now >= self.offer.expires_at)

    @invariant()
    def a_policy_is_for_good(self) -> None:
        assert (self.offer.status is OfferStatus.CONSUMED) is (self.issued is not None)
        if self.issued is not None:
            assert self.offer.order_id == self.issued

    @invariant()
    def reserved_means_by_someone(self) -> None:
        if self.offer.status is OfferStatus.RESERVED:
            assert self.offer.order_id is not None
        if self.offer.status is OfferStatus.ACTIVE:
            assert self.offer.order_id is None


TestOfferMachine = OfferMachine.TestCase


@dataclass(frozen=True)
class News:
    """One event of an order."""

    order: UUID
    kind: str
    at: datetime


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[News], list[News]]:
    """Orders on one offer, one after the other, and an order of delivery that keeps only each order's own sequence."""
    truth: list[list[News]] = []
    at = NOW
    for place in range(draw(st.integers(1, 4))):
        order = UUID(int=place + 1)
        events = [News(order, "placed", at)]
        at += timedelta(minutes=1)
        ending = draw(st.sampled_from(["closed", "closed", "issued", "alive"]))
        if ending != "alive":
            events.append(News(order, ending, at))
            at += timedelta(minutes=1)
        truth.append(events)
        if ending != "closed":
            break
    queues = [list(events) for events in truth]
    delivered = []
    while any(queues):
        queue = draw(st.sampled_from([queue for queue in queues if queue]))
        delivered.append(queue.pop(0))
    return [news for events in truth for news in events], delivered


def _told(offer: Offer, news: News, now: datetime) -> Offer:
    try:
        match news.kind:
            case "placed":
                return offer.reserved(news.order, news.at)
            case "closed":
                return offer.released(news.order, news.at, now)
            case _:
                return offer.consumed(news.order)
    except MoveRefused:
        return offer


@given(histories())
def test_news_of_orders_may_overtake_each_other(history: tuple[list[News], list[News]]) -> None:
    """An offer someone is paying for would be shown as free, or a free one as taken, because events came late."""
    truth, delivered = history
    now = NOW + timedelta(hours=1)
    right = wrong = Offer(OfferStatus.ACTIVE, NOW + TTL)
    for news in truth:
        right = _told(right, news, now)
    for news in delivered:
        wrong = _told(wrong, news, now)
    assert (wrong.status, wrong.order_id) == (right.status, right.order_id)


def test_news_of_an_order_that_was_buried_and_replayed_does_no_harm() -> None:
    """Replaying a dead letter of an order long closed would reserve its offer for ever."""
    order = new_id()
    offer = Offer(OfferStatus.ACTIVE, NOW + TTL).released(order, NOW + timedelta(minutes=5), NOW)
    with pytest.raises(MoveRefused):
        offer.reserved(order, NOW + timedelta(minutes=1))


def test_an_order_placed_in_time_counts_after_the_clock() -> None:
    """An offer ordered in its last second would stay expired for the person who is paying."""
    offer = Offer(OfferStatus.ACTIVE, NOW + TTL).expired(NOW + TTL)
    assert offer.reserved(new_id(), NOW + TTL - timedelta(seconds=1)).status is OfferStatus.RESERVED
    with pytest.raises(MoveRefused):
        offer.reserved(new_id(), NOW + TTL)
