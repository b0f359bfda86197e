"""The tables of allowed steps, the timers, the words and the books."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise, product

import pytest

from insuretech.contracts.events import OfferReceived
from insuretech.contracts.insurers import PriceConfirmed
from insuretech.contracts.money import Money
from insuretech.contracts.payments import ProviderPayment
from insuretech.kit.ids import new_id
from insuretech.orders.domain import buying, problems
from insuretech.orders.domain.books import BookEntry, disagreements
from insuretech.orders.domain.explanations import explanation
from insuretech.orders.domain.lifecycle import (
    BEGINS,
    CLOSED,
    ORDER_MOVES,
    PAYMENT_MOVES,
    POLICY_MOVES,
    MoveNotAllowed,
    OrderStatus,
    PaymentStatus,
    PolicyStatus,
    Reason,
)
from insuretech.orders.domain.outcomes import Minted, Timing, Unanswered, after, payment_seen
from insuretech.orders.domain.purchase import Change, Payment, Purchase, changed, observed
from insuretech.orders.domain.steps import Step, backoff, recheck, scheduled

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
PREMIUM = Money(Decimal("8697.22"))
TIMING = Timing(payment_deadline=1800, issue_recheck=5)
MINTED = Minted(new_id(), "code")


def placed() -> Purchase:
    """A new order for an offer of twenty hours."""
    offer = OfferReceived(
        quote_id=new_id(),
        offer_id=new_id(),
        owner="buyer:1",
        product="osago",
        product_version="1",
        insurer="north",
        offer_number="N-1",
        premium=PREMIUM,
        expires_at=NOW + timedelta(hours=20),
        starts_on=date(2026, 12, 1),
        ends_on=date(2027, 11, 30),
    )
    return buying.place(new_id(), offer, (), NOW).purchase


def at(status: OrderStatus) -> Purchase:
    """The order in any status."""
    purchase = placed()
    return changed(purchase, order=changed(purchase.order, status=status))


def paying(status: PaymentStatus) -> Payment:
    """A payment in any status."""
    return Payment(
        id=new_id(),
        order_id=new_id(),
        status=status,
        method="card",
        amount=PREMIUM,
        return_url="https://example.org/",
        created_at=NOW,
    )


# ---------------------------------------------------------------- life cycles


@pytest.mark.parametrize("before", list(OrderStatus))
@pytest.mark.parametrize("to", list(OrderStatus))
def test_an_order_takes_no_step_its_life_does_not_have(before: OrderStatus, to: OrderStatus) -> None:
    """An order could be cancelled after its policy was issued, or issued without payment."""
    if to in ORDER_MOVES[before]:
        assert at(before).order.moved(to, NOW).status is to
    else:
        with pytest.raises(MoveNotAllowed):
            at(before).order.moved(to, NOW)


def test_the_life_of_an_order_is_the_one_agreed_on() -> None:
    """The states others rely on would change unnoticed."""
    happy = ["created", "confirming_price", "awaiting_payment", "paid_or_held", "issuing", "issued"]
    for before, to in pairwise(happy):
        assert OrderStatus(to) in ORDER_MOVES[OrderStatus(before)]
    only_before_issuing = {status for status, to in ORDER_MOVES.items() if OrderStatus.CANCELLED in to}
    assert only_before_issuing == {
        OrderStatus.CREATED,
        OrderStatus.CONFIRMING_PRICE,
        OrderStatus.PRICE_CHANGED,
        OrderStatus.AWAITING_PAYMENT,
        OrderStatus.PAID_OR_HELD,
    }
    assert {status for status, to in ORDER_MOVES.items() if not to} == CLOSED | {OrderStatus.ISSUED}
    for before, to in BEGINS.items():
        assert to in ORDER_MOVES[before]


def test_every_state_but_the_first_is_reached_and_every_table_is_whole() -> None:
    """A state nobody can reach, or leave, would hide a forgotten step."""
    for table, first in (
        (ORDER_MOVES, OrderStatus.CREATED),
        (PAYMENT_MOVES, PaymentStatus.OPENING),
        (POLICY_MOVES, PolicyStatus.ISSUED),
    ):
        assert set(table) == set(type(first))
        reached = {to for moves in table.values() for to in moves}
        assert reached | {first} == set(type(first))


def test_money_of_another_amount_is_not_taken_for_ours() -> None:
    """A payment of one rouble would buy a policy."""
    seen = ProviderPayment(
        id="p1", status="held", amount=Money(Decimal(1)), captured=Money.zero(), refunded=Money.zero()
    )
    with pytest.raises(MoveNotAllowed):
        observed(paying(PaymentStatus.PENDING), seen)


def test_a_payment_that_was_refunded_in_parts_adds_up() -> None:
    """Two partial refunds would be told as one, or twice."""
    held = ProviderPayment(
        id="p1", status="captured", amount=PREMIUM, captured=PREMIUM, refunded=Money(Decimal("100.01"))
    )
    payment, events = observed(paying(PaymentStatus.PENDING), held)
    assert [event.name for event in events] == ["payment_authorised", "payment_captured", "payment_refunded"]
    assert payment.status is PaymentStatus.CAPTURED
    payment, events = observed(payment, changed(held, refunded=PREMIUM))
    assert payment.status is PaymentStatus.REFUNDED
    (told,) = events
    assert getattr(told, "amount", None) == Money(Decimal("8597.21"))
    assert observed(payment, changed(held, refunded=PREMIUM)) == (payment, ())


@pytest.mark.parametrize("status", [PaymentStatus.HELD, PaymentStatus.CAPTURED])
def test_nothing_is_paid_beside_money_that_has_come_in(status: PaymentStatus) -> None:
    """A buyer who presses again while the order has not been told of the money would pay twice."""
    purchase = changed(at(OrderStatus.AWAITING_PAYMENT), payment=paying(status))
    with pytest.raises(problems.NothingToPay):
        buying.open_payment(purchase, new_id(), "card", "https://example.org/", NOW)


def test_a_payment_found_paid_when_it_is_opened_again_is_the_orders_at_once() -> None:
    """The first request was cut off and paid all the same: the order would wait for money it has."""
    opening = buying.open_payment(at(OrderStatus.AWAITING_PAYMENT), new_id(), "card", "https://example.org/", NOW)
    held = ProviderPayment(id="p1", status="held", amount=PREMIUM, captured=Money.zero(), refunded=Money.zero())
    assert payment_seen(opening, held, NOW).purchase.order.status is OrderStatus.PAID_OR_HELD


# ---------------------------------------------------------------- timers


def test_the_buyers_time_never_outlasts_the_offer() -> None:
    """A buyer could pay when the insurer's price is no longer binding."""
    for minutes, expected in ((10, 10), (300, 30)):
        answer = PriceConfirmed(premium=PREMIUM, expires_at=NOW + timedelta(minutes=minutes))
        purchase = at(OrderStatus.CONFIRMING_PRICE)
        change = after(purchase, Step.CONFIRM_PRICE, answer, NOW, timing=TIMING, minted=MINTED)
        kept = scheduled(change, NOW)
        assert kept.order.pay_until == kept.order.next_action_at == NOW + timedelta(minutes=expected)


def test_a_price_of_nothing_is_no_price() -> None:
    """An insurer's mistake would sell a policy for nothing."""
    answer = PriceConfirmed(premium=Money.zero(), expires_at=NOW + timedelta(hours=1))
    with pytest.raises(MoveNotAllowed):
        after(at(OrderStatus.CONFIRMING_PRICE), Step.CONFIRM_PRICE, answer, NOW, timing=TIMING, minted=MINTED)


def test_an_unknown_issue_is_asked_about_ever_more_seldom() -> None:
    """An insurer in trouble would be asked every five seconds for ever, or not any more."""
    pauses = [recheck(attempt, 5.0) for attempt in range(1, 40)]
    assert pauses[0] == 5.0
    assert pauses == sorted(pauses)
    assert pauses[-1] == 300.0
    assert [backoff(attempt) for attempt in (0, 1, 2, 3, 99)] == [1.0, 1.0, 2.0, 4.0, 120.0]


def test_an_open_payment_is_looked_at_by_the_deadline() -> None:
    """The last look would come after the order should have ended."""
    purchase = at(OrderStatus.AWAITING_PAYMENT)
    payment = changed(paying(PaymentStatus.PENDING), provider_id="p1")
    order = changed(purchase.order, pay_until=NOW + timedelta(seconds=5), attempts=9)
    kept = scheduled(Change(purchase=changed(purchase, order=order, payment=payment)), NOW)
    assert kept.order.next_action_at == NOW + timedelta(seconds=5)


def test_silence_after_sending_is_never_taken_for_a_refusal() -> None:
    """A policy could exist that we gave the money back for."""
    purchase = at(OrderStatus.ISSUING)
    purchase = changed(purchase, payment=paying(PaymentStatus.HELD))
    for day in range(100):
        now = NOW + timedelta(days=day)
        change = after(purchase, Step.ISSUE, Unanswered(), now, timing=TIMING, minted=MINTED)
        purchase = scheduled(change, now)
        assert purchase.order.status is OrderStatus.ISSUE_UNKNOWN
        assert purchase.order.ask_first
        assert purchase.order.next_action_at is not None


# ---------------------------------------------------------------- words


@pytest.mark.parametrize("status", list(OrderStatus))
def test_every_state_has_words_in_both_languages(status: OrderStatus) -> None:
    """A person would look at an order without learning what becomes of the money."""
    reasons = {Reason.BUYER} if status is OrderStatus.CANCELLED else set(Reason) - {Reason.BUYER}
    for reason, payment in product([None, *reasons], [None, *PaymentStatus]):
        purchase = at(status)
        order = changed(purchase.order, reason=reason)
        words = explanation(changed(purchase, order=order, payment=None if payment is None else paying(payment)))
        assert any(word in words.money.ru.lower() for word in ("деньг", "оплат"))
        assert words.text.en == f"{words.what.en} {words.money.en}"
        assert words.code


# ---------------------------------------------------------------- books


def entry(**changes: object) -> BookEntry:
    """An issued order whose books are right."""
    right = BookEntry(
        order_id=new_id(),
        insurer="north",
        status=OrderStatus.ISSUED,
        reason=None,
        at_rest=True,
        premium=PREMIUM,
        held=Money.zero(),
        captured=PREMIUM,
        refunded=Money.zero(),
        policy_number="XXX 1",
        policy_status=PolicyStatus.ISSUED,
        policy_premium=PREMIUM,
        cancelled_refund=None,
    )
    return changed(right, **changes)


@pytest.mark.parametrize(
    "wrong",
    [
        {"captured": Money.zero(), "refunded": Money(Decimal(1))},
        {"held": PREMIUM},
        {"policy_number": None},
        {"policy_premium": Money(Decimal(1))},
        {"refunded": Money(Decimal("0.01"))},
        {"captured": Money(Decimal("8697.21"))},
        {"cancelled_refund": Money(Decimal("5.00")), "refunded": Money(Decimal("4.99"))},
        {"status": OrderStatus.VOIDED},
        {"status": OrderStatus.EXPIRED, "policy_number": None, "policy_premium": None},
        {"status": OrderStatus.CANCELLED, "policy_number": None, "captured": Money.zero(), "held": PREMIUM},
    ],
)
def test_books_that_do_not_fit_are_found(wrong: dict[str, object]) -> None:
    """Lost money or a doubled policy would go unnoticed."""
    assert disagreements([entry(), entry(**wrong)])


@pytest.mark.parametrize(
    "right",
    [
        {},
        {"cancelled_refund": Money(Decimal("5.00")), "refunded": Money(Decimal("5.00"))},
        {"reason": Reason.UNCOLLECTED, "captured": Money.zero()},
        {"status": OrderStatus.REFUNDED, "policy_number": None, "policy_premium": None, "refunded": PREMIUM},
        {"status": OrderStatus.EXPIRED, "policy_number": None, "policy_premium": None, "at_rest": False},
    ],
)
def test_books_that_fit_are_left_alone(right: dict[str, object]) -> None:
    """An auditor would chase differences that are none."""
    assert disagreements([entry(**right)]) == []
