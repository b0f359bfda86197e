"""Reconciliation over a real database and a real folder, with our lines written as events would write them."""

from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from insuretech.connectors.object_storage import FolderStorage
from insuretech.contracts.statements import FetchedFile, SourceUnavailable
from insuretech.kit.clock import MOSCOW, FixedClock
from insuretech.kit.db import Database
from insuretech.kit.files import FileVault
from insuretech.kit.ids import new_id
from insuretech.kit.keyring import Keyring
from insuretech.settlement.reconciliation import queries
from insuretech.settlement.reconciliation.commands import Deed, Received, Reconciliation
from insuretech.settlement.reconciliation.domain.life import Resolution
from insuretech.settlement.reconciliation.records import Discrepancy, Note, Statement
from insuretech.settlement.reconciliation.repository import PostgresReconciliation
from insuretech.settlement.tables import lines
from tests.unit.settlement.reconciliation.files import csv_file

OCTOBER = date(2026, 10, 1)
PARTIES = ("bystra", "tihohod", "yookassa.payments", "yookassa.refunds")


class SourceOnPaper:
    """A source that gives what a test put there."""

    def __init__(self) -> None:
        self.files: dict[str, FetchedFile] = {}

    def fetches(self, party: str) -> bool:
        return party != "tihohod"

    async def fetch(self, party: str, month: date) -> FetchedFile:
        if party not in self.files:
            raise SourceUnavailable(f"nothing for {month}")
        return self.files[party]


@dataclass
class Office:
    """Reconciliation and ways to look at what it did."""

    reconciliation: Reconciliation
    database: Database
    source: SourceOnPaper

    async def our_line(
        self,
        number: str,
        premium: str,
        day: date = OCTOBER,
        *,
        insurer: str = "bystra",
        kind: str = "policy_issued",
        month: date | None = None,
        register_month: date | None = None,
    ) -> None:
        """A line of ours as an event would have written it."""
        amount = Decimal(premium)
        paid = kind.startswith("payment")
        row = {
            "id": new_id(),
            "event_id": new_id(),
            "order_id": new_id(),
            "kind": kind,
            "occurred_at": datetime.combine(day, time(12), MOSCOW),
            "month": month or day.replace(day=1),
            "insurer": insurer,
            "register_month": register_month or month or day.replace(day=1),
            "policy_number": None if paid else number,
            "payment_id": new_id() if paid else None,
            "payment_reference": number if paid else None,
            "premium": 0 if paid else amount,
            "collected": amount if paid else 0,
            "commission": 0,
            "vat": 0,
        }
        async with self.database.transaction() as connection:
            await connection.execute(sa.insert(lines).values(row))

    async def statement(
        self, content: bytes, party: str = "bystra", month: date = OCTOBER, name: str = "october.csv"
    ) -> Statement:
        """What became of a file once it was read."""
        received = await self.received(content, party, month, name)
        await self.reconciliation.read_next()
        async with self.database.reading() as connection:
            found = await queries.statement(connection, received.statement.id)
        assert found is not None
        return found

    async def received(
        self, content: bytes, party: str = "bystra", month: date = OCTOBER, name: str = "october.csv"
    ) -> Received:
        return await self.reconciliation.receive(party, month, name, content, by="olga", source="upload")

    async def lines(self, *rows: tuple[str, str, str], party: str = "bystra") -> Statement:
        """A statement with these lines."""
        return await self.statement(csv_file(rows), party)

    async def found(self, party: str = "bystra") -> list[Discrepancy]:
        async with self.database.reading() as connection:
            asked = queries.Filter(party=party, month=OCTOBER)
            return (await queries.page(connection, asked, sort="number", offset=0, limit=10_000)).items

    async def act(
        self,
        discrepancy: Discrepancy,
        action: Any,
        *,
        by: str = "olga",
        text: str = "",
        resolution: Resolution | None = None,
    ) -> None:
        """Somebody does something to a discrepancy."""
        await self.reconciliation.act(discrepancy.id, Deed(action=action, text=text, resolution=resolution), by=by)

    async def notes(self, discrepancy: Discrepancy) -> list[Note]:
        async with self.database.reading() as connection:
            return await queries.notes(connection, discrepancy.id)


def opened(database: Database, home: Path, clock: FixedClock) -> Office:
    """An office on this database, with files below this folder."""
    source, keyring = SourceOnPaper(), Keyring.open(home / "keyring.json")
    vault = FileVault(FolderStorage(home / "files"), keyring, folder="statements", purpose="settlement.statement")
    reconciliation = Reconciliation(PostgresReconciliation(database), vault, source, clock, PARTIES)
    return Office(reconciliation, database, source)
