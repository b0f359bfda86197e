"""The page of a quote: insurers answering one by one, offers in the visitor's order, and side by side."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
from litestar import Response

from insuretech.contracts.money import Money
from insuretech.contracts.text import Language, Text
from insuretech.storefront.desk import Desk
from insuretech.storefront.narration import WAITING, EndedLine, ended_line, offer_state, stories
from insuretech.storefront.ports import InsurerLine, Offer, Product, Quote, Refused
from insuretech.storefront.visits import Visit

SORTS = ("price", "claims")
COMPARED = 3


class OfferCard(msgspec.Struct, frozen=True, kw_only=True):
    """An offer as drawn; ``dearer`` is how much more it costs than the cheapest one beside it."""

    id: UUID
    insurer: str
    name: str
    claims_days: int | None
    premium: Money
    expires_at: datetime
    open: bool
    state_text: Text | None
    commission: Decimal | None = None
    cheapest: bool = False
    fastest: bool = False
    dearer: Money | None = None


class LineMark(msgspec.Struct, frozen=True, kw_only=True):
    """One insurer on the bar: waiting, offered or ended."""

    name: str
    state: str


class Board(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the offers' page shows."""

    sort: str
    done: bool
    lines: list[LineMark]
    offers: list[OfferCard]
    waiting: list[LineMark]
    without: list[EndedLine]

    @property
    def any_open(self) -> bool:
        return any(card.open for card in self.offers)

    @property
    def ended(self) -> int:
        return len(self.lines) - len(self.waiting)


class Offers:
    """Quotes and their offers."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def page(self, visit: Visit, quote_id: UUID, sort: str) -> Response[Any]:
        context = await self._context(visit, quote_id, sort)
        return await self._desk.page(visit, "quote.html", context)

    async def board(self, visit: Visit, quote_id: UUID, sort: str) -> Response[Any]:
        """The changing part alone; it shows the state as it is, so a missed event costs nothing."""
        return self._desk.fragment(visit, "_offers.html", await self._context(visit, quote_id, sort))

    async def compare(self, visit: Visit, quote_id: UUID, chosen: list[str]) -> Response[Any]:
        """Up to three offers side by side."""
        context = await self._context(visit, quote_id, "price")
        cards = [card for card in context["board"].offers if str(card.id) in chosen][:COMPARED]
        return await self._desk.page(visit, "compare.html", {**context, "offers": _held_together(cards)})

    async def _context(self, visit: Visit, quote_id: UUID, sort: str) -> dict[str, Any]:
        quote = await self._desk.marketplace.quote(quote_id, visit.token(quote_id), visit.language)
        product = await product_or_none(self._desk, quote.product)
        board = _board(quote, sort if sort in SORTS else SORTS[0], self._desk.clock.now(), visit.language)
        return {"quote": quote, "title": product.title if product else quote.product, "board": board}


async def product_or_none(desk: Desk, code: str) -> Product | None:
    """The product of a quote or order; a withdrawn one still has its orders."""
    try:
        return await desk.marketplace.product(code)
    except Refused:
        return None


def card_of(offer: Offer, now: datetime) -> OfferCard:
    """An offer, and whether it can still be chosen."""
    stated = offer_state(offer)
    if stated is None and offer.expires_at <= now:
        stated = stories().offers["expired"]
    return OfferCard(
        id=offer.id,
        insurer=offer.insurer,
        name=offer.insurer_name,
        claims_days=offer.claims_days,
        premium=offer.premium,
        expires_at=offer.expires_at,
        open=stated is None,
        state_text=stated,
        commission=offer.commission,
    )


def _board(quote: Quote, sort: str, now: datetime, language: Language) -> Board:
    offered = {offer.insurer for offer in quote.offers}
    marks = [_mark(line, offered) for line in quote.insurers]
    cards = [card_of(offer, now) for offer in quote.offers]
    cards.sort(key=_by_claims if sort == "claims" else _by_price)
    ended = [line for line in quote.insurers if line.outcome not in WAITING and line.code not in offered]
    return Board(
        sort=sort,
        done=quote.status != "collecting",
        lines=marks,
        offers=cards,
        waiting=[mark for mark in marks if mark.state == "waiting"],
        without=[ended_line(line, language) for line in ended],
    )


def _mark(line: InsurerLine, offered: set[str]) -> LineMark:
    if line.code in offered:
        return LineMark(name=line.name, state="offered")
    return LineMark(name=line.name, state="waiting" if line.outcome in WAITING else "ended")


def _by_price(card: OfferCard) -> tuple[bool, Any, int, str]:
    return (not card.open, card.premium.amount, _slowness(card), card.insurer)


def _by_claims(card: OfferCard) -> tuple[bool, int, Any, str]:
    return (not card.open, _slowness(card), card.premium.amount, card.insurer)


def _slowness(card: OfferCard) -> int:
    return card.claims_days or 10**6


def _held_together(cards: list[OfferCard]) -> list[OfferCard]:
    """The cards with the lowest price and the shortest wait marked, and how much dearer the others are."""
    if not cards:
        return []
    lowest = min(card.premium.amount for card in cards)
    soonest = min(_slowness(card) for card in cards)
    return [
        msgspec.structs.replace(
            card,
            cheapest=card.premium.amount == lowest,
            fastest=card.claims_days == soonest,
            dearer=Money(card.premium.amount - lowest, card.premium.currency) if card.premium.amount > lowest else None,
        )
        for card in cards
    ]
