"""The shapes the API answers with, in the caller's language."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

from insuretech.contracts.insurers import InsurerDirectory
from insuretech.contracts.money import Money
from insuretech.contracts.text import Language, Text
from insuretech.quotes.domain import LineStatus, OfferStatus, QuoteStatus
from insuretech.quotes.ports import AllEnded, NoOfferLine, OfferLine, QuoteEvent
from insuretech.quotes.queries import LineState, OfferState, QuoteState


class InsurerLineView(msgspec.Struct, frozen=True, kw_only=True):
    """How one insurer stands with the quote; ``reason`` is a sentence where it ended without an offer.

    ``claims_days`` is the average number of days until the insurer has paid a claim.
    """

    code: str
    name: str
    outcome: LineStatus
    reason: str | None
    claims_days: int | None


class OfferView(msgspec.Struct, frozen=True, kw_only=True):
    """An insurer's offer; it may be chosen while ``status`` is ``active`` and ``expires_at`` is ahead.

    ``insurer`` is the insurer's code, ``commission`` our share of the premium.
    """

    id: UUID
    insurer: str
    insurer_name: str
    premium: Money
    expires_at: datetime
    status: OfferStatus
    claims_days: int | None
    commission: Decimal | None


class CorridorView(msgspec.Struct, frozen=True, kw_only=True):
    """The legal limits of the premium under this edition of the tariff."""

    edition: str
    min: Money
    max: Money


class InsuredView(msgspec.Struct, frozen=True, kw_only=True):
    """One answer in words."""

    label: str
    value: str


class QuoteView(msgspec.Struct, frozen=True, kw_only=True):
    """A quote with every insurer's outcome and the offers so far."""

    id: UUID
    product: str
    status: QuoteStatus
    created_at: datetime
    expires_at: datetime
    corridor: CorridorView | None
    insured: list[InsuredView]
    insurers: list[InsurerLineView]
    offers: list[OfferView]


class QuoteClosedView(msgspec.Struct, frozen=True, kw_only=True):
    """The last event of a live stream: every insurer has ended; ``offers`` is how many made one."""

    status: QuoteStatus
    offers: int


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """What people are told of an insurer."""

    name: Text
    claims_days: int | None
    commission: Decimal | None


class Views:
    """Draws states and events, with the insurers' names in the caller's language."""

    def __init__(self, insurers: InsurerDirectory) -> None:
        self._shown: Mapping[str, Shown] = {
            code: Shown(name=profile.name, claims_days=profile.claims_days, commission=profile.commission)
            for code in insurers.codes()
            for profile in (insurers.profile(code),)
        }

    def quote(self, state: QuoteState, language: Language) -> QuoteView:
        corridor = None
        if state.corridor_edition is not None and state.corridor_min is not None and state.corridor_max is not None:
            corridor = CorridorView(edition=state.corridor_edition, min=state.corridor_min, max=state.corridor_max)
        return QuoteView(
            id=state.id,
            product=state.product,
            status=state.status,
            created_at=state.created_at,
            expires_at=state.expires_at,
            corridor=corridor,
            insured=[
                InsuredView(label=line.label.in_language(language), value=line.value.in_language(language))
                for line in state.insured
            ],
            insurers=[self._line(line, language) for line in state.lines],
            offers=[self._offer(offer, language) for offer in state.offers],
        )

    def event(self, event: QuoteEvent, language: Language) -> bytes:
        """One event of a live stream in the format of the HTML standard (9.2.5)."""
        data = msgspec.json.encode(self._event(event.data, language))
        return b"event: %b\nid: %d\ndata: %b\n\n" % (event.kind.encode(), event.sequence, data)

    def _event(self, data: OfferLine | NoOfferLine | AllEnded, language: Language) -> Any:
        match data:
            case OfferLine():
                offer = OfferState(
                    id=data.offer_id,
                    insurer=data.insurer,
                    premium=data.premium,
                    expires_at=data.expires_at,
                    status=OfferStatus.ACTIVE,
                )
                return self._offer(offer, language)
            case NoOfferLine():
                line = LineState(
                    insurer=data.insurer, outcome=data.outcome, reason_ru=data.reason.ru, reason_en=data.reason.en
                )
                return self._line(line, language)
            case AllEnded():
                return QuoteClosedView(status=data.status, offers=data.offers)

    def _line(self, line: LineState, language: Language) -> InsurerLineView:
        shown = self._of(line.insurer)
        return InsurerLineView(
            code=line.insurer,
            name=shown.name.in_language(language),
            outcome=LineStatus(line.outcome),
            reason=line.reason_ru if language == "ru" else line.reason_en,
            claims_days=shown.claims_days,
        )

    def _offer(self, offer: OfferState, language: Language) -> OfferView:
        shown = self._of(offer.insurer)
        return OfferView(
            id=offer.id,
            insurer=offer.insurer,
            insurer_name=shown.name.in_language(language),
            premium=offer.premium,
            expires_at=offer.expires_at,
            status=offer.status,
            claims_days=shown.claims_days,
            commission=shown.commission,
        )

    def _of(self, code: str) -> Shown:
        """An insurer that has left the directory is still named in old quotes, if only by its code."""
        return self._shown.get(code) or Shown(name=Text(code, code), claims_days=None, commission=None)
