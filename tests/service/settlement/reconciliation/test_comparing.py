"""Our books held against the other side's, in the database."""

import asyncio
import random
from collections import Counter
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa

from insuretech.settlement.reconciliation.domain.columns import Entry
from insuretech.settlement.reconciliation.domain.matching import Side, match
from insuretech.settlement.reconciliation.records import Discrepancy
from tests.service.settlement.office import OCTOBER, Office
from tests.unit.settlement.reconciliation.files import csv_file


def kinds(found: list[Discrepancy]) -> list[tuple[str, str]]:
    """Numbers and what is wrong with them."""
    return [(each.number, each.kind.value) for each in found]


async def test_a_month_with_everything_in_it(office: Office) -> None:
    """What staff see must be what is wrong, to the kopeck, and nothing else."""
    await office.our_line("BYS-0000000001", "1000.50")
    await office.our_line("BYS-0000000002", "2000.00")
    await office.our_line("BYS-0000000003", "3000.00")
    await office.our_line("BYS-0000000004", "4000.00")
    await office.our_line("BYS-0000000004", "-1500.00", OCTOBER + timedelta(days=9), kind="policy_cancelled")
    await office.our_line("ХХХ 0000000005", "5000.00")
    await office.our_line("OTHER-1", "1.00", insurer="kabinet")
    await office.our_line("NOVEMBER-1", "1.00", date(2026, 11, 3))
    statement = await office.lines(
        ("bys 0000000001", "01.10.2026", "1 000,50"),
        ("BYS-0000000003", "01.10.2026", "3000.01"),
        ("BYS-0000000004", "02.10.2026", "4000"),
        ("BYS-0000000004", "10.10.2026", "-1500"),
        ("XXX0000000005", "01.10.2026", "5000"),
        ("XXX0000000005", "01.10.2026", "5000"),
        ("BYS-0000000009", "01.10.2026", "9"),
    )
    assert (statement.state, statement.version, statement.lines) == ("current", 1, 7)
    assert (statement.our_lines, statement.our_total) == (6, Decimal("13500.50"))
    assert (statement.agreed, statement.agreed_total) == (3, Decimal("4500.50"))
    found = await office.found()
    assert kinds(found) == [
        ("BYS-0000000002", "only_ours"),
        ("BYS-0000000003", "amount_differs"),
        ("BYS-0000000004", "day_differs"),
        ("BYS-0000000009", "only_theirs"),
        ("XXX0000000005", "duplicate_theirs"),
    ]
    assert [each.difference for each in found] == [Decimal(each) for each in ("-2000", "0.01", "0", "9", "5000")]


async def test_the_database_decides_as_the_rules_do(office: Office) -> None:
    """The rules are stated in Python and carried out in SQL: both must find the same in any two books."""
    chance = random.Random(7)
    for month in range(1, 6):
        first = date(2026, month, 1)
        sides: list[list[tuple[str, Entry, Side]]] = [[], []]
        for side in sides:
            for _ in range(chance.randrange(40)):
                amount = Decimal(chance.choice(["10.00", "10.01", "25.00", "-10.00", "-25.00"]))
                day = first + timedelta(days=chance.randrange(3))
                key = chance.choice(["A1", "A2", "B1", "ПРО7"])
                side.append((key, "return" if amount < 0 else "premium", Side(amount, day)))
        for key, entry, side_line in sides[0]:
            kind = "policy_issued" if entry == "premium" else "policy_cancelled"
            await office.our_line(key, str(side_line.amount), side_line.day, kind=kind)
        rows = [(key, each.day.isoformat(), str(each.amount)) for key, _, each in sides[1]] or [("Z", str(first), "1")]
        if not sides[1]:
            sides[1].append(("Z", "premium", Side(Decimal(1), first)))
        statement = await office.statement(csv_file(rows), month=first)
        agreed, findings = match(*sides)
        assert statement.agreed == agreed
        assert Counter(
            (each.key, each.kind.value, each.ordinal, *_figures(each.ours), *_figures(each.theirs)) for each in findings
        ) == Counter(await _kept(office, first))


def _figures(side: Side | None) -> tuple[Decimal | None, date | None]:
    return (None, None) if side is None else (side.amount, side.day)


async def _kept(office: Office, month: date) -> list[tuple[Any, ...]]:
    columns = "key, kind, ordinal, our_amount, our_day, their_amount, their_day"
    found = sa.text(f"select {columns} from settlement.discrepancies where month = :month")  # noqa: S608
    async with office.database.reading() as connection:
        return [tuple(row) for row in await connection.execute(found, {"month": month})]


async def test_an_order_once_cancelled_counts_once(office: Office) -> None:
    """Two lines of one order's policy may not be taken for a duplicate of each other."""
    await office.our_line("A1", "100")
    await office.our_line("A1", "-100", kind="policy_cancelled")
    await office.lines(("A1", "01.10.2026", "100"), ("A1", "01.10.2026", "-100"))
    assert await office.found() == []


async def test_payments_are_compared_by_the_providers_id(office: Office) -> None:
    """Money taken or given back must be the same at the provider, payment by payment."""
    await office.our_line("2d5a-1", "100", kind="payment_captured")
    await office.our_line("2d5a-2", "200", kind="payment_captured")
    await office.our_line("2d5a-2", "-50", kind="payment_refunded")
    await office.our_line("2d5a-2", "-70", kind="payment_refunded")
    heading = ("Идентификатор платежа", "Сумма платежа", "Время платежа")
    rows = [("2d5a-1", "100.00", "30.09.2026 23:59:00"), ("2d5a-2", "200.01", "05.10.2026 10:00:00")]
    await office.statement(csv_file(rows, heading), "yookassa.payments")
    assert kinds(await office.found("yookassa.payments")) == [("2d5a-2", "amount_differs")]
    heading = ("Идентификатор платежа", "Сумма возврата", "Время возврата")
    await office.statement(csv_file([("2d5a-2", "70", "05.10.2026"), ("2d5a-2", "50", "06.10.2026")], heading),
                           "yookassa.refunds")  # fmt: skip
    assert await office.found("yookassa.refunds") == []


async def test_a_later_file_takes_the_place_of_the_one_before(office: Office) -> None:
    """Corrected files must not double the month, and work that was done must not be lost."""
    await office.our_line("A1", "100")
    await office.our_line("A2", "200")
    first = await office.lines(("A1", "01.10.2026", "101"), ("A9", "01.10.2026", "9"))
    second = await office.lines(("A1", "01.10.2026", "102"), ("A2", "01.10.2026", "200"))
    assert (first.version, second.version) == (1, 2)
    found = {each.number: each for each in await office.found()}
    assert found["A1"].their_amount == Decimal(102)
    assert found["A1"].status.value == "open"
    assert [(note.action.value, note.author) for note in await office.notes(found["A1"])] == [
        ("changed", "reconciliation")
    ]
    assert {each.number: (each.status.value, each.resolution) for each in found.values() if each.number != "A1"} == {
        "A2": ("resolved", "gone"),
        "A9": ("resolved", "gone"),
    }
    async with office.database.reading() as connection:
        kept = await connection.scalar(sa.text("select count(*) from settlement.statement_lines"))
        states = (
            await connection.execute(sa.text("select state from settlement.statements order by version"))
        ).scalars()
        assert (kept, list(states)) == (2, ["superseded", "current"])


async def test_what_was_called_resolved_and_is_not_comes_back(office: Office) -> None:
    """Else a discrepancy closed by mistake would never be seen again; what was written off stays away."""
    await office.our_line("A1", "100")
    await office.our_line("A2", "200")
    await office.our_line("A3", "300")
    await office.lines(("A1", "01.10.2026", "101"), ("A2", "01.10.2026", "201"), ("A3", "01.10.2026", "301"))
    first, second, third = await office.found()
    await office.act(first, "resolve", resolution="theirs_corrected")
    await office.act(second, "write_off", text="A kopeck is not worth a letter")
    await office.act(third, "write_off", text="The same")
    await office.lines(("A1", "01.10.2026", "101"), ("A2", "01.10.2026", "201"), ("A3", "01.10.2026", "302"))
    assert [each.status.value for each in await office.found()] == ["reopened", "written_off", "reopened"]
    assert [note.action.value for note in await office.notes(first)] == ["resolve", "found_again"]


async def test_comparing_again_takes_our_corrections(office: Office) -> None:
    """A line that came late must not stay missing until the other side sends a file."""
    await office.lines(("A1", "01.10.2026", "100"))
    await office.our_line("A1", "100")
    compared = await office.reconciliation.compare_again("bystra", OCTOBER)
    assert (compared.agreed, compared.version) == (1, 1)
    assert [(each.status.value, each.resolution) for each in await office.found()] == [("resolved", "gone")]


async def test_two_at_once_leave_one_result(office: Office) -> None:
    """Two people pressing the button, or two replicas, must not write everything twice."""
    await office.our_line("A1", "100")
    await office.lines(("A2", "01.10.2026", "100"))
    await asyncio.gather(*(office.reconciliation.compare_again("bystra", OCTOBER) for _ in range(3)))
    assert kinds(await office.found()) == [("A1", "only_ours"), ("A2", "only_theirs")]


@pytest.mark.parametrize("closed", [False, True])
async def test_a_closed_register_is_what_is_compared(office: Office, closed: bool) -> None:
    """After closing, late lines belong to the next month, and the insurer has them there, too."""
    await office.our_line("A1", "100")
    if closed:
        async with office.database.transaction() as connection:
            await connection.execute(_CLOSE)
    late = date(2026, 11, 1) if closed else OCTOBER
    await office.our_line("A2", "200", OCTOBER + timedelta(days=30), register_month=late)
    await office.lines(("A1", "01.10.2026", "100"))
    assert kinds(await office.found()) == ([] if closed else [("A2", "only_ours")])
    await office.statement(csv_file([("A2", "31.10.2026", "200")]), month=date(2026, 11, 1))
    async with office.database.reading() as connection:
        count = sa.text("select count(*) from settlement.discrepancies where month = '2026-11-01' and number = 'A2'")
        assert await connection.scalar(count) == (0 if closed else 1)


_CLOSE = sa.text(
    "insert into settlement.registers values (gen_random_uuid(), '2026-10/bystra', 'bystra', '2026-10-01', 'closed',"
    " now(), 'net', 1, 100, 0, 0, 0, 0)"
)
