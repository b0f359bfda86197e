"""What reconciliation needs: its books, a place for files, and where files of the other side can be had."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from datetime import date, datetime
from typing import Protocol
from uuid import UUID

from insuretech.settlement.reconciliation.domain.columns import Columns
from insuretech.settlement.reconciliation.domain.life import Action, Resolution, Status
from insuretech.settlement.reconciliation.records import Discrepancy, Note, Statement


class ReconciliationStore(Protocol):
    """The books of reconciliation in one transaction."""

    async def lock(self, party: str, month: date) -> None:
        """Let nobody else compare this month with this party until the end of the transaction."""
        ...

    async def known_file(self, party: str, month: date, sha256: str) -> Statement | None: ...

    async def add_statement(self, statement: Statement) -> None: ...

    async def read_anew(self, statement: UUID) -> None:
        """Let a refused file be read once more."""
        ...

    async def take_lines(self, lines: AsyncIterator[bytes]) -> None:
        """Keep lines of a statement as they come, in COPY text."""
        ...

    async def drop_lines(self, statement: UUID) -> None: ...

    async def current(self, party: str, month: date) -> Statement | None: ...

    async def succeed(self, statement: Statement) -> Statement:
        """Make a statement that was read the current one, with the next version; the one before is superseded."""
        ...

    async def refuse(self, statement: Statement) -> None:
        """Keep what is wrong with a file."""
        ...

    async def compare(self, statement: Statement, columns: Columns, now: datetime) -> Statement:
        """Hold our month against a statement, and keep what is new, what changed, and what is gone."""
        ...

    async def discrepancy(self, discrepancy: UUID) -> Discrepancy | None:
        """One of them, locked."""
        ...

    async def last_step(self, discrepancy: UUID) -> Note | None:
        """The last note that is more than a comment."""
        ...

    async def change(
        self,
        found: Discrepancy,
        *,
        status: Status,
        assignee: str | None,
        resolution: Resolution | None,
        now: datetime,
    ) -> None: ...

    async def note(
        self, found: Discrepancy, *, author: str, action: Action, status: Status, text: str, now: datetime
    ) -> None: ...


class ReconciliationBooks(Protocol):
    """Transactions, and the claim on work."""

    def transaction(self) -> AbstractAsyncContextManager[ReconciliationStore]: ...

    async def claim(self, now: datetime, until: datetime) -> Statement | None:
        """A file that waits to be read, taken for this replica until then."""
        ...

    async def postpone(self, statement: Statement, until: datetime) -> None:
        """Leave a file for later; the attempt does not count."""
        ...
