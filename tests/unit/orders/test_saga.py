"""The process manager in memory: who is busy with what, what wakes it, what it survives."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from insuretech.contracts.events import OfferReceived
from insuretech.contracts.insurers import InsurerConnector, InsurerProfile, Policyholder
from insuretech.contracts.money import Money
from insuretech.kit.clock import FixedClock
from insuretech.kit.idempotency import Scope, StoredAnswer
from insuretech.kit.ids import new_id
from insuretech.orders.calls import OutsideCalls
from insuretech.orders.domain import buying
from insuretech.orders.domain.lifecycle import OrderStatus
from insuretech.orders.domain.outcomes import Timing
from insuretech.orders.domain.purchase import Purchase
from insuretech.orders.policyholders import SealedPolicyholder
from insuretech.orders.ports import Placing, Store
from insuretech.orders.saga import Saga, new_verification_code
from insuretech.orders.testing.memory import Memory
from insuretech.orders.testing.outside import OneInsurer, ScriptedInsurer, ScriptedProvider

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
OWNER = "buyer:1"


async def nobody(order_id: UUID) -> Policyholder:
    """The policyholder; these tests issue nothing."""
    raise AssertionError(order_id)


class Insurers:
    """A directory with an insurer of its own under every code."""

    def __init__(self, clock: FixedClock) -> None:
        self.each = {code: ScriptedInsurer(clock) for code in ("quick", "slow")}

    def profile(self, code: str) -> InsurerProfile:
        return OneInsurer(self.each[code]).profile(code)

    def connector(self, code: str) -> InsurerConnector:
        return self.each[code]

    def codes(self) -> tuple[str, ...]:
        return tuple(self.each)


class Town:
    """A process manager with two insurers."""

    def __init__(self, *, parallel: int = 128, per_insurer: int = 32) -> None:
        self.clock = FixedClock(NOW)
        self.memory = Memory()
        self.insurers = Insurers(self.clock)
        self.told: list[Purchase] = []
        self.saga = Saga(
            self.memory.transaction,
            self.memory.transaction,
            OutsideCalls(self.insurers, ScriptedProvider(self.clock), nobody),
            self.clock,
            Timing(payment_deadline=1800, issue_recheck=5),
            self.presence,
            told=self.told.append,
            parallel=parallel,
            per_insurer=per_insurer,
            call_limit=5,
        )

    @asynccontextmanager
    async def presence(self, worker: int) -> AsyncIterator[Callable[[], Awaitable[None]]]:
        async def still_there() -> None:
            return None

        async with self.memory.presence(worker):
            yield still_there

    async def placed(self, insurer: str) -> UUID:
        offer = OfferReceived(
            quote_id=new_id(),
            offer_id=new_id(),
            owner=OWNER,
            product="osago",
            product_version="1",
            insurer=insurer,
            offer_number="N-1",
            premium=Money(Decimal("8697.22")),
            expires_at=NOW + timedelta(hours=20),
            starts_on=date(2026, 12, 1),
            ends_on=date(2027, 11, 30),
        )
        change = buying.place(new_id(), offer, (), NOW)
        order_id = change.purchase.order.id
        (event,) = change.events
        placing = Placing(
            purchase=change.purchase,
            person=SealedPolicyholder("k1", b""),
            event=event,
            scope=Scope(OWNER, "POST", str(order_id)),
            body=b"",
            answer=StoredAnswer(201, b""),
        )
        async with self.memory.transaction() as store:
            assert await store.place(placing, NOW)
        return order_id

    def status(self, order_id: UUID) -> OrderStatus:
        return self.memory.state.purchases[order_id].order.status


async def _until_told(town: Town, number: int) -> None:
    for _ in range(500):
        if len(town.told) >= number:
            return
        await asyncio.sleep(0.002)
    raise AssertionError(f"only {len(town.told)} of {number} orders moved")


async def test_a_hanging_insurer_holds_up_nobody_else() -> None:
    """One insurer out of order would stop the sales of all."""
    town = Town(parallel=8, per_insurer=4)
    town.insurers.each["slow"].script.always("confirm_price", "hang")
    slow = [await town.placed("slow") for _ in range(10)]
    quick = [await town.placed("quick") for _ in range(10)]
    running = asyncio.create_task(town.saga.run())
    await _until_told(town, 10)
    assert {town.status(order_id) for order_id in quick} == {OrderStatus.AWAITING_PAYMENT}
    assert {town.status(order_id) for order_id in slow} <= {OrderStatus.CREATED, OrderStatus.CONFIRMING_PRICE}
    assert len(town.insurers.each["slow"].script.calls) <= 4
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_waking_is_faster_than_the_timer() -> None:
    """A buyer would wait a second before every step."""
    town = Town()
    running = asyncio.create_task(town.saga.run())
    await asyncio.sleep(0.05)
    await town.placed("quick")
    town.saga.wake()
    started = asyncio.get_running_loop().time()
    await _until_told(town, 1)
    assert asyncio.get_running_loop().time() - started < 0.5
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_call_that_never_ends_is_given_up() -> None:
    """A worker would be lost to every insurer that hangs."""
    town = Town()
    town.saga._call_limit = 0.05
    town.insurers.each["slow"].script.then("confirm_price", "hang")
    order_id = await town.placed("slow")
    await town.saga.drain()
    order = town.memory.state.purchases[order_id].order
    assert (order.status, order.next_action_at) == (OrderStatus.CONFIRMING_PRICE, NOW + timedelta(seconds=1))


async def test_a_fault_of_ours_neither_spins_nor_loses_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug in one step would burn the machine, or drop the order for good."""
    town = Town()
    order_id = await town.placed("quick")

    async def broken(reference: UUID, offer_number: str) -> None:
        raise ZeroDivisionError(reference, offer_number)

    monkeypatch.setattr(town.insurers.each["quick"], "confirm_price", broken)
    await town.saga.drain()
    order = town.memory.state.purchases[order_id].order
    assert (order.status, order.next_action_at) == (OrderStatus.CONFIRMING_PRICE, NOW + timedelta(seconds=5))
    monkeypatch.undo()
    town.clock.advance(timedelta(seconds=5))
    await town.saga.drain()
    assert town.status(order_id) is OrderStatus.AWAITING_PAYMENT


async def test_a_storage_that_fails_while_noting_leaves_the_step_to_be_done_again() -> None:
    """A database that is away for a moment would lose the outcome and stop the order."""
    town = Town()
    order_id = await town.placed("quick")
    whole, failing = town.memory.transaction, iter([False, True, True])

    @asynccontextmanager
    async def sometimes() -> AsyncIterator[Store]:
        if next(failing, False):
            raise ConnectionError
        async with whole() as store:
            yield store

    town.saga._transaction = town.saga._statements = sometimes
    await town.saga.drain()
    assert town.status(order_id) is OrderStatus.CONFIRMING_PRICE
    town.clock.advance(timedelta(seconds=20))
    await town.saga.drain()
    assert town.status(order_id) is OrderStatus.AWAITING_PAYMENT
    assert town.insurers.each["quick"].script.calls == ["confirm_price", "confirm_price"]


def test_verification_codes_cannot_be_guessed_or_misread() -> None:
    """A stranger could read policies by trying codes, or an owner mistype theirs."""
    codes = {new_verification_code() for _ in range(200)}
    assert len(codes) == 200
    assert {len(code) for code in codes} == {19}
    assert not set("".join(codes)) & set("01IOlo")
