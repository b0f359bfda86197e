"""Buyers, insurers, banks and crashes in any order: whatever happens, the books agree in the end."""

import asyncio
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from insuretech.contracts.events import OfferReceived
from insuretech.contracts.insurers import Policyholder
from insuretech.contracts.money import Money
from insuretech.contracts.text import Text
from insuretech.kit.clock import FixedClock, legal_date
from insuretech.kit.ids import new_id
from insuretech.kit.problems import Problem
from insuretech.orders.calls import OutsideCalls, opening_of
from insuretech.orders.domain import buying
from insuretech.orders.domain.explanations import explanation
from insuretech.orders.domain.lifecycle import (
    BACKED,
    CLOSED,
    CancellationStatus,
    OrderStatus,
    PaymentStatus,
    PolicyStatus,
    Reason,
)
from insuretech.orders.domain.outcomes import Minted, Timing, after, payment_seen
from insuretech.orders.domain.purchase import Cancellation, Change, Purchase, changed, taken_up
from insuretech.orders.domain.steps import Step, next_step, scheduled
from insuretech.orders.testing.outside import OneInsurer, ScriptedInsurer, ScriptedProvider

PREMIUM = Money(Decimal("8697.22"))
TIMING = Timing(payment_deadline=1800, issue_recheck=5)
START = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
INSURER_FAULTS = ["ok", "unavailable", "lost", "silent", "refuse", "pending"]
PROVIDER_FAULTS = ["ok", "unavailable", "lost", "silent", "refuse"]


async def _somebody(_: object) -> Policyholder:
    return Policyholder(
        last_name="Ромашкина",
        first_name="Анна",
        middle_name=None,
        birth_date=date(1990, 5, 17),
        email="anna@example.ru",
        phone="79123456789",
        document_kind="passport",
        document_number="4509123456",
    )


class Purchases(RuleBasedStateMachine):
    """One order with a process manager that may be killed between any call and the storing of its outcome."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = FixedClock(START)
        self.insurer = ScriptedInsurer(self.clock)
        self.provider = ScriptedProvider(self.clock)
        self.calls = OutsideCalls(OneInsurer(self.insurer), self.provider, _somebody)
        self.crashed = False
        self.closings = 0

    @initialize(
        hours=st.sampled_from([0.2, 2, 24]),
        price=st.sampled_from([None, Money(Decimal("9000.10"))]),
        method=st.sampled_from(["card", "sbp"]),
        so_far=st.sampled_from(["placed", "confirmed", "opened", "paid", "paid", "paid", "issued", "issued"]),
        issuing=st.lists(st.sampled_from(INSURER_FAULTS), max_size=4),
        asking=st.lists(st.sampled_from(INSURER_FAULTS), max_size=4),
        taking=st.lists(st.sampled_from(PROVIDER_FAULTS), max_size=2),
    )
    def placed(
        self,
        hours: float,
        price: Money | None,
        method: Any,
        so_far: str,
        issuing: list[Any],
        asking: list[Any],
        taking: list[Any],
    ) -> None:
        """An order that went well so far (most trouble is behind the first steps), and what is in store for it."""
        if so_far != "issued":
            self.insurer.script.then("issue", *issuing)
            self.insurer.script.then("issue_state", *asking)
        self.provider.script.then("capture", *taking)
        self.insurer.price = price
        self.place(hours)
        if so_far == "placed":
            return
        self.work_once()
        self.agrees_to_the_price()
        if so_far == "confirmed":
            return
        self.opens_a_payment(method=method, killed=False)
        if so_far == "opened":
            return
        self.provider.pay("p1")
        self.clock.advance(timedelta(seconds=40))
        self.work_once()
        if so_far == "issued":
            self.work_once()
            self.work_once()

    def place(self, hours: float) -> None:
        offer = OfferReceived(
            quote_id=new_id(),
            offer_id=new_id(),
            owner="buyer:1",
            product="osago",
            product_version="1",
            insurer="north",
            offer_number="N-1",
            premium=PREMIUM,
            expires_at=START + timedelta(hours=hours),
            starts_on=date(2026, 12, 1),
            ends_on=date(2027, 11, 30),
        )
        self.keep(buying.place(new_id(), offer, (), self.clock.now()))

    def keep(self, change: Change) -> None:
        self.closings += sum(event.name == "closed" for event in change.events)
        self.stored = scheduled(change, self.clock.now())

    def attempt(self, action: Callable[[], Change]) -> None:
        """What a buyer tries; a refusal leaves everything as it was."""
        try:
            change = action()
        except Problem:
            return
        self.keep(change)

    # ------------------------------------------------------------ the process manager

    @rule(kill=st.sampled_from([False, False, False, True]))
    def work(self, *, kill: bool) -> None:
        """The next step, as soon as it is due."""
        if self.stored.order.next_action_at is not None:
            self.clock.at = max(self.clock.at, self.stored.order.next_action_at)
        self.work_once(kill=kill)

    @rule()
    def work_on(self) -> None:
        self.work_once()

    def work_once(self, *, kill: bool = False) -> bool:
        at = self.stored.order.next_action_at
        if at is None or at > self.clock.now():
            return False
        order = taken_up(self.stored.order, self.clock.now(), interrupted=self.crashed)
        self.stored, self.crashed = changed(self.stored, order=order), False
        step = next_step(self.stored, self.clock.now())
        if step is None:
            self.keep(Change(purchase=self.stored))
            return True
        outcome = asyncio.run(self.calls.perform(step, self.stored))
        if kill and step is not Step.CONCLUDE:
            self.crashed = True
            return True
        minted = Minted(new_id(), "code")
        self.keep(after(self.stored, step, outcome, self.clock.now(), timing=TIMING, minted=minted))
        return True

    @rule(minutes=st.sampled_from([0, 1, 10, 40, 60 * 3]))
    def time_passes(self, minutes: int) -> None:
        self.clock.advance(timedelta(minutes=minutes, seconds=3))

    # ------------------------------------------------------------ faults outside

    @rule(
        operation=st.sampled_from(["confirm_price", "issue", "issue_state", "end_policy"]),
        fault=st.sampled_from(INSURER_FAULTS),
    )
    def insurer_will(self, operation: str, fault: Any) -> None:
        self.insurer.script.then(operation, fault)

    @rule(
        operation=st.sampled_from(["create", "get", "capture", "cancel", "refund"]),
        fault=st.sampled_from(PROVIDER_FAULTS),
    )
    def provider_will(self, operation: str, fault: Any) -> None:
        self.provider.script.then(operation, fault)

    @precondition(lambda self: bool(self.provider.payments))
    @rule(what=st.sampled_from(["pay", "pay", "pay", "decline", "lapse"]))
    def at_the_bank(self, what: str) -> None:
        getattr(self.provider, what)(max(self.provider.payments, key=lambda name: int(name[1:])))

    # ------------------------------------------------------------ the buyer

    @rule()
    def agrees_to_the_price(self) -> None:
        self.attempt(lambda: buying.agree_to_price(self.stored, self.stored.order.premium, self.clock.now()))

    @rule(method=st.sampled_from(["card", "sbp"]), killed=st.booleans())
    def opens_a_payment(self, method: Any, *, killed: bool) -> None:
        try:
            opening = buying.open_payment(self.stored, new_id(), method, "http://site.invalid", self.clock.now())
        except Problem:
            return
        self.keep(Change(purchase=opening))
        payment = self.stored.payable
        assert payment is not None
        if payment.status is not PaymentStatus.OPENING:
            return
        try:
            seen = asyncio.run(self.provider.create(opening_of(self.stored)))
        except Exception:  # noqa: BLE001 - any failure leaves the payment opening
            return
        if not killed:
            self.keep(payment_seen(self.stored, seen, self.clock.now()))

    @precondition(lambda self: self.stored.payment is not None)
    @rule(really=st.sampled_from([True, False, False, False]))
    def gives_up_the_order(self, *, really: bool) -> None:
        if not really:
            return
        self.attempt(lambda: buying.close_unissued(self.stored, self.clock.now()))

    @precondition(lambda self: self.stored.policy is not None)
    @rule(share=st.sampled_from(["0", "0.5", "1"]))
    def ends_the_policy(self, share: str) -> None:
        policy, payment = self.stored.policy, self.stored.payment
        if policy is None or payment is None:
            return
        refund = Money.rounded(payment.kept.amount * Decimal(share))
        preview = Cancellation(
            id=new_id(),
            order_id=policy.order_id,
            policy_id=policy.id,
            status=CancellationStatus.PREVIEWED,
            refund=refund,
            retained=policy.premium - refund,
            cancelled_on=legal_date(self.clock.now()),
            legal_ground=Text("", ""),
            source="",
            created_at=self.clock.now(),
            expires_at=self.clock.now() + timedelta(minutes=15),
        )
        self.attempt(lambda: buying.request_end(self.stored, preview, self.clock.now()))

    # ------------------------------------------------------------ what must hold

    @invariant()
    def at_most_one_policy(self) -> None:
        assert len(self.insurer.policies) <= 1

    @invariant()
    def never_more_than_one_payment_of_money(self) -> None:
        held, captured, _ = self.provider.money_of(self.stored.order.id)
        assert held + captured <= self.stored.order.premium.amount

    @invariant()
    def we_claim_no_money_the_provider_does_not_have(self) -> None:
        _, captured, refunded = self.provider.money_of(self.stored.order.id)
        payment = self.stored.payment
        assert payment is None or (payment.captured.amount <= captured and payment.refunded.amount <= refunded)

    @invariant()
    def state_has_words(self) -> None:
        words = explanation(self.stored)
        assert words.text.ru
        assert words.text.en

    @invariant()
    def a_policy_is_never_forgotten(self) -> None:
        if self.insurer.policies:
            assert self.stored.order.status not in CLOSED

    def teardown(self) -> None:
        """All faults end, the buyer stays away, time passes: the order must come to rest and the books agree."""
        if not hasattr(self, "stored"):
            return
        self.insurer.script.clear()
        self.provider.script.clear()
        for _ in range(400):
            if not self.work_once():
                if self.stored.order.next_action_at is None:
                    break
                self.clock.advance(timedelta(minutes=10))
                for provider_id in self.provider.payments:
                    self.provider.decline(provider_id, "expired_on_confirmation")
        self.books_agree(self.stored)

    def books_agree(self, purchase: Purchase) -> None:
        order, payment, policy = purchase.order, purchase.payment, purchase.policy
        held, captured, refunded = self.provider.money_of(order.id)
        assert order.status in CLOSED | {OrderStatus.ISSUED}
        assert order.next_action_at is None
        assert held == 0
        assert payment is None or (payment.status not in BACKED or payment.status is PaymentStatus.CAPTURED)
        assert (policy is not None) == bool(self.insurer.policies)
        assert (order.status is OrderStatus.ISSUED) == (policy is not None)
        assert self.closings == (policy is None)
        ours = (payment.captured.amount, payment.refunded.amount) if payment else (Decimal(), Decimal())
        assert ours == (captured, refunded)
        if policy is None:
            assert captured == refunded
        elif policy.status is PolicyStatus.CANCELLED:
            assert purchase.cancellation is not None
            assert refunded == purchase.cancellation.refund.amount
            assert policy.number in self.insurer.ended
        elif captured == 0:
            assert order.reason in {Reason.UNCOLLECTED, Reason.CANCELLATION_REFUSED}
        else:
            assert (captured, refunded) == (order.premium.amount, Decimal())
            assert policy.status is PolicyStatus.ISSUED


TestPurchasesAtRandom = Purchases.TestCase
TestPurchasesAtRandom.settings = settings(max_examples=150, stateful_step_count=40)
