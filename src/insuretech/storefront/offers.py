"""The page of a quote: insurers answering one by one, offers in the visitor's order, and side by side."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import msgspec
from litestar import Response

from insuretech.contracts.money import Money
from insuretech.contracts.text import Text
from insuretech.storefront.desk import Desk
from insuretech.storefront.narration import WAITING, EndedLine, ended_line, offer_state
from insuretech.storefront.ports import InsurerLine, InsurerName, Offer, Product, Quote, Refused
from insuretech.storefront.visits import Visit

SORTS = ("price", "claims")
COMPARED = 3


class OfferCard(msgspec.Struct, frozen=True, kw_only=True):
    """An offer as drawn; ``dearer`` is how much more it costs than the cheapest one beside it."""

    id: UUID
    insurer: InsurerName
    premium: Money
    expires_at: Any
    open: bool
    state_text: Text | None
    commission: str | None = None
    cheapest: bool = False
    fastest: bool = False
    dearer: Money | None = None


class LineMark(msgspec.Struct, frozen=True, kw_only=True):
    """One insurer on the bar: waiting, offered or ended."""

    name: Text
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
        quote = await self._desk.marketplace.quote(quote_id, visit.token(quote_id))
        product = await product_or_none(self._desk, quote.product)
        board = _board(quote, product, sort if sort in SORTS else SORTS[0])
        return {"quote": quote, "title": product.title if product else quote.product, "board": board}


async def product_or_none(desk: Desk, code: str) -> Product | None:
    """The product of a quote or order; a withdrawn one still has its orders."""
    try:
        return await desk.marketplace.product(code)
    except Refused:
        return None


def insurers_of(quote: Quote, product: Product | None) -> Mapping[str, InsurerName]:
    """Names and speed of claims of everyone asked: the product knows the speed, the quote the name."""
    known = {insurer.code: insurer for insurer in product.insurers} if product else {}
    return known | {
        line.code: InsurerName(code=line.code, name=line.name, claims_days=_days(line, known.get(line.code)))
        for line in quote.insurers
    }


def card_of(offer: Offer, insurers: Mapping[str, InsurerName]) -> OfferCard:
    """An offer with its insurer's name."""
    state = offer_state(offer)
    insurer = insurers.get(offer.insurer) or InsurerName(code=offer.insurer, name=Text(offer.insurer, offer.insurer))
    return OfferCard(
        id=offer.id,
        insurer=insurer,
        premium=offer.premium,
        expires_at=offer.expires_at,
        open=state is None,
        state_text=state,
        commission=offer.commission,
    )


def _days(line: InsurerLine, known: InsurerName | None) -> int | None:
    return line.claims_days or (known.claims_days if known else None)


def _board(quote: Quote, product: Product | None, sort: str) -> Board:
    insurers = insurers_of(quote, product)
    offered = {offer.insurer for offer in quote.offers}
    marks = [_mark(line, offered) for line in quote.insurers]
    cards = [card_of(offer, insurers) for offer in quote.offers]
    cards.sort(key=_by_claims if sort == "claims" else _by_price)
    ended = [line for line in quote.insurers if line.outcome not in WAITING and line.code not in offered]
    return Board(
        sort=sort,
        done=quote.status != "collecting" and not any(mark.state == "waiting" for mark in marks),
        lines=marks,
        offers=cards,
        waiting=[mark for mark in marks if mark.state == "waiting"],
        without=[ended_line(line) for line in ended],
    )


def _mark(line: InsurerLine, offered: set[str]) -> LineMark:
    if line.code in offered:
        return LineMark(name=line.name, state="offered")
    return LineMark(name=line.name, state="waiting" if line.outcome in WAITING else "ended")


def _by_price(card: OfferCard) -> tuple[bool, Any, int, str]:
    return (not card.open, card.premium.amount, _slowness(card), card.insurer.code)


def _by_claims(card: OfferCard) -> tuple[bool, int, Any, str]:
    return (not card.open, _slowness(card), card.premium.amount, card.insurer.code)


def _slowness(card: OfferCard) -> int:
    return card.insurer.claims_days or 10**6


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
            fastest=card.insurer.claims_days == soonest,
            dearer=Money(card.premium.amount - lowest, card.premium.currency) if card.premium.amount > lowest else None,
        )
        for card in cards
    ]
