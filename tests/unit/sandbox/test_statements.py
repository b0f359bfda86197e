"""Registers as the outside world writes them: readable by us, and wrong exactly where they were told to be."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from insuretech.sandbox.domain import Slips
from insuretech.sandbox.statements import (
    Entry,
    insurer_statement,
    payments_register,
    refunds_register,
    slipped,
)
from insuretech.settlement.reconciliation.domain.columns import columns_of
from insuretech.settlement.reconciliation.domain.matching import Line, Side, match
from insuretech.settlement.reconciliation.domain.reading import Outcome, StatementLine, read_lines
from insuretech.settlement.reconciliation.files import rows_of

BEGIN = datetime(2026, 10, 1, 9, tzinfo=UTC)
ENTRIES = [
    Entry(f"BYS-{number:010d}", BEGIN + timedelta(hours=number), Decimal(1000 + number)) for number in range(1, 201)
]
ENTRIES.append(Entry("BYS-0000000001", BEGIN + timedelta(days=9), Decimal("-400.50")))


def read(content: bytes, party: str) -> list[StatementLine]:
    """What our reader makes of a register; it must find no fault."""
    columns, outcome = columns_of(party), Outcome()
    lines = list(read_lines(rows_of(content, columns), columns, outcome))
    assert outcome.fault_count == 0, outcome.faults
    return lines


def sides(lines: list[StatementLine]) -> list[Line]:
    """Lines as the comparison looks at them."""
    return [(line.key, line.entry, Side(line.amount, line.day)) for line in lines]


@pytest.mark.parametrize("insurer", ["bystra", "tihohod", "kabinet", "molchun"])
def test_an_honest_register_agrees_with_the_books(insurer: str) -> None:
    """Whichever program an insurer exports from, its register says what is in its books."""
    honest = read(insurer_statement(insurer, slipped(ENTRIES, Slips())), insurer)
    assert len(honest) == len(ENTRIES)
    assert sum(line.amount for line in honest) == sum(entry.amount for entry in ENTRIES)
    assert Counter(line.entry for line in honest) == {"premium": 200, "return": 1}


def test_slips_are_what_they_are_called_and_the_same_every_time() -> None:
    """A rehearsal must bring the discrepancies it was asked for, and again the same ones."""
    slips = Slips(
        statement_omits=0.1, statement_amounts=0.1, statement_days=0.1, statement_doubles=0.1, statement_invents=3
    )
    content = insurer_statement("bystra", slipped(ENTRIES, slips))
    assert content == insurer_statement("bystra", slipped(ENTRIES, slips))
    ours = sides(read(insurer_statement("bystra", slipped(ENTRIES, Slips())), "bystra"))
    _, findings = match(ours, sides(read(content, "bystra")))
    kinds = Counter(finding.kind.value for finding in findings)
    assert kinds.pop("only_theirs") == 3
    assert set(kinds) == {"only_ours", "amount_differs", "day_differs", "duplicate_theirs"}
    assert all(5 <= count <= 40 for count in kinds.values()), kinds


def test_the_providers_registers_can_be_read() -> None:
    """They are laid out as the real ones: two lines before the table, a count after it."""
    taken = [Entry("2d5a-1", BEGIN, Decimal("100.00"), "Заказ; с точкой"), Entry("2d5a-2", BEGIN, Decimal("0.50"))]
    lines = read(payments_register("shop", "2026-10", iter(taken)), "yookassa.payments")
    assert [(line.number, line.amount) for line in lines] == [("2d5a-1", Decimal(100)), ("2d5a-2", Decimal("0.5"))]
    back = [Entry("2d5a-1", BEGIN, Decimal("40.00"), "refund-1")]
    lines = read(refunds_register("shop", "2026-10", iter(back)), "yookassa.refunds")
    assert [(line.number, line.entry, line.amount) for line in lines] == [("2d5a-1", "return", Decimal(-40))]
