"""What settlement needs of others: rows and, for registers, places where files go and are sent from."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import date, datetime
from typing import Protocol
from uuid import UUID

from insuretech.kit.events import Event
from insuretech.settlement.domain import Line, Register, Task


class LineStore(Protocol):
    """Lines in one transaction."""

    async def lock_order(self, order_id: UUID) -> None:
        """Let nobody else record for this order until the end of the transaction."""
        ...

    async def last_closed(self, insurer: str) -> date | None:
        """The last month closed for an insurer, which nobody closes further until the end of the transaction."""
        ...

    async def policy_line(self, order_id: UUID) -> Line | None:
        """The line of the issue of the order's policy, once it is known."""
        ...

    async def lines_without_policy(self, order_id: UUID) -> list[Line]:
        """Lines of the order that came before its policy was known."""
        ...

    async def add(self, line: Line) -> bool:
        """Keep a line; False when its event, or what it tells of, has one already."""
        ...

    async def complete(self, line: Line) -> None:
        """Keep what became known of a line: its insurer and policy, our fee."""
        ...


class ClosingStore(LineStore, Protocol):
    """What closing needs in its transaction."""

    async def lock_insurer(self, insurer: str) -> None:
        """Let nobody else close this insurer's months or record for it until the end of the transaction."""
        ...

    async def register(self, insurer: str, month: date) -> Register | None: ...

    async def unrated(self, insurer: str, until: date, after: UUID | None, limit: int) -> list[Line]:
        """Lines of registers up to a month that have no fee yet, in the order of their ids."""
        ...

    async def close(self, register: Register) -> Register | None:
        """Sum the month's lines up and keep the register with its sums; None when there are no lines."""
        ...

    async def add_task(self, task: Task) -> None: ...

    async def line(self, line_id: UUID) -> Line | None: ...

    async def publish(self, events: Sequence[Event], now: datetime) -> None: ...


class Books(Protocol):
    """Queries outside any transaction, and transactions."""

    def transaction(self) -> AbstractAsyncContextManager[ClosingStore]: ...

    async def insurers_due(self, until: date) -> list[str]:
        """Insurers with lines of a month that is not closed for them, or of one before it."""
        ...

    async def open_months(self, insurer: str, before: date) -> list[date]:
        """Months before one that have lines of an insurer and are not closed, the oldest first."""
        ...
