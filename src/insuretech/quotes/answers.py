"""Taking down how insurers answered: each step changes lines, offers, the live stream and the outbox together."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal, cast

import msgspec

from insuretech.contracts.events import InsurerGaveNoOffer, OfferReceived, OfferRefused
from insuretech.contracts.insurers import Offered
from insuretech.kit.events import Event
from insuretech.kit.ids import new_id
from insuretech.quotes.domain import (
    LINES,
    OUTSIDE_CORRIDOR,
    LineStatus,
    OfferStatus,
    QuoteStatus,
    Verdict,
    closing_status,
    plain_reason,
    takes_late_answers,
)
from insuretech.quotes.ports import (
    AllEnded,
    Ending,
    EventKind,
    LateAnswer,
    Line,
    NewOffer,
    NoOfferLine,
    OfferLine,
    Progress,
    Quote,
    QuoteEvent,
    Store,
)

NoOffer = Literal["declined", "referred", "invalid", "timed_out", "unavailable"]


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """A line, as it was last known, and how it ends."""

    line: Line
    verdict: Verdict


async def end_lines(store: Store, quote: Quote, ended: Sequence[Ended], now: datetime) -> list[QuoteEvent]:
    """Let lines of one quote end, and the quote with the last of them; the live events to be told after the commit.

    Lines that are not any more as they were known are left alone: someone else was faster. A quote without any line
    ends by the end of none.
    """
    closing = closing_status(now, quote.expires_at)
    offers = {step.line.id: _new_offer(step.line, step.verdict.offered) for step in ended if step.verdict.offered}
    endings = [_ending(quote, step, offers.get(step.line.id)) for step in ended]
    progress = await store.end_lines(quote.id, endings, closing, now)
    if progress is None:
        return []
    return _live_events([ending for ending in endings if ending.line_id in progress.moved], closing, progress)


async def keep_late(store: Store, line: Line, verdict: Verdict, now: datetime) -> bool:
    """Keep what an insurer said after we had given up on it; True when this is news."""
    if not takes_late_answers(line.status):
        return False
    premium = verdict.offered.premium if verdict.offered else verdict.outside
    return await store.keep_late(line, LateAnswer(outcome=verdict.outcome, premium=premium), now)


async def revise_offer(store: Store, quote: Quote, line: Line, verdict: Verdict, now: datetime) -> bool:
    """Follow an insurer that changed or took back an offer nobody has chosen yet; True when something changed."""
    kept = await store.offer_of_line(line)
    if kept is None or kept.cycle.status is not OfferStatus.ACTIVE or now >= kept.cycle.expires_at:
        return False
    offered = verdict.offered
    if offered is None:
        if verdict.outcome is LineStatus.UNAVAILABLE:
            return False
        await store.keep_offer(kept, kept.cycle.withdrawn())
        return True
    if (offered.offer_number, offered.premium) == (kept.offer_number, kept.premium):
        return False
    await store.keep_offer(kept, kept.cycle.repriced())
    offer = _new_offer(line, offered)
    await store.add_offer(offer, now)
    await store.publish([_offer_received(quote, offer)], now)
    return True


def _ending(quote: Quote, step: Ended, offer: NewOffer | None) -> Ending:
    return Ending(
        line_id=step.line.id,
        insurer=step.line.insurer,
        before=step.line.status,
        outcome=LINES.move(step.line.status, step.verdict.outcome),
        reason=step.verdict.reason,
        offer=offer,
        kind=_KINDS[step.verdict.outcome],
        told=_offer_line(offer) if offer else _no_offer_line(step),
        facts=(_offer_received(quote, offer),) if offer else _no_offer(quote, step),
    )


def _new_offer(line: Line, offered: Offered) -> NewOffer:
    return NewOffer(
        id=new_id(),
        quote_id=line.quote_id,
        line_id=line.id,
        insurer=line.insurer,
        offer_number=offered.offer_number,
        premium=offered.premium,
        expires_at=offered.expires_at,
    )


def _live_events(moved: Sequence[Ending], closing: QuoteStatus, progress: Progress) -> list[QuoteEvent]:
    """The stream's events as they were kept: in the order of the steps, numbered up to ``progress.last_event``."""
    told = [(ending.kind, ending.told) for ending in moved if ending.kind and ending.told]
    over = progress.status is closing
    first = progress.last_event - len(told) + (not over)
    events = [QuoteEvent(sequence=first + place, kind=kind, data=data) for place, (kind, data) in enumerate(told)]
    if over:
        ended = AllEnded(status=progress.status, offers=progress.offers)
        events.append(QuoteEvent(sequence=progress.last_event, kind="completed", data=ended))
    return events


_KINDS: Mapping[LineStatus, EventKind] = {
    LineStatus.OFFERED: "offer",
    LineStatus.DECLINED: "declined",
    LineStatus.REFERRED: "declined",
    LineStatus.INVALID: "declined",
    LineStatus.TIMED_OUT: "timed_out",
    LineStatus.UNAVAILABLE: "unavailable",
}


def _offer_line(offer: NewOffer) -> OfferLine:
    return OfferLine(offer_id=offer.id, insurer=offer.insurer, premium=offer.premium, expires_at=offer.expires_at)


def _no_offer_line(step: Ended) -> NoOfferLine:
    outcome = step.verdict.outcome
    return NoOfferLine(insurer=step.line.insurer, outcome=outcome, reason=step.verdict.reason or plain_reason(outcome))


def _offer_received(quote: Quote, offer: NewOffer) -> OfferReceived:
    return OfferReceived(
        quote_id=quote.id,
        offer_id=offer.id,
        owner=quote.owner,
        product=quote.product,
        product_version=quote.product_version,
        insurer=offer.insurer,
        offer_number=offer.offer_number,
        premium=offer.premium,
        expires_at=offer.expires_at,
        starts_on=quote.starts_on,
        ends_on=quote.ends_on,
    )


def _no_offer(quote: Quote, step: Ended) -> tuple[Event, ...]:
    """An insurer's own words may repeat the answers, which are personal data: the event carries ours instead."""
    insurer, outside, limits = step.line.insurer, step.verdict.outside, quote.limits
    facts: list[Event] = []
    if outside is not None and limits is not None:
        facts.append(
            OfferRefused(
                quote_id=quote.id, insurer=insurer, premium=outside, corridor_min=limits.min, corridor_max=limits.max
            )
        )
    outcome = step.verdict.outcome
    words = plain_reason(outcome) if outside is None else OUTSIDE_CORRIDOR
    facts.append(
        InsurerGaveNoOffer(quote_id=quote.id, insurer=insurer, outcome=cast("NoOffer", outcome.value), reason=words.en)
    )
    return tuple(facts)
