"""Lines, registers and the money in them; pure.

Rounding: every line is rounded by itself, half up to the kopeck and away from zero, and a register's totals are sums of
its lines. Nothing is ever computed from a total, so totals and lines cannot disagree.
"""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Literal, TypeVar
from uuid import UUID

import msgspec

from insuretech.contracts.dates import plus_months
from insuretech.contracts.events import PaymentCaptured, PaymentRefunded, PolicyCancelled, PolicyIssued
from insuretech.contracts.money import Money
from insuretech.kit.clock import legal_date

NOTHING = Decimal("0.00")


# ---------------------------------------------------------------- lives


class LineKind(StrEnum):
    """What a line tells of. A reversal takes another line back to the kopeck, a restatement puts it right again."""

    POLICY_ISSUED = "policy_issued"
    POLICY_CANCELLED = "policy_cancelled"
    PAYMENT_CAPTURED = "payment_captured"
    PAYMENT_REFUNDED = "payment_refunded"
    HOLD_RELEASED = "hold_released"
    REVERSAL = "reversal"
    RESTATEMENT = "restatement"


class LineState(StrEnum):
    """Where a line stands between us and the insurer."""

    OPEN = "open"
    IN_REGISTER = "in_register"
    ACKNOWLEDGED = "acknowledged"
    DISPUTED = "disputed"
    SETTLED = "settled"


class RegisterStatus(StrEnum):
    """Where a register stands; from ``closed`` on its lines and totals never change."""

    CLOSED = "closed"
    PREPARED = "prepared"
    SENT = "sent"
    ACKNOWLEDGED = "acknowledged"
    SETTLED = "settled"


LINE_MOVES: Mapping[LineState, frozenset[LineState]] = {
    LineState.OPEN: frozenset({LineState.IN_REGISTER}),
    LineState.IN_REGISTER: frozenset({LineState.ACKNOWLEDGED, LineState.DISPUTED}),
    LineState.ACKNOWLEDGED: frozenset({LineState.DISPUTED, LineState.SETTLED}),
    LineState.DISPUTED: frozenset({LineState.ACKNOWLEDGED, LineState.SETTLED}),
    LineState.SETTLED: frozenset(),
}
"""What may follow what. A dispute may be raised after the receipt was confirmed, and withdrawn."""

REGISTER_MOVES: Mapping[RegisterStatus, frozenset[RegisterStatus]] = {
    RegisterStatus.CLOSED: frozenset({RegisterStatus.PREPARED}),
    RegisterStatus.PREPARED: frozenset({RegisterStatus.SENT}),
    RegisterStatus.SENT: frozenset({RegisterStatus.ACKNOWLEDGED}),
    RegisterStatus.ACKNOWLEDGED: frozenset({RegisterStatus.SETTLED}),
    RegisterStatus.SETTLED: frozenset(),
}

LINES_OF: Mapping[RegisterStatus, LineState] = {
    RegisterStatus.CLOSED: LineState.IN_REGISTER,
    RegisterStatus.PREPARED: LineState.IN_REGISTER,
    RegisterStatus.SENT: LineState.IN_REGISTER,
    RegisterStatus.ACKNOWLEDGED: LineState.ACKNOWLEDGED,
    RegisterStatus.SETTLED: LineState.SETTLED,
}
"""Where the lines of a register stand, unless said otherwise of a line; without a closed register they are open."""

_State = TypeVar("_State", LineState, RegisterStatus)


def sources_of(target: _State, moves: Mapping[_State, frozenset[_State]]) -> tuple[_State, ...]:
    """The states from which ``target`` may be reached: a change names them and counts the rows it found."""
    return tuple(state for state, following in moves.items() if target in following)


# ---------------------------------------------------------------- the agency agreement


class Vat(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How VAT stands to the commission of an agreement; ``rate`` is a share of the commission without VAT.

    ``included``: the agreed share of the premium holds VAT. ``on_top``: VAT is added to it.
    """

    mode: Literal["none", "included", "on_top"]
    rate: Decimal = NOTHING


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What one version of an agreement says about one product; ``rate`` is our share of the premium.

    ``on_cancellation``: our fee follows the premium that goes back, goes back whole, or stays.
    """

    agreement: str
    rate: Decimal
    vat: Vat
    on_cancellation: Literal["proportional", "whole", "kept"]


class Fee(msgspec.Struct, frozen=True, kw_only=True):
    """Our commission without VAT, and the VAT on it."""

    commission: Decimal
    vat: Decimal

    def __neg__(self) -> "Fee":
        return Fee(commission=-self.commission, vat=-self.vat)


NO_FEE = Fee(commission=NOTHING, vat=NOTHING)


def fee_for(premium: Decimal, terms: Terms) -> Fee:
    """What we earn on a premium."""
    share = _rounded(premium * terms.rate)
    match terms.vat.mode:
        case "none":
            return Fee(commission=share, vat=NOTHING)
        case "included":
            vat = _rounded(share * terms.vat.rate / (1 + terms.vat.rate))
            return Fee(commission=share - vat, vat=vat)
        case "on_top":
            return Fee(commission=share, vat=_rounded(share * terms.vat.rate))


def fee_given_back(premium: Decimal, refund: Decimal, terms: Terms) -> Fee:
    """What we give back when ``refund`` of a premium goes back, as a positive fee.

    Proportional means that we are left with the fee on what the insurer keeps, so a whole refund leaves nothing.
    """
    match terms.on_cancellation:
        case "kept":
            return NO_FEE
        case "whole":
            return fee_for(premium, terms)
        case "proportional":
            earned, left = fee_for(premium, terms), fee_for(premium - refund, terms)
            return Fee(commission=earned.commission - left.commission, vat=earned.vat - left.vat)


def _rounded(amount: Decimal) -> Decimal:
    return Money.rounded(amount).amount


# ---------------------------------------------------------------- lines


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One entry between an insurer and us. Amounts are roubles with their sign, as seen by the insurer.

    ``premium`` the insurer's claim by contracts, ``collected`` money that came to us or went back, ``commission`` and
    ``vat`` our fee. ``month`` is the first day of the month in Moscow in which it happened, ``register_month`` that of
    the register it belongs to. ``insurer`` is None until the policy of the order is known, and with it
    ``register_month``; ``agreement`` is None until there are terms for a fee.
    """

    id: UUID
    event_id: UUID | None
    order_id: UUID
    kind: LineKind
    occurred_at: datetime
    month: date
    insurer: str | None = None
    register_month: date | None = None
    product: str | None = None
    policy_id: UUID | None = None
    policy_number: str | None = None
    starts_on: date | None = None
    ends_on: date | None = None
    cancelled_on: date | None = None
    payment_id: UUID | None = None
    payment_reference: str | None = None
    premium: Decimal = NOTHING
    collected: Decimal = NOTHING
    commission: Decimal = NOTHING
    vat: Decimal = NOTHING
    rate: Decimal | None = None
    agreement: str | None = None
    reverses: UUID | None = None
    restates: UUID | None = None
    reason: str | None = None


class CurrencyNotSettled(ValueError):
    """Registers are kept in roubles; a line in another currency would add up to nonsense."""


SettledEvent = PolicyIssued | PolicyCancelled | PaymentCaptured | PaymentRefunded


def business_month(moment: datetime) -> date:
    """The first day of the month, by the calendar of Moscow."""
    return legal_date(moment).replace(day=1)


def next_month(month: date) -> date:
    """The first day of the month that follows."""
    return plus_months(month, 1)


def line_of(event: SettledEvent, *, line_id: UUID, event_id: UUID, occurred_at: datetime) -> Line:
    """What an event says by itself; only ``PolicyIssued`` knows the insurer. Raises ``CurrencyNotSettled``."""
    line = Line(
        id=line_id,
        event_id=event_id,
        order_id=event.order_id,
        kind=LineKind.POLICY_ISSUED,
        occurred_at=occurred_at,
        month=business_month(occurred_at),
    )
    match event:
        case PolicyIssued():
            return _changed(
                line,
                insurer=event.insurer,
                product=event.product,
                policy_id=event.policy_id,
                policy_number=event.number,
                starts_on=event.starts_on,
                ends_on=event.ends_on,
                premium=_roubles(event.premium),
            )
        case PolicyCancelled():
            return _changed(
                line,
                kind=LineKind.POLICY_CANCELLED,
                policy_id=event.policy_id,
                policy_number=event.number,
                cancelled_on=event.cancelled_on,
                premium=-_roubles(event.refund),
            )
        case PaymentCaptured():
            return _changed(
                line,
                kind=LineKind.PAYMENT_CAPTURED,
                payment_id=event.payment_id,
                payment_reference=event.provider_id or None,
                collected=_roubles(event.amount),
            )
        case PaymentRefunded(voided=True):
            return _changed(line, kind=LineKind.HOLD_RELEASED, payment_id=event.payment_id)
        case PaymentRefunded():
            return _changed(
                line,
                kind=LineKind.PAYMENT_REFUNDED,
                payment_id=event.payment_id,
                payment_reference=event.provider_id or None,
                collected=-_roubles(event.amount),
            )


def of_policy(line: Line, policy: Line) -> Line:
    """A line with what the policy of its order adds; ``policy`` is the line of its issue."""
    return _changed(
        line,
        insurer=policy.insurer,
        product=policy.product,
        policy_id=policy.policy_id,
        policy_number=policy.policy_number,
        starts_on=policy.starts_on,
        ends_on=policy.ends_on,
    )


def rated(line: Line, policy: Line, terms: Terms | None) -> Line:
    """A line with our fee by the terms the policy was concluded under; unchanged where there are none."""
    if terms is None:
        return line
    fee = NO_FEE
    if line.kind is LineKind.POLICY_ISSUED:
        fee = fee_for(line.premium, terms)
    elif line.kind is LineKind.POLICY_CANCELLED:
        fee = -fee_given_back(policy.premium, -line.premium, terms)
    return _changed(line, commission=fee.commission, vat=fee.vat, rate=terms.rate, agreement=terms.agreement)


def filed(line: Line, last_closed: date | None) -> Line:
    """A line with the register it belongs to: that of its month, or the first after the last one closed."""
    if last_closed is None or line.month > last_closed:
        return _changed(line, register_month=line.month)
    return _changed(line, register_month=next_month(last_closed))


def reversal_of(line: Line, *, line_id: UUID, now: datetime, reason: str) -> Line:
    """A line that takes ``line`` back to the kopeck, open for the next register."""
    return _changed(
        line,
        id=line_id,
        event_id=None,
        kind=LineKind.REVERSAL,
        occurred_at=now,
        month=business_month(now),
        premium=-line.premium,
        collected=-line.collected,
        commission=-line.commission,
        vat=-line.vat,
        reverses=line.id,
        restates=None,
        reason=reason,
        register_month=None,
    )


def restatement_of(line: Line, policy: Line, terms: Terms, *, line_id: UUID, now: datetime, reason: str) -> Line:
    """``line`` said again by other ``terms``, open for the next register; goes with its reversal."""
    return _changed(
        rated(line, policy, terms),
        id=line_id,
        event_id=None,
        kind=LineKind.RESTATEMENT,
        occurred_at=now,
        month=business_month(now),
        reverses=None,
        restates=line.id,
        reason=reason,
        register_month=None,
    )


def _roubles(money: Money) -> Decimal:
    if money.currency != "RUB":
        raise CurrencyNotSettled(f"{money.currency} is not settled, only RUB is")
    return money.amount


def _changed(line: Line, **changes: object) -> Line:
    return msgspec.structs.replace(line, **changes)


# ---------------------------------------------------------------- registers


class Register(msgspec.Struct, frozen=True, kw_only=True):
    """All that is between an insurer and us for a month, closed. ``number`` reads ``2026-10/bystra``.

    ``payable`` is what we owe the insurer: collected money, less our fee where the agreement lets us keep it.
    """

    id: UUID
    number: str
    insurer: str
    month: date
    status: RegisterStatus
    closed_at: datetime
    lines: int
    premium: Decimal
    collected: Decimal
    commission: Decimal
    vat: Decimal
    payable: Decimal
    settlement: Literal["net", "gross"]

    def summed(
        self, *, lines: int, premium: Decimal, collected: Decimal, commission: Decimal, vat: Decimal
    ) -> "Register":
        """The register with the sums of its lines."""
        due = payable(self.settlement, collected=collected, commission=commission, vat=vat)
        return msgspec.structs.replace(
            self, lines=lines, premium=premium, collected=collected, commission=commission, vat=vat, payable=due
        )


class MonthTotal(msgspec.Struct, frozen=True, kw_only=True):
    """The lines of one product and kind in a register, summed."""

    product: str
    kind: LineKind
    lines: int
    premium: Decimal
    collected: Decimal
    commission: Decimal
    vat: Decimal


class UncollectedPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """A policy whose premium by contract is more than the money collected for it."""

    order_id: UUID
    insurer: str
    policy_number: str
    since: datetime
    premium: Decimal
    collected: Decimal


def register_number(insurer: str, month: date) -> str:
    """How people name a register; there is one per insurer and month."""
    return f"{month:%Y-%m}/{insurer}"


def payable(settlement: Literal["net", "gross"], *, collected: Decimal, commission: Decimal, vat: Decimal) -> Decimal:
    """What we owe: all that was collected, less our fee when it is kept back (``net``) and not invoiced (``gross``)."""
    return collected - commission - vat if settlement == "net" else collected


# ---------------------------------------------------------------- what is to be done with a closed register


class TaskState(StrEnum):
    """Files are made, sent, and their receipt confirmed; ``failed`` waits for a person."""

    PREPARING = "preparing"
    WAITING = "waiting"
    SENT = "sent"
    ACKNOWLEDGED = "acknowledged"
    FAILED = "failed"


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """Where a register is on its way to the insurer; ``message_id`` stays the same over all attempts."""

    register_id: UUID
    channel: Literal["api", "mail"]
    message_id: str
    state: TaskState
    created_at: datetime
    attempts: int = 0
    due_at: datetime | None = None
    error: str | None = None
    sent_at: datetime | None = None
    acknowledged_at: datetime | None = None

    def next(self, state: TaskState, now: datetime) -> "Task":
        """The task after a step that went well; what follows is due at once, unless nothing does."""
        ended = state is TaskState.ACKNOWLEDGED
        return msgspec.structs.replace(
            self,
            state=state,
            attempts=0,
            due_at=None if ended else now,
            error=None,
            sent_at=now if state is TaskState.SENT else self.sent_at,
            acknowledged_at=now if ended else None,
        )

    def again(self, now: datetime, error: str | None, *, give_up: bool = False) -> "Task":
        """The task after a step that did not go well, or whose answer is not there yet; bounded in number."""
        if give_up or self.attempts >= TRIES[self.state]:
            return msgspec.structs.replace(self, state=TaskState.FAILED, due_at=None, error=error or "no answer")
        pause = min(_FIRST_PAUSE * 2 ** min(self.attempts - 1, 20), _LONGEST_PAUSE)
        return msgspec.structs.replace(self, due_at=now + pause, error=error)


TRIES: Mapping[TaskState, int] = {TaskState.PREPARING: 24, TaskState.WAITING: 24, TaskState.SENT: 24 * 30}
"""Attempts at a step before a person is called: about a day of them, and a month for the insurer's answer."""

_FIRST_PAUSE = timedelta(seconds=5)
_LONGEST_PAUSE = timedelta(hours=1)
