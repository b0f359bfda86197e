"""Closing a month: what goes in, what stays out, and that it never changes afterwards."""

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError

from insuretech.contracts.events import RegisterClosed
from insuretech.kit.db import Database
from insuretech.kit.http import new_client
from insuretech.settlement.commands import AgreementMissing, MonthNotOver, MonthPassed, NotCorrectable
from insuretech.settlement.domain import LineKind, Register
from tests.service.settlement.world import (
    AFTER_NOVEMBER,
    AFTER_OCTOBER,
    IN_OCTOBER,
    NOVEMBER,
    OCTOBER,
    World,
    cancelled,
    captured,
    issued,
    refunded,
)


async def october(world: World) -> Register:
    """Two purchases, one of which is given back in part, closed."""
    kept, ended = issued("8697.22"), issued("1000.00")
    await world.hear_all([kept, captured(kept), ended, captured(ended), refunded(ended, "400.00")])
    await world.hear(cancelled(ended, "400.00"))
    return await closed(world, OCTOBER, AFTER_OCTOBER)


async def closed(world: World, month: date, at: datetime, insurer: str = "bystra") -> Register:
    """Close a month at a moment, which must bring a register."""
    world.clock.at = at
    return (await world.settlement.bookkeeping.close(insurer, month))[-1]


async def test_a_register_holds_all_of_the_month_and_its_sums(world: World) -> None:
    """What is missing is not paid, and a sum that is off is disputed."""
    register = await october(world)
    assert (register.number, register.lines) == ("2026-10/bystra", 6)
    assert register.premium == Decimal("9297.22")
    assert register.collected == Decimal("9297.22")
    assert register.commission == Decimal("929.72")  # 869.72 + 100.00 - 40.00
    assert register.payable == Decimal("8367.50")
    lines = await world.lines()
    assert [line.register_month for line in lines] == [OCTOBER] * 6
    assert sum(line.commission for line in lines) == register.commission


async def test_others_hear_of_it_once(world: World) -> None:
    """A repeat of the command must not be a second register to anybody."""
    register = await october(world)
    assert await closed(world, OCTOBER, AFTER_NOVEMBER) == register
    (told,) = await world.announced()
    assert isinstance(told, RegisterClosed)
    assert (told.register_id, told.lines, told.payable.amount) == (register.id, 6, register.payable)


async def test_a_running_month_is_not_closed(world: World) -> None:
    """The register of October closed on its last evening in Moscow would miss the policies of the night."""
    await world.hear(issued())
    for moment in (IN_OCTOBER, datetime(2026, 10, 31, 20, 59, 59, tzinfo=UTC)):
        with pytest.raises(MonthNotOver):
            await closed(world, OCTOBER, moment)
    await closed(world, OCTOBER, datetime(2026, 10, 31, 21, 0, tzinfo=UTC))


async def test_what_comes_late_goes_into_the_next(world: World) -> None:
    """An event of October that was stuck until November must be paid, and exactly once."""
    await october(world)
    late = issued("500.00")
    await world.hear(late)
    await world.hear(captured(late), AFTER_OCTOBER)
    register = await closed(world, NOVEMBER, AFTER_NOVEMBER)
    assert (register.lines, register.premium, register.collected) == (2, Decimal(500), Decimal(500))
    lines = await world.lines()
    assert [line.month for line in lines] == [OCTOBER] * 7 + [NOVEMBER]
    assert [line.register_month for line in lines] == [OCTOBER] * 6 + [NOVEMBER] * 2


async def test_a_month_before_a_closed_one_is_refused(world: World) -> None:
    """Nothing can be of it any more: what comes late is in later registers."""
    await world.hear(issued(), AFTER_OCTOBER)
    await closed(world, NOVEMBER, AFTER_NOVEMBER)
    with pytest.raises(MonthPassed, match="2026-11"):
        await closed(world, OCTOBER, AFTER_NOVEMBER)


async def test_months_before_are_closed_first(world: World) -> None:
    """A month that was forgotten must not be left out for good."""
    await world.hear(issued("100.00"))
    await world.hear(issued("200.00"), AFTER_OCTOBER)
    world.clock.at = AFTER_NOVEMBER
    registers = await world.settlement.bookkeeping.close("bystra", NOVEMBER)
    assert [(one.number, one.premium) for one in registers] == [
        ("2026-10/bystra", Decimal(100)),
        ("2026-11/bystra", Decimal(200)),
    ]


async def test_nothing_is_closed_without_lines(world: World) -> None:
    """An empty register is a letter about nothing."""
    world.clock.at = AFTER_OCTOBER
    assert await world.settlement.bookkeeping.close("bystra", OCTOBER) == []
    assert await world.announced() == []


async def test_insurers_are_kept_apart(world: World) -> None:
    """An insurer must not read another one's business."""
    await world.hear_all([issued("100.00"), issued("200.00", insurer="tihohod")])
    bystra = await closed(world, OCTOBER, AFTER_OCTOBER)
    tihohod = await closed(world, OCTOBER, AFTER_OCTOBER, "tihohod")
    assert (bystra.premium, tihohod.premium) == (Decimal(100), Decimal(200))
    assert (tihohod.commission, tihohod.vat) == (Decimal("16.00"), Decimal("3.20"))


async def test_lines_without_terms_hold_the_register_up_and_say_why(world: World) -> None:
    """A fee of nothing, closed for good, would be money lost in silence."""
    await world.hear(issued(), datetime(2024, 5, 1, tzinfo=UTC))
    with pytest.raises(AgreementMissing, match="osago concluded on 2024-05-01"):
        await closed(world, OCTOBER, AFTER_OCTOBER)
    world.clock.at = AFTER_OCTOBER
    assert await world.settlement.bookkeeping.close_due(OCTOBER) == []


async def test_terms_agreed_since_are_applied_when_closing(world: World) -> None:
    """Policies sold before the agreement was written down earn their commission all the same."""
    policy = issued("1000.00")
    await world.hear_all([policy, captured(policy), cancelled(policy, "500.00")])
    await world.execute("update settlement.lines set commission = 0, rate = null, agreement = null")
    register = await closed(world, OCTOBER, AFTER_OCTOBER)
    assert (register.lines, register.commission) == (3, Decimal("50.00"))


async def test_a_policy_that_was_not_paid_for_is_to_be_seen(world: World) -> None:
    """The insurer concluded it and wants its premium; somebody has to find out why there is no money."""
    policy = issued("1000.00")
    await world.hear_all([policy, refunded(policy, voided=True)])
    register = await closed(world, OCTOBER, AFTER_OCTOBER)
    assert (register.premium, register.collected, register.lines) == (Decimal(1000), Decimal(0), 2)


async def test_two_processes_that_close_at_once_make_one_register(
    world: World, database: Callable[[str], Database], tmp_path: Path
) -> None:
    """Every replica has the calendar: a line in two registers is paid twice."""
    await world.hear_all([issued() for _ in range(50)])
    async with new_client() as http:
        others = [World(database("settlement"), tmp_path, http) for _ in range(4)]
        for other in others:
            other.clock.at = AFTER_OCTOBER
        found = await asyncio.gather(*(other.settlement.bookkeeping.close("bystra", OCTOBER) for other in others))
    assert len({register.id for registers in found for register in registers}) == 1
    assert len(await world.announced()) == 1


async def test_lines_recorded_while_closing_are_in_one_register(world: World) -> None:
    """A policy of the last second must neither be lost between two months nor counted in both."""
    await world.hear_all([issued() for _ in range(20)])
    world.clock.at = AFTER_OCTOBER
    await asyncio.gather(
        world.settlement.bookkeeping.close("bystra", OCTOBER), *(world.hear(issued()) for _ in range(20))
    )
    world.clock.at = AFTER_NOVEMBER
    registers = await world.settlement.bookkeeping.close("bystra", NOVEMBER)
    first = await closed(world, OCTOBER, AFTER_NOVEMBER)
    held = Counter(line.register_month for line in await world.lines())
    assert held[OCTOBER] == first.lines >= 20
    assert held[NOVEMBER] == sum(register.lines for register in registers if register.month == NOVEMBER)
    assert held.total() == 40


# ---------------------------------------------------------------- afterwards

FORBIDDEN = {
    "a line's premium": "update settlement.lines set premium = premium + 1",
    "a line's fee": "update settlement.lines set commission = 0",
    "a line's policy": "update settlement.lines set policy_number = 'X'",
    "a line's register": "update settlement.lines set register_month = '2026-11-01'",
    "a line's insurer": "update settlement.lines set insurer = null, register_month = null, agreement = null",
    "a line's time": "update settlement.lines set occurred_at = now()",
    "taking a line away": "delete from settlement.lines",
    "taking all lines away": "truncate settlement.lines cascade",
    "a register's sum": "update settlement.registers set premium = 0",
    "a register's month": "update settlement.registers set month = '2026-09-01'",
    "taking a register away": "delete from settlement.registers",
    "a total": "update settlement.register_totals set commission = 0",
    "taking a total away": "delete from settlement.register_totals",
    "a total more": """insert into settlement.register_totals
        select id, 'more', 'reversal', 1, 0, 0, 0, 0 from settlement.registers""",
    "a line more": """insert into settlement.lines (id, event_id, order_id, kind, occurred_at, month, insurer,
            register_month, premium, collected, commission, vat)
        select gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'payment_captured', now(), month, insurer,
            month, 0, 1, 0, 0 from settlement.registers""",
}


@pytest.mark.parametrize("statement", FORBIDDEN.values(), ids=FORBIDDEN.keys())
async def test_the_database_keeps_what_was_closed(world: World, statement: str) -> None:
    """What was told to an insurer is changed by nobody's slip, whatever code or person makes it."""
    await october(world)
    before = await world.lines()
    with pytest.raises(IntegrityError):
        await world.execute(statement)
    assert await world.lines() == before


async def test_a_line_whose_policy_is_known_late_joins_no_closed_register(world: World) -> None:
    """The sums that were sent would no longer be those of the lines."""
    await october(world)
    await world.hear(captured(issued()))
    with pytest.raises(IntegrityError, match="is closed"):
        await world.execute(
            "update settlement.lines set insurer = 'bystra', register_month = month where insurer is null"
        )


async def test_a_payment_whose_policy_comes_after_the_closing_is_in_the_next_register(world: World) -> None:
    """A policy that lay among the dead letters over the end of the month brings its payment with it."""
    await october(world)
    policy = issued("500.00")
    await world.hear_all([captured(policy), policy])
    register = await closed(world, NOVEMBER, AFTER_NOVEMBER)
    assert (register.lines, register.premium, register.collected) == (2, Decimal(500), Decimal(500))


async def test_an_open_line_keeps_what_happened(world: World) -> None:
    """Corrections are lines of their own, also before a register is closed."""
    await world.hear(issued())
    with pytest.raises(IntegrityError, match="stays as it is"):
        await world.execute("update settlement.lines set premium = 1")


# ---------------------------------------------------------------- corrections


async def test_a_correction_is_a_reversal_in_the_next_register(world: World) -> None:
    """The insurer sees what was wrong, that it was taken back, and that nothing else moved."""
    first = await october(world)
    line = (await world.lines())[0]
    await world.settlement.bookkeeping.correct(line.id, "concluded twice by mistake")
    second = await closed(world, NOVEMBER, AFTER_NOVEMBER)
    assert (second.lines, second.premium, second.commission) == (1, -line.premium, -line.commission)
    assert first.lines == 6
    back = (await world.lines())[-1]
    assert (back.reverses, back.reason, back.policy_number) == (
        line.id,
        "concluded twice by mistake",
        line.policy_number,
    )


async def test_a_wrong_rate_is_taken_back_and_said_again(world: World) -> None:
    """After both, the fee is the one agreed and the premium unmoved."""
    await october(world)
    line = (await world.lines())[0]
    back, again = await world.settlement.bookkeeping.correct(line.id, "rate corrected", restate=True)
    assert (back.kind, again.kind) == (LineKind.REVERSAL, LineKind.RESTATEMENT)
    assert (back.premium + again.premium, back.commission + again.commission) == (Decimal(0), Decimal(0))


async def test_a_line_is_reversed_once(world: World) -> None:
    """A second reversal would take back what was taken back already."""
    await october(world)
    line = (await world.lines())[0]
    results = await asyncio.gather(
        *(world.settlement.bookkeeping.correct(line.id, "twice", restate=True) for _ in range(3)),
        return_exceptions=True,
    )
    assert [type(result) for result in results if isinstance(result, Exception)] == [NotCorrectable] * 2
    assert len(await world.lines()) == 8


async def test_an_open_line_is_not_reversed(world: World) -> None:
    """Nothing was told to anybody yet, so there is nothing to take back."""
    await world.hear(issued())
    with pytest.raises(NotCorrectable, match="open"):
        await world.settlement.bookkeeping.correct((await world.lines())[0].id, "too early")


# ---------------------------------------------------------------- the calendar


async def test_a_year_of_months_takes_every_line_once(world: World) -> None:
    """Twelve closings, each right at the border in Moscow: no line is lost or doubled, and the sums add up."""
    for number in range(1, 13):
        start = datetime(2026, number, 1, tzinfo=UTC)
        for moment in (start.replace(day=1), start.replace(day=15), start.replace(day=28, hour=20, minute=59)):
            assert await world.hear(issued("100.00"), moment)
    registers = []
    for number in range(1, 13):
        year, month = divmod(2026 * 12 + number, 12)
        world.clock.at = datetime(year, month + 1, 1, tzinfo=UTC)
        registers += await world.settlement.bookkeeping.close_due(date(2026, number, 1))
    assert [register.month.month for register in registers] == list(range(1, 13))
    assert [register.lines for register in registers] == [3] * 12
    assert sum(register.premium for register in registers) == Decimal(3600)
    assert all(line.register_month == line.month for line in await world.lines())
