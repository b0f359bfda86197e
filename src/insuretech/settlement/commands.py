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
    filed,
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
        policy = line if line.kind is LineKind.POLICY_ISSUED else await store.policy_line(event.order_id)
        if policy is None or policy.insurer is None:
            await store.add(line)
            return
        last = await store.last_closed(policy.insurer)
        if await store.add(self._completed(line, policy, last)) and policy is line:
            for waiting in await store.lines_without_policy(event.order_id):
                await store.complete(self._completed(waiting, policy, last))

    def _completed(self, line: Line, policy: Line, last_closed: date | None) -> Line:
        """The terms of the day of conclusion hold for all that follows."""
        return filed(rated(of_policy(line, policy), policy, self._terms(policy)), last_closed)

    def _terms(self, policy: Line) -> Terms | None:
        if policy.insurer is None or policy.product is None:
            return None
        return self.agreements.terms(policy.insurer, policy.product, legal_date(policy.occurred_at))

    # ------------------------------------------------------------ closing

    async def close(self, insurer: str, month: date) -> list[Register]:
        """Close a month for an insurer, and first those before it that are still open.

        Gives the registers in the order of their months; that of ``month`` also when it was closed before. There is
        none for a month without lines. Raises ``MonthNotOver``, ``MonthPassed`` or ``AgreementMissing``.
        """
        now = self.clock.now()
        if business_month(now) <= month:
            raise MonthNotOver(f"The month {month:%Y-%m} is not over in Moscow.")
        before = [await self._close(insurer, one, now) for one in await self.books.open_months(insurer, month)]
        return [register for register in (*before, await self._close(insurer, month, now)) if register is not None]

    async def _close(self, insurer: str, month: date, now: datetime) -> Register | None:
        async with self.books.transaction() as store:
            await store.lock_insurer(insurer)
            known = await store.register(insurer, month)
            if known is not None:
                return known
            last = await store.last_closed(insurer)
            if last is not None and last > month:
                raise MonthPassed(f"For {insurer} {last:%Y-%m} is closed; what came of {month:%Y-%m} since is later.")
            await self._rate_rest(store, insurer, month)
            register = await self._sum_up(store, insurer, month, now)
        if register is not None:
            self.closed()
            log.info("register.closed", number=register.number, lines=register.lines)
        return register

    async def close_due(self, month: date) -> list[Register]:
        """Close a month, and what is open from before, for every insurer that has open lines."""
        registers = []
        for insurer in await self.books.insurers_due(month):
            try:
                registers += await self.close(insurer, month)
            except (AgreementMissing, MonthPassed) as error:
                log.warning("register.not_closed", insurer=insurer, month=f"{month:%Y-%m}", reason=str(error))
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
            last = None if line.insurer is None else await store.last_closed(line.insurer)
            if last is None or line.register_month is None or line.register_month > last:
                raise NotCorrectable("The line is open: nothing was told to the insurer yet.")
            lines = [reversal_of(line, line_id=new_id(), now=now, reason=reason)]
            if restate:
                lines.append(await self._restated(store, line, now, reason))
            filed_lines = tuple(filed(one, last) for one in lines)
            for one in filed_lines:
                if not await store.add(one):
                    raise NotCorrectable("The line was reversed before.")
        return filed_lines

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

    async def _sum_up(self, store: ClosingStore, insurer: str, month: date, now: datetime) -> Register | None:
        agreement = self.agreements.latest(insurer, next_month(month) - timedelta(days=1))
        if agreement is None:
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
        register = await store.close(draft)
        if register is None:
            return None
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
