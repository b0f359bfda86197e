"""What a policy ended early gives back."""

from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insuretech.contracts.money import KOPECK, Money
from insuretech.contracts.products import CancellationRule
from insuretech.contracts.text import Text
from insuretech.orders.domain.problems import CancellationWindowPassed, NothingToRefund
from insuretech.orders.domain.refunds import Refund, refund_for, unused_days

NOTHING = Text("", "")
OSAGO = CancellationRule(kind="osago_early_termination", refundable_share="0.77", ground=NOTHING, source="")
COOLING_OFF = CancellationRule(kind="cooling_off", days=14, ground=NOTHING, source="")
START, END = date(2026, 12, 1), date(2027, 11, 30)
CONCLUDED = date(2026, 11, 22)


def refund(rule: CancellationRule, on: date, premium: str = "8697.22", start: date = START, end: date = END) -> Refund:
    """The split of a premium when cover ends on a day."""
    return refund_for(
        rule,
        premium=Money(Decimal(premium)),
        concluded_on=CONCLUDED,
        starts_on=start,
        ends_on=end,
        cancelled_on=on,
    )


@pytest.mark.parametrize(
    ("rule", "on", "back"),
    [
        (OSAGO, date(2026, 11, 25), "6696.86"),  # before the start: the whole term at 77 %
        (OSAGO, date(2026, 12, 1), "6678.51"),  # 364 of 365 days: the day of ending is covered
        (OSAGO, date(2027, 6, 1), "3339.26"),  # 182 days
        (OSAGO, date(2027, 11, 29), "18.35"),  # one day
        (COOLING_OFF, CONCLUDED, "8697.22"),
        (COOLING_OFF, date(2026, 11, 30), "8697.22"),  # the day before the start
        (COOLING_OFF, date(2026, 12, 1), "8673.39"),
        (COOLING_OFF, date(2026, 12, 6), "8554.25"),  # the fourteenth day after the conclusion
    ],
)
def test_known_refunds(rule: CancellationRule, on: date, back: str) -> None:
    """A person would be paid by another formula than the law's."""
    split = refund(rule, on)
    assert split.refund == Money(Decimal(back))
    assert split.refund + split.retained == Money(Decimal("8697.22"))


def test_the_cooling_off_period_ends() -> None:
    """A refund would be promised that the insurer will not pay."""
    with pytest.raises(CancellationWindowPassed):
        refund(COOLING_OFF, date(2026, 12, 7))


@pytest.mark.parametrize("on", [END, END + timedelta(days=1), END + timedelta(days=400)])
def test_cover_that_has_run_out_gives_nothing(on: date) -> None:
    """A refund of nothing would be carried out as if it were one."""
    with pytest.raises(NothingToRefund):
        refund(OSAGO, on)


premiums = st.decimals(min_value="0.01", max_value="9999999.99", places=2)
terms = st.integers(min_value=1, max_value=1096)


@given(premium=premiums, days=terms, data=st.data())
def test_what_goes_back_and_what_stays_is_the_premium(premium: Decimal, days: int, data: st.DataObject) -> None:
    """A kopeck would be lost or invented by rounding."""
    end = START + timedelta(days=days - 1)
    on = data.draw(st.dates(min_value=CONCLUDED, max_value=END + timedelta(days=1200)))
    try:
        split = refund(OSAGO, on, str(premium), end=end)
    except NothingToRefund:
        assert on >= end
        return
    assert split.refund.amount + split.retained.amount == premium
    assert 0 <= split.refund.amount <= (premium * Decimal("0.77")).quantize(KOPECK) + KOPECK
    exact = premium * Decimal("0.77") * unused_days(START, end, on) / days
    assert abs(split.refund.amount - exact) <= KOPECK / 2


@given(premium=premiums, days=st.integers(min_value=2, max_value=1096), data=st.data())
def test_waiting_never_pays(premium: Decimal, days: int, data: st.DataObject) -> None:
    """A person would get more by cancelling a day later."""
    end = START + timedelta(days=days - 1)
    on = data.draw(st.dates(min_value=CONCLUDED, max_value=end - timedelta(days=1)))
    earlier = refund(OSAGO, on, str(premium), end=end)
    try:
        later = refund(OSAGO, on + timedelta(days=1), str(premium), end=end)
    except NothingToRefund:
        return
    assert later.refund.amount <= earlier.refund.amount
