"""What reconciliation keeps and shows: statements, discrepancies, notes."""

from datetime import date, datetime
from decimal import Decimal
from typing import Literal
from uuid import UUID

import msgspec

from insuretech.settlement.reconciliation.domain.columns import Entry
from insuretech.settlement.reconciliation.domain.life import Action, Resolution, Status
from insuretech.settlement.reconciliation.domain.matching import Kind
from insuretech.settlement.reconciliation.domain.reading import Fault

Source = Literal["upload", "fetch", "command"]
StatementState = Literal["received", "refused", "current", "superseded"]
SYSTEM = "reconciliation"
"""Who writes the notes that no person writes."""


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """One file of the other side and what became of it.

    ``received``: to be read; ``refused``: it has faults and counts for nothing; ``current``: what we are held
    against; ``superseded``: a later file took its place. ``faults`` are the first thousand of ``fault_count``.
    """

    id: UUID
    party: str
    month: date
    state: StatementState
    version: int | None
    file_name: str
    size: int
    sha256: str
    storage_key: str
    source: Source
    received_by: str
    received_at: datetime
    attempts: int = 0
    columns_version: str | None = None
    read_at: datetime | None = None
    lines: int = 0
    total: Decimal = Decimal("0.00")
    left_out: int = 0
    faults: list[Fault] = []
    fault_count: int = 0
    matched_at: datetime | None = None
    our_lines: int = 0
    our_total: Decimal = Decimal("0.00")
    agreed: int = 0
    agreed_total: Decimal = Decimal("0.00")


class Discrepancy(msgspec.Struct, frozen=True, kw_only=True):
    """One thing in which the two books differ. ``difference`` is theirs less ours, a missing side being nothing.

    ``version`` grows with every change: who acts names the version they saw.
    """

    id: UUID
    party: str
    month: date
    kind: Kind
    entry: Entry
    number: str
    statement_id: UUID
    our_line: UUID | None
    our_amount: Decimal | None
    our_day: date | None
    their_line: int | None
    their_number: str | None
    their_amount: Decimal | None
    their_day: date | None
    difference: Decimal
    status: Status
    assignee: str | None
    resolution: Resolution | None
    found_at: datetime
    changed_at: datetime
    version: int


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was done to a discrepancy, by whom and with which words."""

    id: int
    at: datetime
    author: str
    action: Action
    status_before: Status
    status: Status
    text: str


class KindTotal(msgspec.Struct, frozen=True, kw_only=True):
    """Discrepancies of one kind: how many, how many still wait, and their sums."""

    kind: Kind
    count: int
    waiting: int
    ours: Decimal
    theirs: Decimal
    difference: Decimal


class MonthState(msgspec.Struct, frozen=True, kw_only=True):
    """Where the reconciliation with one party for one month stands."""

    party: str
    month: date
    register_number: str | None
    register_status: str | None
    our_lines: int
    our_total: Decimal
    statement: Statement | None
    waiting: int
    discrepancies: int


class ElsewhereLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line of ours with the same number in another month or under another party."""

    id: UUID
    party: str | None
    month: date
    kind: str
    amount: Decimal
    day: date
