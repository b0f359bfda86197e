"""Recording what happened as lines, closing months, correcting what was closed."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

import structlog

from insuretech.contracts.events import RegisterClosed
from insuretech.contracts.money import Money
from insuretech.kit.clock import Clock, legal_date
from insuretech.kit.events import Envelope
from insuretech.kit.failures import Unusable
from insuretech.kit.ids import new_id
from insuretech.settlement.agreements import Agreements, ApiChannel
from insuretech.settlement.domain import (
    NOTHING,
    Line,
    LineKind,
    Register,
    RegisterStatus,
    SettledEvent,
    Task,
    TaskState,
    Terms,
    business_month,
    line_of,
    next_month,
    of_policy,
    rated,
    register_number,
    restatement_of,
    reversal_of,
)
from insuretech.settlement.ports import Books, ClosingStore, LineStore

log = structlog.get_logger(__name__)

_BATCH = 500


class MonthNotOver(Unusable):
    """Events of the month still come."""


class MonthPassed(Unusable):
    """A later month is closed: what was open went into its register."""


class AgreementMissing(Unusable):
    """There are lines that no agreement says our fee for."""


class NotCorrectable(Unusable):
    """The line cannot be reversed: there is none, it is still open, or it was reversed before."""


@dataclass(frozen=True)
class Bookkeeping:
    """The use cases that write lines and registers."""

    books: Books
    agreements: Agreements
    clock: Clock
    mail_domain: str
    closed: Callable[[], None] = lambda: None
    """Called after a register was closed, so that its files are made at once."""

    # ------------------------------------------------------------ lines

    async def record(self, store: LineStore, event: SettledEvent, envelope: Envelope) -> None:
        """Turn an event into its line; whatever the order of an order's events, the lines come out the same."""
        await store.lock_order(event.order_id)
        line = line_of(event, line_id=new_id(), event_id=envelope.id, occurred_at=envelope.occurred_at)
        if line.kind is LineKind.POLICY_ISSUED:
            await self._record_policy(store, rated(line, line, self._terms(line)))
            return
        policy = await store.policy_line(event.order_id)
        await store.add(line if policy is None else self._completed(line, policy))

    async def _record_policy(self, store: LineStore, policy: Line) -> None:
        if await store.add(policy):
            for line in await store.lines_without_policy(policy.order_id):
                await store.complete(self._completed(line, policy))

    def _completed(self, line: Line, policy: Line) -> Line:
        """The terms of the day of conclusion hold for all that follows."""
        return rated(of_policy(line, policy), policy, self._terms(policy))

    def _terms(self, policy: Line) -> Terms | None:
        if policy.insurer is None or policy.product is None:
            return None
        return self.agreements.terms(policy.insurer, policy.product, legal_date(policy.occurred_at))

    # ------------------------------------------------------------ closing

    async def close(self, insurer: str, month: date) -> Register | None:
        """Close a month for an insurer; the register there is, when it was closed before; None without any line.

        Raises ``MonthNotOver``, ``MonthPassed`` or ``AgreementMissing``.
        """
        now = self.clock.now()
        if business_month(now) <= month:
            raise MonthNotOver(f"The month {month:%Y-%m} is not over in Moscow.")
        async with self.books.transaction() as store:
            await store.lock_insurer(insurer)
            known = await store.register(insurer, month)
            if known is not None:
                return known
            last = await store.last_closed(insurer)
            if last is not None and last > month:
                raise MonthPassed(f"For {insurer} {last:%Y-%m} is closed; what was open of {month:%Y-%m} is in there.")
            await self._rate_rest(store, insurer, month)
            register = await self._close(store, insurer, month, now)
        if register is not None:
            self.closed()
            log.info("register.closed", number=register.number, lines=register.lines)
        return register

    async def close_due(self, month: date) -> list[Register]:
        """Close a month, and what is open from before, for every insurer that has open lines."""
        registers = []
        for insurer in await self.books.insurers_due(month):
            try:
                register = await self.close(insurer, month)
            except (AgreementMissing, MonthPassed) as error:
                log.error("register.not_closed", insurer=insurer, month=f"{month:%Y-%m}", reason=str(error))  # noqa: TRY400 - a sentence says it all
                continue
            registers += [register] if register is not None else []
        return registers

    async def correct(self, line_id: UUID, reason: str, *, restate: bool = False) -> tuple[Line, ...]:
        """Take a line of a closed register back in the next one, and with ``restate`` say it again by today's terms.

        Raises ``NotCorrectable``.
        """
        now = self.clock.now()
        async with self.books.transaction() as store:
            line = await store.line(line_id)
            if line is None:
                raise NotCorrectable(f"There is no line {line_id}.")
            await store.lock_order(line.order_id)
            if line.register_id is None:
                raise NotCorrectable("The line is open: nothing was told to the insurer yet.")
            lines = [reversal_of(line, line_id=new_id(), now=now, reason=reason)]
            if restate:
                lines.append(await self._restated(store, line, now, reason))
            for one in lines:
                if not await store.add(one):
                    raise NotCorrectable("The line was reversed before.")
        return tuple(lines)

    async def _restated(self, store: LineStore, line: Line, now: datetime, reason: str) -> Line:
        policy = await store.policy_line(line.order_id)
        terms = None if policy is None else self._terms(policy)
        if policy is None or terms is None:
            raise NotCorrectable("There are no terms to say the line again by.")
        return restatement_of(line, policy, terms, line_id=new_id(), now=now, reason=reason)

    async def _rate_rest(self, store: ClosingStore, insurer: str, month: date) -> None:
        """Lines that came before there was an agreement get their fee now, or nothing is closed."""
        after: UUID | None = None
        missing: set[str] = set()
        while unrated := await store.unrated(insurer, month, after, _BATCH):
            after = unrated[-1].id
            for line in unrated:
                policy = line if line.kind is LineKind.POLICY_ISSUED else await store.policy_line(line.order_id)
                terms = None if policy is None else self._terms(policy)
                if policy is None or terms is None:
                    concluded = legal_date(line.occurred_at if policy is None else policy.occurred_at)
                    missing.add(f"{line.product} concluded on {concluded}")
                else:
                    await store.complete(rated(line, policy, terms))
        if missing:
            raise AgreementMissing(f"No agreement with {insurer} covers {'; '.join(sorted(missing)[:5])}.")

    async def _close(self, store: ClosingStore, insurer: str, month: date, now: datetime) -> Register | None:
        agreement = self.agreements.latest(insurer, next_month(month) - timedelta(days=1))
        if agreement is None or not await store.any_open(insurer, month):
            return None
        draft = Register(
            id=new_id(),
            number=register_number(insurer, month),
            insurer=insurer,
            month=month,
            status=RegisterStatus.CLOSED,
            closed_at=now,
            lines=0,
            premium=NOTHING,
            collected=NOTHING,
            commission=NOTHING,
            vat=NOTHING,
            payable=NOTHING,
            settlement=agreement.settlement,
        )
        await store.open_register(draft)
        await store.take_lines(draft)
        register = await store.seal(draft)
        await store.add_task(
            Task(
                register_id=register.id,
                channel="api" if isinstance(agreement.channel, ApiChannel) else "mail",
                message_id=f"<register.{register.id}@{self.mail_domain}>",
                state=TaskState.PREPARING,
                created_at=now,
                due_at=now,
            )
        )
        await store.publish([closed_event(register)], now)
        return register


def closed_event(register: Register) -> RegisterClosed:
    """What the other services hear of a closed register."""
    return RegisterClosed(
        register_id=register.id,
        number=register.number,
        insurer=register.insurer,
        month=register.month,
        lines=register.lines,
        premium=Money(register.premium),
        collected=Money(register.collected),
        commission=Money(register.commission),
        vat=Money(register.vat),
        payable=Money(register.payable),
    )
