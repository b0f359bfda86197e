"""What an insurer of the sandbox does when it is called, whatever the dialect.

Everything is keyed by the caller's reference: the first answer stands, at most one policy is concluded per reference
and per offer, and what was acknowledged is in the books.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal, TypeVar
from uuid import UUID

import msgspec

from insuretech.contracts import insurers as port
from insuretech.contracts.money import Money
from insuretech.kit.clock import Clock
from insuretech.sandbox.behaviours import Behaviours
from insuretech.sandbox.calls import OpenCall
from insuretech.sandbox.commands.playing import Stage, admit
from insuretech.sandbox.domain import (
    AnswerLost,
    Behaviour,
    CannotPrice,
    Character,
    Delivery,
    EndingRecord,
    OfferRecord,
    Outcome,
    PolicyRecord,
    ReservationRecord,
    changed_price,
    chosen_outcome,
    set_price,
)
from insuretech.sandbox.ports import InsurerBooks, InsurerTransaction, OfferJournal
from insuretech.sandbox.tariff import Tariff

A = TypeVar("A", bound=msgspec.Struct)

_REFUSALS: dict[Outcome, tuple[Literal["decline", "refer", "invalid"], str]] = {
    "decline": ("decline", "Такой риск мы не страхуем."),
    "refer": ("refer", "Заявку должен посмотреть наш андеррайтер."),
    "invalid": ("invalid", "Этих сведений нам недостаточно для расчёта."),
}
_WITHDRAWN = "Мы больше не подтверждаем это предложение."
_NO_OFFER = "Такого предложения у нас нет."
_OFFER_OVER = "Срок предложения истёк."
_RESERVATION_OVER = "Срок брони истёк."
_NOT_RESERVED = "Предложение не забронировано."
_OTHER_PREMIUM = "Премия отличается от подтверждённой."
_USED = "По этому предложению договор уже заключён."
_REFUSED = "Мы не можем заключить этот договор."
_NO_POLICY = "Такого полиса у нас нет."
_ENDED = "Полис уже прекращён."
_OVER_PREMIUM = "Возврат больше уплаченной премии."
_STAYS = "Мы не прекращаем этот договор."


@dataclass(frozen=True)
class Turn:
    """One insurer being called once."""

    character: Character
    behaviour: Behaviour
    now: datetime
    call: OpenCall

    def say(self, answer: A, detail: object = "") -> A:
        """Answer this, and let the log know."""
        self.call.answer = f"{answer.__struct_config__.tag} {detail}".strip()
        return answer


@dataclass(frozen=True)
class Desk:
    """All insurers of the sandbox. ``look`` reads the books without a transaction.

    Methods take the insurer's ``code`` (checked by the caller) and the ``dialect`` it was called in, and raise
    ``Unavailable`` or ``AnswerLost``.
    """

    behaviours: Behaviours
    stage: Stage
    tariff: Tariff
    journal: OfferJournal
    transaction: InsurerTransaction
    look: InsurerTransaction
    clock: Clock
    delivery_waits: Callable[[], None]

    async def request_offer(
        self, code: str, dialect: str, request: port.OfferRequest, callback_url: str | None = None
    ) -> port.OfferAnswer:
        asked = {"product": request.product, "version": request.product_version, **request.answers}
        async with self._turn(code, dialect, "request_offer", request.reference, asked) as turn:
            outcome = chosen_outcome(turn.behaviour, request.reference)
            admit(outcome)
            offer = await self._offer(turn, request, outcome)
            told_by: Sequence[Delivery] = ()
            if outcome == "pending" and callback_url:
                told_by = _callbacks(turn, "quote.ready", offer.reference, offer.ready_at, callback_url)
            kept = await self.journal.keep(offer, told_by)
            if told_by:
                self.delivery_waits()
            return turn.say(_offer_answer(kept, self.clock.now()), kept.premium or "")

    async def offer_state(self, code: str, dialect: str, reference: UUID) -> port.OfferState:
        async with self._turn(code, dialect, "offer_state", reference, {}) as turn:
            admit(turn.behaviour.lookup)
            async with self.look() as books:
                offer = await books.offer(code, reference)
            return turn.say(port.NotKnown() if offer is None else _offer_answer(offer, self.clock.now()))

    async def confirm_price(
        self, code: str, dialect: str, reference: UUID, offer_number: str
    ) -> port.PriceConfirmed | port.PriceRefused:
        asked = {"offer_number": offer_number}
        async with self._turn(code, dialect, "confirm_price", reference, asked) as turn:
            admit(turn.behaviour.confirm)
            async with self.transaction() as books:
                held = await books.reservation(code, reference)
                if held is None:
                    offer = await books.offer_numbered(code, offer_number)
                    if offer is None or offer.outcome != "offer":
                        return turn.say(port.PriceRefused(reason=_NO_OFFER))
                    if turn.behaviour.confirm == "refuse" or offer.expires_at <= turn.now:
                        reason = _WITHDRAWN if offer.expires_at > turn.now else _OFFER_OVER
                        return turn.say(port.PriceRefused(reason=reason))
                    held = await books.keep_reservation(_reservation(turn, reference, offer))
            if held.expires_at <= turn.now or held.offer_number != offer_number:
                return turn.say(port.PriceRefused(reason=_RESERVATION_OVER))
            return turn.say(port.PriceConfirmed(premium=Money(held.premium), expires_at=held.expires_at), held.premium)

    async def issue(
        self, code: str, dialect: str, request: port.IssueRequest, callback_url: str | None = None
    ) -> port.IssueAnswer:
        asked = {
            "offer_number": request.offer_number,
            "premium": request.premium.amount,
            "policyholder": msgspec.to_builtins(request.policyholder),
        }
        async with self._turn(code, dialect, "issue", request.reference, asked) as turn:
            mode = turn.behaviour.issue
            admit(mode)
            async with self.transaction() as books:
                known = await books.policy(code, request.reference)
                if known is not None:
                    return turn.say(_policy_answer(known, self.clock.now()), known.number or "")
                if mode == "unknown_not_issued":
                    raise AnswerLost(turn.behaviour.lost_answer)
                policy = await self._conclude(turn, books, request)
                if policy.told_from > turn.now and callback_url and mode == "pending":
                    ready_at = policy.told_from
                    for message in _callbacks(turn, "policy.ready", policy.reference, ready_at, callback_url):
                        await books.deliver(message)
            self.delivery_waits()
            answer = turn.say(_policy_answer(policy, self.clock.now()), policy.number or "")
            if mode == "unknown_issued" and policy.outcome == "issued":
                raise AnswerLost(turn.behaviour.lost_answer)
            return answer

    async def issue_state(self, code: str, dialect: str, reference: UUID) -> port.IssueState:
        async with self._turn(code, dialect, "issue_state", reference, {}) as turn:
            admit(turn.behaviour.lookup)
            async with self.look() as books:
                policy = await books.policy(code, reference)
            if policy is None:
                return turn.say(port.NotKnown())
            return turn.say(_policy_answer(policy, self.clock.now()), policy.number or "")

    async def end_policy(
        self, code: str, dialect: str, reference: UUID, policy_number: str, refund: Money
    ) -> port.EndAnswer:
        asked = {"policy_number": policy_number, "refund": refund.amount}
        async with self._turn(code, dialect, "end_policy", reference, asked) as turn:
            admit(turn.behaviour.cancel)
            async with self.transaction() as books:
                policy = await books.locked_policy(code, policy_number)
                if policy is None or policy.concluded_at > turn.now:
                    return turn.say(port.EndRefused(reason=_NO_POLICY))
                known = await books.ending(code, reference)
                if known is not None:
                    return turn.say(_ending_answer(known), known.refund)
                reason = _why_not_ended(turn, policy, refund)
                ending = EndingRecord(
                    insurer=code,
                    reference=reference,
                    policy_number=policy_number,
                    outcome="refused" if reason else "ended",
                    reason=reason or "",
                    refund=refund.amount,
                )
                await books.end_policy(ending, turn.now)
            answer = turn.say(_ending_answer(ending), refund.amount)
            if turn.behaviour.cancel == "unknown_ended" and not reason:
                raise AnswerLost(turn.behaviour.lost_answer)
            return answer

    # ------------------------------------------------------------ parts

    @asynccontextmanager
    async def _turn(
        self, code: str, dialect: str, operation: str, reference: UUID, asked: Mapping[str, object]
    ) -> AsyncIterator[Turn]:
        behaviour = self.behaviours[code]
        async with self.stage.playing(code, dialect, operation, behaviour, reference=reference, asked=asked) as call:
            yield Turn(self.behaviours.roster[code], behaviour, self.clock.now(), call)

    async def _offer(self, turn: Turn, request: port.OfferRequest, outcome: Outcome) -> OfferRecord:
        """The answer this insurer will stand by; what cannot be priced is invalid whatever the outcome."""
        behaviour, now = turn.behaviour, turn.now
        refusal = _REFUSALS.get(outcome)
        record = OfferRecord(
            insurer=turn.character.code,
            reference=request.reference,
            number=f"{turn.character.prefix}-{request.reference.hex[-16:].upper()}",
            product=request.product,
            outcome="offer" if refusal is None else refusal[0],
            reason="" if refusal is None else refusal[1],
            premium=Decimal(0),
            floor=None,
            ceiling=None,
            starts_on=None,
            ends_on=None,
            ready_at=now + timedelta(milliseconds=behaviour.pending_ms if outcome == "pending" else 0),
            expires_at=now + timedelta(seconds=behaviour.offer_valid_s),
        )
        if refusal is not None:
            return record
        try:
            priced = await self.tariff.price(
                request.product, request.answers, now, level=turn.character.level, share=behaviour.corridor_share
            )
        except CannotPrice as error:
            return msgspec.structs.replace(record, outcome="invalid", reason=str(error), ready_at=now)
        return msgspec.structs.replace(
            record,
            premium=set_price(behaviour, priced).amount,
            floor=None if priced.floor is None else priced.floor.amount,
            ceiling=None if priced.ceiling is None else priced.ceiling.amount,
            starts_on=priced.starts_on,
            ends_on=priced.ends_on,
        )

    async def _conclude(self, turn: Turn, books: InsurerBooks, request: port.IssueRequest) -> PolicyRecord:
        """Conclude the contract or refuse it for good, and put it in the books."""
        code, now, behaviour = turn.character.code, turn.now, turn.behaviour
        held = await books.reservation(code, request.reference)
        reason = _why_not_issued(turn, held, request)
        offer = None if reason else await books.offer_numbered(code, request.offer_number)
        wait = timedelta(milliseconds=0 if reason or behaviour.issue != "pending" else behaviour.pending_ms)
        lost = not reason and behaviour.issue == "unknown_issued"
        silence = timedelta(milliseconds=behaviour.lookup_after_ms if lost else 0)
        policy = PolicyRecord(
            insurer=code,
            reference=request.reference,
            outcome="refused" if reason else "issued",
            reason=reason or "",
            offer_number=request.offer_number,
            number=None if reason else f"{turn.character.prefix}-{await books.next_policy_number():010d}",
            premium=request.premium.amount,
            starts_on=None if offer is None else offer.starts_on,
            ends_on=None if offer is None else offer.ends_on,
            concluded_at=now + wait,
            told_from=now + wait + silence,
        )
        kept = await books.keep_policy(policy)
        if kept is None:
            policy = msgspec.structs.replace(
                policy, outcome="refused", reason=_USED, number=None, concluded_at=now, told_from=now
            )
            kept = await books.keep_policy(policy)
        return kept or policy


def _callbacks(turn: Turn, event: str, reference: UUID, ready_at: datetime, url: str) -> list[Delivery]:
    """The callback that tells of a result, as often as this insurer sends it."""
    behaviour = turn.behaviour
    body = msgspec.json.encode({"event": event, "external_id": reference})
    due_at = ready_at + timedelta(milliseconds=behaviour.callback_delay_ms)
    times = {"lost": 0, "duplicated": 2}.get(behaviour.callback, 1)
    signature: Literal["forged", "genuine"] = "forged" if behaviour.callback == "forged" else "genuine"
    return [Delivery(url=url, body=body, signature=signature, due_at=due_at)] * times


def _reservation(turn: Turn, reference: UUID, offer: OfferRecord) -> ReservationRecord:
    return ReservationRecord(
        insurer=turn.character.code,
        reference=reference,
        offer_number=offer.number,
        premium=changed_price(turn.behaviour, offer).amount,
        expires_at=turn.now + timedelta(seconds=turn.behaviour.reservation_valid_s),
    )


def _why_not_issued(turn: Turn, held: ReservationRecord | None, request: port.IssueRequest) -> str | None:
    if held is None or held.offer_number != request.offer_number:
        return _NOT_RESERVED
    if held.expires_at <= turn.now:
        return _RESERVATION_OVER
    if held.premium != request.premium.amount:
        return _OTHER_PREMIUM
    return _REFUSED if turn.behaviour.issue == "refuse" else None


def _why_not_ended(turn: Turn, policy: PolicyRecord, refund: Money) -> str | None:
    if policy.ended_at is not None:
        return _ENDED
    if refund.amount > policy.premium or refund.amount < 0:
        return _OVER_PREMIUM
    return _STAYS if turn.behaviour.cancel == "refuse" else None


def _pending(ready_at: datetime, now: datetime) -> port.Pending:
    """When to ask again: at most a second from now, sooner when it is ready sooner."""
    return port.Pending(retry_after=round(min(1.0, max(0.05, (ready_at - now).total_seconds())), 3))


def _offer_answer(offer: OfferRecord, now: datetime) -> port.OfferAnswer:
    if offer.ready_at > now:
        return _pending(offer.ready_at, now)
    match offer.outcome:
        case "offer":
            return port.Offered(offer_number=offer.number, premium=Money(offer.premium), expires_at=offer.expires_at)
        case "decline":
            return port.Declined(reason=offer.reason)
        case "refer":
            return port.Referred(reason=offer.reason)
        case "invalid":
            return port.Invalid(reason=offer.reason)


def _policy_answer(policy: PolicyRecord, now: datetime) -> port.IssueAnswer:
    if policy.told_from > now:
        return _pending(policy.told_from, now)
    if policy.number is None or policy.starts_on is None or policy.ends_on is None:
        return port.IssueRefused(reason=policy.reason)
    return port.Issued(
        policy_number=policy.number,
        premium=Money(policy.premium),
        starts_on=policy.starts_on,
        ends_on=policy.ends_on,
    )


def _ending_answer(ending: EndingRecord) -> port.EndAnswer:
    if ending.outcome == "refused":
        return port.EndRefused(reason=ending.reason)
    return port.PolicyEnded(refund=Money(ending.refund))
