"""What a buyer gets back when a policy ends early, by the rule of its product."""

from datetime import date, timedelta
from decimal import Decimal

import msgspec

from insuretech.contracts.money import Money
from insuretech.contracts.products import CancellationRule
from insuretech.orders.domain import problems


class Refund(msgspec.Struct, frozen=True):
    """How a premium is split: ``refund`` goes back, ``retained`` stays with the insurer."""

    refund: Money
    retained: Money


def unused_days(starts_on: date, ends_on: date, cancelled_on: date) -> int:
    """Days of cover left; the day of ending is still covered, counting starts the day after it.

    Source: rules of OSAGO (Bank of Russia), 1.16; applied to voluntary cover alike.
    """
    if cancelled_on < starts_on:
        return (ends_on - starts_on).days + 1
    return max((ends_on - cancelled_on).days, 0)


def refund_for(
    rule: CancellationRule, *, premium: Money, concluded_on: date, starts_on: date, ends_on: date, cancelled_on: date
) -> Refund:
    """The split of ``premium`` when cover ends with the day ``cancelled_on`` (Moscow dates), rounded to the kopeck.

    Compulsory motor cover: premium × share × unused days / days of the term (40-FZ art. 10(4)). Voluntary cover:
    everything before the start, pro rata after it, within ``rule.days`` calendar days from the day after conclusion
    (Bank of Russia 3854-U; Civil Code art. 191). Raises ``CancellationWindowPassed`` or ``NothingToRefund``.
    """
    unused, term = unused_days(starts_on, ends_on, cancelled_on), (ends_on - starts_on).days + 1
    if rule.kind == "cooling_off":
        last = concluded_on + timedelta(days=rule.days)
        if cancelled_on > last:
            raise problems.CancellationWindowPassed(f"It was possible until {last.isoformat()}.")
        share = Decimal(1)
    else:
        share = Decimal(rule.refundable_share)
    if unused == 0:
        raise problems.NothingToRefund
    refund = Money.rounded(premium.amount * share * unused / term, premium.currency)
    return Refund(refund, premium - refund)
