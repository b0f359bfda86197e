"""A worker dies between any outside call and the note of its outcome; another one goes on, and the books agree."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Literal

import pytest

from insuretech.contracts.payments import NewPayment, ProviderPayment
from insuretech.kit.ids import new_id
from insuretech.orders.domain.outcomes import Outcome
from insuretech.orders.domain.purchase import Purchase
from insuretech.orders.domain.steps import Step
from insuretech.orders.saga import Saga
from tests.service.orders.world import World

Moment = Literal["before", "after"]


async def die_at(world: World, fatal: Step, moment: Moment) -> None:
    """Run the process manager until the outside call of ``fatal``, and end the process just before or after it."""
    saga, reached = world.orders.saga, asyncio.Event()
    perform = saga._calls.perform

    async def until(step: Step, purchase: Purchase) -> Outcome:
        if step is fatal and moment == "before":
            reached.set()
            await asyncio.Event().wait()
        outcome = await perform(step, purchase)
        if step is fatal:
            reached.set()
            await asyncio.Event().wait()
        return outcome

    saga._calls.perform = until  # type: ignore[method-assign]  # the process dies with it
    await _run_until(saga, reached)
    world.restart()


async def _run_until(saga: Saga, reached: asyncio.Event) -> None:
    running = asyncio.create_task(saga.run())
    try:
        await asyncio.wait_for(reached.wait(), 60)
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def _placed(world: World) -> str:
    return await world.placed()


async def _paid_by_card(world: World) -> str:
    return await world.paid()


async def _refused(world: World) -> str:
    world.insurer.script.then("issue", "refuse")
    return await world.paid()


async def _charged_and_refused(world: World) -> str:
    world.insurer.script.then("issue", "refuse")
    return await world.paid("sbp")


async def _unknown(world: World) -> str:
    world.insurer.script.then("issue", "lost")
    order_id = await world.paid()
    await world.work()
    world.clock.advance(timedelta(seconds=5))
    return order_id


async def _ending(world: World) -> str:
    order_id = await world.issued()
    path = f"/api/v1/orders/{order_id}/cancellation"
    preview = (await world.post(path, {})).json()
    assert (await world.post(path, {"id": preview["id"]})).status_code == 200
    return order_id


async def _expired_with_an_open_payment(world: World) -> str:
    order_id, _ = await world.paying()
    world.clock.advance(timedelta(minutes=31))
    await world.work()
    world.clock.advance(timedelta(seconds=5))
    return order_id


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(
    ("step", "begin", "ending"),
    [
        (Step.CONFIRM_PRICE, _placed, "expired"),
        (Step.LOOK_UP_PAYMENT, _paid_by_card, "issued"),
        (Step.ISSUE, _paid_by_card, "issued"),
        (Step.ISSUE, _unknown, "issued"),
        (Step.CAPTURE, _paid_by_card, "issued"),
        (Step.RELEASE, _refused, "voided"),
        (Step.REFUND, _charged_and_refused, "refunded"),
        (Step.CLOSE_PAYMENT, _expired_with_an_open_payment, "expired"),
        (Step.END_POLICY, _ending, "issued"),
        (Step.REFUND_PART, _ending, "issued"),
    ],
)
async def test_a_step_survives_the_death_of_its_worker(
    world: World, step: Step, begin: Callable[[World], Awaitable[str]], ending: str, moment: Moment
) -> None:
    """A power cut at the wrong moment would lose an order, double a policy or keep money."""
    order_id = await begin(world)
    await die_at(world, step, moment)
    taken_over = asyncio.Event()
    world.orders.saga._told = lambda _: taken_over.set()
    await _run_until(world.orders.saga, taken_over)  # at once: no lease is waited for, the clock stands still
    world.restart()
    for provider_id in world.provider.payments:
        world.provider.decline(provider_id, "expired_on_confirmation")
    await world.rest()

    order = await world.order(order_id)
    assert order["status"] == ending
    assert len(world.insurer.policies) == (ending == "issued")
    if begin is _ending:
        assert order["policy"]["status"] == "cancelled"
        assert len(await world.events("policy_cancelled")) == 1
    assert len(await world.events("policy_issued")) == (ending == "issued")
    assert len(await world.events("closed")) == (ending != "issued")
    await world.check_books()


async def test_a_lease_lapses_when_nobody_can_tell_that_its_worker_died(world: World) -> None:
    """An order in the hands of a worker that hangs would never move again."""
    order_id = await world.placed()
    world.insurer.script.then("confirm_price", "hang")
    saga = world.orders.saga
    await saga.take_up(7)
    assert len(saga._tasks) == 1
    world.restart()
    await world.work()
    assert (await world.order(order_id))["status"] == "confirming_price"
    world.clock.advance(timedelta(seconds=66))
    await world.work()
    assert (await world.order(order_id))["status"] == "awaiting_payment"
    for task in saga._tasks:
        task.cancel()


async def test_a_worker_that_comes_back_late_changes_nothing(world: World) -> None:
    """An outcome that arrives after another worker went on would overwrite what was learnt since."""
    order_id = await world.paid()
    await world.work()
    before = await world.order(order_id)
    late, reached, go_on = world.orders.saga, asyncio.Event(), asyncio.Event()
    second = await world.paid()
    perform = late._calls.perform

    async def slowly(step: Step, purchase: Purchase) -> Outcome:
        outcome = await perform(step, purchase)
        reached.set()
        await go_on.wait()
        return outcome

    late._calls.perform = slowly  # type: ignore[method-assign]  # this worker is slow
    await late.take_up(1)
    assert len(late._tasks) == 1
    await reached.wait()
    world.restart()
    world.clock.advance(timedelta(seconds=66))
    await world.work()
    assert (await world.order(second))["status"] == "issued"
    go_on.set()
    await asyncio.gather(*late._tasks)
    assert (await world.order(second))["status"] == "issued"
    assert await world.order(order_id) == before
    assert len(await world.events("payment_authorised")) == 2
    await world.check_books()


async def test_a_buyer_whose_request_died_gets_the_same_payment(world: World) -> None:
    """A crash between the provider's answer and our note would leave two payments that can both be paid."""
    order_id = await world.priced()
    create, reached = world.provider.create, asyncio.Event()

    async def then_die(payment: NewPayment) -> ProviderPayment:
        seen = await create(payment)
        reached.set()
        await asyncio.Event().wait()
        return seen

    world.provider.create = then_die  # type: ignore[method-assign]  # the process dies with it
    key = str(new_id())
    request = asyncio.create_task(world.pay(order_id, key=key))
    await reached.wait()
    request.cancel()
    with suppress(asyncio.CancelledError):
        await request
    world.provider.create = create  # type: ignore[method-assign]
    world.restart()
    in_flight = await world.pay(order_id, key=key)
    assert (in_flight.status_code, in_flight.json()["type"].rsplit("/", 1)[1]) == (409, "request-in-flight")
    world.clock.advance(timedelta(seconds=11))
    again = await world.pay(order_id, key=key)
    assert again.status_code == 200
    assert len(world.provider.payments) == 1
    assert await world.scalar("select count(*) from orders.payments") == 1


async def test_a_payment_whose_opening_was_never_noted_is_found_again(world: World) -> None:
    """Should it be paid after all, the money would belong to no order."""
    order_id = await world.priced()
    world.provider.script.then("create", "lost")
    assert (await world.pay(order_id)).status_code == 503
    world.provider.pay("p1")
    world.clock.advance(timedelta(seconds=16))
    await world.work()
    assert (await world.order(order_id))["status"] == "issued"
    await world.check_books()
