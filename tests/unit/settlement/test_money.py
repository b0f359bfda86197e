"""The money of lines, registers and corrections, to the kopeck."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insuretech.contracts.events import PaymentCaptured, PolicyCancelled, PolicyIssued
from insuretech.contracts.money import Money
from insuretech.kit.ids import new_id
from insuretech.settlement.domain import (
    CurrencyNotSettled,
    Fee,
    Line,
    LineKind,
    Terms,
    Vat,
    business_month,
    fee_for,
    fee_given_back,
    line_of,
    of_policy,
    payable,
    rated,
    restatement_of,
    reversal_of,
)

NOW = datetime(2026, 10, 5, 12, 0, tzinfo=UTC)
AMOUNTS = ("premium", "collected", "commission", "vat")

kopecks = st.integers(1, 10**9).map(lambda number: Decimal(number) / 100)
shares = st.integers(0, 999_999).map(lambda number: Decimal(number) / 10**6)
vats = st.one_of(
    st.just(Vat(mode="none")),
    st.builds(
        Vat, mode=st.sampled_from(["included", "on_top"]), rate=st.integers(1, 99).map(lambda n: Decimal(n) / 100)
    ),
)
terms = st.builds(
    Terms,
    agreement=st.just("example-1"),
    rate=shares,
    vat=vats,
    on_cancellation=st.sampled_from(["proportional", "whole", "kept"]),
)


def issued(premium: Decimal) -> Line:
    """The line of a policy, without a fee yet."""
    event = PolicyIssued(
        order_id=new_id(),
        policy_id=new_id(),
        offer_id=new_id(),
        quote_id=new_id(),
        number="BYS-1",
        owner="buyer:1",
        product="osago",
        insurer="bystra",
        premium=Money(premium),
        starts_on=date(2026, 10, 9),
        ends_on=date(2027, 10, 8),
        verification_code="code",
    )
    return line_of(event, line_id=new_id(), event_id=new_id(), occurred_at=NOW)


def cancelled(policy: Line, refund: Decimal, terms: Terms) -> Line:
    """The line of the policy's early end."""
    assert policy.policy_id is not None
    event = PolicyCancelled(
        order_id=policy.order_id,
        policy_id=policy.policy_id,
        number="BYS-1",
        refund=Money(refund),
        cancelled_on=date(2026, 11, 1),
    )
    line = line_of(event, line_id=new_id(), event_id=new_id(), occurred_at=NOW)
    return rated(of_policy(line, policy), policy, terms)


@pytest.mark.parametrize(
    ("premium", "rate", "vat", "fee"),
    [
        ("8697.22", "0.10", Vat(mode="none"), ("869.72", "0.00")),
        ("8697.25", "0.10", Vat(mode="none"), ("869.73", "0.00")),  # half a kopeck goes up
        ("0.04", "0.10", Vat(mode="none"), ("0.00", "0.00")),
        ("1000.00", "0.12", Vat(mode="included", rate=Decimal("0.20")), ("100.00", "20.00")),
        ("1000.01", "0.12", Vat(mode="included", rate=Decimal("0.20")), ("100.00", "20.00")),
        ("1000.10", "0.12", Vat(mode="included", rate=Decimal("0.20")), ("100.01", "20.00")),
        ("1000.00", "0.12", Vat(mode="on_top", rate=Decimal("0.20")), ("120.00", "24.00")),
        ("333.33", "0.075", Vat(mode="on_top", rate=Decimal("0.05")), ("25.00", "1.25")),
    ],
)
def test_the_fee_on_a_premium(premium: str, rate: str, vat: Vat, fee: tuple[str, str]) -> None:
    """A kopeck off in a line is a difference an accountant looks for at both ends."""
    agreed = Terms(agreement="example-1", rate=Decimal(rate), vat=vat, on_cancellation="kept")
    assert fee_for(Decimal(premium), agreed) == Fee(commission=Decimal(fee[0]), vat=Decimal(fee[1]))


@given(kopecks, terms)
def test_vat_included_changes_nothing_in_what_is_paid(premium: Decimal, agreed: Terms) -> None:
    """Where the agreed share holds VAT, commission and VAT together are that share, whatever the rounding."""
    fee = fee_for(premium, agreed)
    if agreed.vat.mode == "included":
        assert fee.commission + fee.vat == Money.rounded(premium * agreed.rate).amount
    assert fee.commission >= 0
    assert fee.vat >= 0


@given(kopecks, terms)
def test_a_whole_refund_leaves_nothing_of_a_proportional_fee(premium: Decimal, agreed: Terms) -> None:
    """Otherwise a policy that was given back whole leaves kopecks that belong to nobody."""
    policy = rated(issued(premium), issued(premium), agreed)
    ended = cancelled(policy, premium, agreed)
    assert policy.premium + ended.premium == 0
    if agreed.on_cancellation != "kept":
        assert policy.commission + ended.commission == 0
        assert policy.vat + ended.vat == 0
    else:
        assert ended.commission == ended.vat == 0


@given(kopecks, st.floats(0, 1), terms)
def test_a_part_refund_leaves_the_fee_on_what_the_insurer_keeps(premium: Decimal, part: float, agreed: Terms) -> None:
    """A fee given back by a share of its own rounding would differ from the fee on the premium that is left."""
    refund = Money.rounded(premium * Decimal(part)).amount
    back = fee_given_back(premium, refund, agreed)
    whole = fee_for(premium, agreed)
    assert 0 <= back.commission <= whole.commission
    assert 0 <= back.vat <= whole.vat + Decimal("0.01")
    if agreed.on_cancellation == "proportional":
        left = fee_for(premium - refund, agreed)
        assert (whole.commission - back.commission, whole.vat - back.vat) == (left.commission, left.vat)


@given(kopecks, terms)
def test_a_reversal_cancels_its_line_exactly(premium: Decimal, agreed: Terms) -> None:
    """A correction that leaves a kopeck behind needs a correction of its own."""
    line = rated(issued(premium), issued(premium), agreed)
    back = reversal_of(line, line_id=new_id(), now=NOW, reason="a wrong rate")
    assert [getattr(line, name) + getattr(back, name) for name in AMOUNTS] == [0, 0, 0, 0]
    assert (back.kind, back.reverses, back.event_id) == (LineKind.REVERSAL, line.id, None)


@given(kopecks, terms, terms)
def test_a_restatement_is_the_line_by_other_terms(premium: Decimal, before: Terms, after: Terms) -> None:
    """Reversal and restatement together must move the fee from the old terms to the new ones and nothing else."""
    policy = rated(issued(premium), issued(premium), before)
    again = restatement_of(policy, policy, after, line_id=new_id(), now=NOW, reason="agreed anew")
    fee = fee_for(premium, after)
    assert (again.premium, again.commission, again.vat) == (premium, fee.commission, fee.vat)
    assert (again.kind, again.restates, again.agreement) == (LineKind.RESTATEMENT, policy.id, after.agreement)


@given(st.lists(st.tuples(kopecks, terms), max_size=30))
def test_a_register_is_the_sum_of_its_lines(given: list[tuple[Decimal, Terms]]) -> None:
    """Rounding sums instead of lines gives totals that no line accounts for."""
    lines = [rated(issued(premium), issued(premium), agreed) for premium, agreed in given]
    sums = {name: sum((getattr(line, name) for line in lines), Decimal(0)) for name in AMOUNTS}
    assert all(total == total.quantize(Decimal("0.01")) for total in sums.values())
    money = {name: sums[name] for name in ("collected", "commission", "vat")}
    assert payable("gross", **money) - payable("net", **money) == sums["commission"] + sums["vat"]


@pytest.mark.parametrize(
    ("moment", "month"),
    [(datetime(2026, number, 1, tzinfo=UTC).replace(hour=0), date(2026, number, 1)) for number in range(1, 13)]
    + [
        (datetime(2026, 9, 30, 20, 59, 59, 999999, tzinfo=UTC), date(2026, 9, 1)),
        (datetime(2026, 9, 30, 21, 0, tzinfo=UTC), date(2026, 10, 1)),
        (datetime(2026, 12, 31, 21, 0, tzinfo=UTC), date(2027, 1, 1)),
        (datetime(2026, 3, 29, 0, 30, tzinfo=UTC), date(2026, 3, 1)),  # when clocks go forward elsewhere
        (datetime(2026, 10, 25, 1, 30, tzinfo=UTC), date(2026, 10, 1)),
        (datetime(2026, 3, 31, 20, 59, tzinfo=UTC), date(2026, 3, 1)),
        (datetime(2026, 3, 31, 21, 0, tzinfo=UTC), date(2026, 4, 1)),
        (datetime(2026, 7, 31, 20, 59, tzinfo=UTC), date(2026, 7, 1)),
        (datetime(2026, 7, 31, 21, 0, tzinfo=UTC), date(2026, 8, 1)),
        (datetime(2028, 2, 29, 20, 59, tzinfo=UTC), date(2028, 2, 1)),
        (datetime(2028, 2, 29, 21, 0, tzinfo=UTC), date(2028, 3, 1)),
    ],
)
def test_months_are_those_of_moscow_all_year_round(moment: datetime, month: date) -> None:
    """Moscow is three hours ahead in summer and winter; a policy of 0:30 on the first must not fall into last month."""
    assert business_month(moment) == month


def test_other_currencies_are_refused() -> None:
    """Added to roubles they would be sums of nothing."""
    event = PaymentCaptured(order_id=new_id(), payment_id=new_id(), amount=Money(Decimal(1), "EUR"))
    with pytest.raises(CurrencyNotSettled):
        line_of(event, line_id=new_id(), event_id=new_id(), occurred_at=NOW)
