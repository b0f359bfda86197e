"""What pages, the API and commands look at: queries on connections of their own, and names of parties."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import date
from uuid import UUID

import msgspec

from insuretech.contracts.text import Text
from insuretech.kit.db import Database
from insuretech.kit.problems import NotFound
from insuretech.settlement.reconciliation import queries
from insuretech.settlement.reconciliation.domain.life import CLOSED, Action, possible
from insuretech.settlement.reconciliation.queries import Filter, Page
from insuretech.settlement.reconciliation.records import (
    Discrepancy,
    ElsewhereLine,
    KindTotal,
    MonthState,
    Note,
    Statement,
)


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """A month with one party: where it stands, what differs by kind, and every file that came."""

    state: MonthState
    kinds: list[KindTotal]
    statements: list[Statement]


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One discrepancy with its trail, our lines of the same number elsewhere, and what can be done now."""

    discrepancy: Discrepancy
    notes: list[Note]
    elsewhere: list[ElsewhereLine]
    actions: tuple[Action, ...]
    can_undo: bool


@dataclass(frozen=True)
class Overview:
    """Everything that is only looked at. ``parties`` are insurers and the provider's registers, with their names."""

    database: Database
    parties: Mapping[str, Text]

    def name(self, party: str) -> Text:
        return self.parties.get(party) or Text(party, party)

    async def months(self) -> list[date]:
        """Months in which anything happened, the newest first."""
        async with self.database.reading() as connection:
            return await queries.months(connection)

    async def month(self, month: date) -> list[MonthState]:
        """All parties that have anything in a month."""
        async with self.database.reading() as connection:
            return await queries.month_states(connection, month, tuple(self.parties))

    async def comparison(self, party: str, month: date) -> Comparison:
        """One of them. Raises ``NotFound`` for a party that we do not know."""
        if party not in self.parties:
            raise NotFound
        async with self.database.reading() as connection:
            states = await queries.month_states(connection, month, [party])
            return Comparison(
                state=next(state for state in states if state.party == party),
                kinds=await queries.kind_totals(connection, party, month),
                statements=await queries.statement_history(connection, party, month),
            )

    async def statement(self, statement_id: UUID) -> Statement:
        """One file. Raises ``NotFound``."""
        async with self.database.reading() as connection:
            found = await queries.statement(connection, statement_id)
        if found is None:
            raise NotFound
        return found

    async def page(self, asked: Filter, *, sort: str, offset: int, limit: int) -> Page:
        async with self.database.reading() as connection:
            return await queries.page(connection, asked, sort=sort, offset=offset, limit=limit)

    async def case(self, discrepancy_id: UUID, viewer: str = "") -> Case:
        """One discrepancy with all about it. Raises ``NotFound``."""
        async with self.database.reading() as connection:
            found = await queries.discrepancy(connection, discrepancy_id)
            if found is None:
                raise NotFound
            notes = await queries.notes(connection, discrepancy_id)
            elsewhere = await queries.elsewhere(connection, found)
        last = next((note for note in reversed(notes) if note.action is not Action.COMMENT), None)
        mine = last is not None and last.author == viewer and last.action is not Action.UNDO
        return Case(
            discrepancy=found,
            notes=notes,
            elsewhere=elsewhere,
            actions=possible(found.status),
            can_undo=mine and last is not None and last.status == found.status and found.status in CLOSED,
        )

    async def beside(self, asked: Filter, shown: Discrepancy) -> tuple[UUID | None, UUID | None]:
        """The neighbours in the list by number."""
        async with self.database.reading() as connection:
            return await queries.beside(connection, asked, shown)

    async def every(self, asked: Filter) -> AsyncIterator[Discrepancy]:
        """All that are meant, one after the other."""
        async with self.database.transaction() as connection:
            async for found in queries.every(connection, asked):
                yield found
