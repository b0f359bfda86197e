"""What an insurer's answer means: what is shown, what is refused, and with which sentence."""

from datetime import timedelta
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from insuretech.contracts.insurers import Declined, Invalid, Offered, Referred
from insuretech.contracts.money import Money
from insuretech.quotes.domain import (
    LONGEST_REASON,
    OUTSIDE_CORRIDOR,
    UNUSABLE,
    LineStatus,
    Patience,
    judge,
    plain_reason,
)
from tests.unit.quotes.specimens import LIMITS, NOW, offered


@pytest.mark.parametrize("amount", ["4000.00", "6500.50", "9000.00"])
def test_an_offer_inside_the_corridor_is_shown(amount: str) -> None:
    """A lawful offer, its ends included, would be hidden from the buyer."""
    verdict = judge(offered(amount), LIMITS, NOW)
    assert verdict.outcome is LineStatus.OFFERED
    assert verdict.offered == offered(amount)


@pytest.mark.parametrize("amount", ["3999.99", "9000.01"])
def test_an_offer_outside_the_corridor_is_refused(amount: str) -> None:
    """A buyer would be sold OSAGO at a price the law forbids."""
    verdict = judge(offered(amount), LIMITS, NOW)
    assert verdict.outcome is LineStatus.DECLINED
    assert verdict.offered is None
    assert verdict.reason == OUTSIDE_CORRIDOR
    assert verdict.outside == Money(Decimal(amount))


def test_products_without_a_corridor_have_any_price() -> None:
    """Travel and mortgage offers would be held against the OSAGO tariff."""
    assert judge(offered("1.00"), None, NOW).outcome is LineStatus.OFFERED


@pytest.mark.parametrize(
    "broken",
    [
        msgspec.structs.replace(offered(), premium=Money(Decimal("0.00"))),
        msgspec.structs.replace(offered(), premium=Money(Decimal("5000.00"), "USD")),
        msgspec.structs.replace(offered(), expires_at=NOW),
        msgspec.structs.replace(offered(), expires_at=(NOW + timedelta(days=1)).replace(tzinfo=None)),
        msgspec.structs.replace(offered(), offer_number=""),
        msgspec.structs.replace(offered(), offer_number="N\x00"),
        msgspec.structs.replace(offered(), offer_number="N" * 101),
    ],
    ids=["free", "dollars", "over", "no zone", "no number", "nul", "long number"],
)
def test_an_offer_that_cannot_be_used_is_not_shown(broken: Offered) -> None:
    """A buyer would choose an offer that cannot be ordered, or our database would refuse it for ever."""
    verdict = judge(broken, None, NOW)
    assert (verdict.outcome, verdict.reason, verdict.offered) == (LineStatus.UNAVAILABLE, UNUSABLE, None)


@given(st.text(max_size=2000))
def test_an_insurers_words_are_kept_tidy(words: str) -> None:
    """A refusal with line breaks, NULs or a novel in it would break the page or the database."""
    for answer, outcome in (
        (Declined(reason=words), LineStatus.DECLINED),
        (Referred(reason=words), LineStatus.REFERRED),
        (Invalid(reason=words), LineStatus.INVALID),
    ):
        verdict = judge(answer, LIMITS, NOW)
        assert verdict.outcome is outcome
        assert verdict.reason is not None
        assert verdict.reason.ru.isprintable()
        assert 0 < len(verdict.reason.ru) <= max(LONGEST_REASON, len(plain_reason(outcome).ru))


@given(st.integers(1, 50), st.floats(0, 1, exclude_max=True), st.floats())
def test_pauses_stay_within_bounds(failures: int, chance: float, retry_after: float) -> None:
    """An insurer would be hammered without a pause, or one that asks to wait for a year would never be asked again."""
    patience = Patience()
    assert 0 < patience.pause(failures, chance) <= patience.longest_pause
    assert patience.shortest_poll <= patience.poll(retry_after) <= patience.longest_poll
