"""Every policy and every payment becomes a line, whatever happens to the events on their way."""

import asyncio
from datetime import datetime
from itertools import permutations
from typing import Any

import pytest

from insuretech.contracts.events import PaymentCaptured
from insuretech.contracts.money import Money
from insuretech.kit.ids import new_id
from insuretech.settlement.domain import Line, LineKind, SettledEvent
from tests.service.settlement.world import (
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


def told(line: Line) -> tuple[Any, ...]:
    """What a line says to an insurer."""
    amounts = (line.premium, line.collected, line.commission, line.vat)
    return (line.kind.value, line.insurer, line.product, line.policy_number, *map(str, amounts), line.agreement)


async def test_a_purchase_is_a_line_by_policy_and_one_by_payment(world: World) -> None:
    """Without both nobody sees a policy whose money never came."""
    policy = issued("8697.22")
    await world.hear_all([policy, captured(policy)])
    by_policy, by_payment = await world.lines()
    assert told(by_policy) == (
        *("policy_issued", "bystra", "osago", policy.number),
        *("8697.22", "0.00", "869.72", "0.00", "bystra-2026"),
    )
    assert told(by_payment) == (
        *("payment_captured", "bystra", "osago", policy.number),
        *("0.00", "8697.22", "0.00", "0.00", "bystra-2026"),
    )
    assert (by_policy.starts_on, by_policy.ends_on) == (policy.starts_on, policy.ends_on)
    assert by_policy.month == by_policy.register_month == OCTOBER


@pytest.mark.parametrize("order", list(permutations(range(4))))
async def test_any_order_of_events_gives_the_same_lines(world: World, order: tuple[int, ...]) -> None:
    """An event that comes out of the dead letters after its successors must not cost a line its insurer or its fee."""
    policy = issued("1000.10", insurer="mercator")
    events: list[SettledEvent] = [policy, captured(policy), refunded(policy, "400.05"), cancelled(policy, "400.05")]
    await world.hear_all([events[number] for number in order])
    number = policy.number
    assert sorted(map(told, await world.lines())) == [
        ("payment_captured", "mercator", "osago", number, "0.00", "1000.10", "0.00", "0.00", "mercator-2026"),
        ("payment_refunded", "mercator", "osago", number, "0.00", "-400.05", "0.00", "0.00", "mercator-2026"),
        ("policy_cancelled", "mercator", "osago", number, "-400.05", "0.00", "-40.00", "-8.00", "mercator-2026"),
        ("policy_issued", "mercator", "osago", number, "1000.10", "0.00", "100.01", "20.00", "mercator-2026"),
    ]


async def test_an_event_told_twice_is_one_line(world: World) -> None:
    """Delivery is at least once: a commission must not be paid for every repeat."""
    policy = issued()
    for event in (policy, captured(policy), cancelled(policy)):
        name = new_id()
        assert await world.hear(event, event_id=name)
        assert await world.hear(event, event_id=name)
    assert len(await world.lines()) == 3


async def test_an_event_told_again_after_its_receipt_was_forgotten_is_one_line(world: World) -> None:
    """Receipts are dropped after weeks, and events may be published again after months."""
    policy = issued()
    name = new_id()
    await world.hear(policy, event_id=name)
    await world.execute("delete from settlement.inbox")
    assert await world.hear(policy, event_id=name)
    assert len(await world.lines()) == 1


async def test_events_of_one_order_heard_by_several_replicas_at_once(world: World) -> None:
    """Two transactions that do not see each other would leave a payment without its insurer for ever."""
    policies = [issued(order_id=new_id()) for _ in range(20)]
    events = [event for policy in policies for event in (captured(policy), policy, cancelled(policy))]
    await asyncio.gather(*(world.hear(event) for event in events))
    lines = await world.lines()
    assert len(lines) == 60
    assert {line.insurer for line in lines} == {"bystra"}


async def test_a_payment_without_a_policy_belongs_to_no_insurer(world: World) -> None:
    """Money charged and given back because the insurer refused is nothing to settle with it."""
    policy = issued()
    await world.hear_all([captured(policy), refunded(policy)])
    assert [(line.insurer, line.agreement, line.register_month) for line in await world.lines()] == [(None,) * 3] * 2


async def test_a_released_hold_is_no_money(world: World) -> None:
    """A hold that was lost was never collected: counted as a refund, the insurer would owe us a premium."""
    policy = issued()
    await world.hear_all([policy, refunded(policy, voided=True)])
    line = (await world.lines())[1]
    assert line.kind is LineKind.HOLD_RELEASED
    assert line.collected == line.premium == 0


async def test_what_no_agreement_covers_is_a_line_without_a_fee(world: World) -> None:
    """A missing agreement must not hold up the books, and must not be guessed."""
    policy = issued(insurer="beacon")
    await world.hear_all([policy, captured(policy)])
    lines = await world.lines()
    assert [line.agreement for line in lines] == [None, None]
    assert all(line.commission == 0 for line in lines)


async def test_another_currency_ends_among_the_dead_letters(world: World) -> None:
    """Added to roubles it would falsify a register; kept aside a person sees it."""
    money = Money(captured(issued()).amount.amount, "EUR")
    assert not await world.hear(PaymentCaptured(order_id=new_id(), payment_id=new_id(), amount=money))
    assert await world.lines() == []


@pytest.mark.parametrize(
    ("at", "month"),
    [
        (datetime.fromisoformat("2026-10-31T23:59:59.999999+03:00"), OCTOBER),
        (datetime.fromisoformat("2026-11-01T00:00:00+03:00"), NOVEMBER),
        (IN_OCTOBER, OCTOBER),
        (AFTER_OCTOBER, NOVEMBER),
    ],
)
async def test_the_month_is_that_of_moscow(world: World, at: datetime, month: Any) -> None:
    """A policy of the last evening belongs to the month the insurer counts it in."""
    await world.hear(issued(), at)
    assert [line.month for line in await world.lines()] == [month]
