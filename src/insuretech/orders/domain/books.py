"""Our books: what we believe of every order's money and policy, and whether that makes sense in itself."""

from collections.abc import Iterable, Iterator
from uuid import UUID

import msgspec

from insuretech.contracts.money import Money
from insuretech.orders.domain.lifecycle import CLOSED, OrderStatus, PolicyStatus, Reason


class BookEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One order. Amounts are sums over all its payments; ``at_rest`` says that nothing more will happen by itself.

    ``cancelled_refund`` is what a cancellation that was carried out promised.
    """

    order_id: UUID
    insurer: str
    status: OrderStatus
    reason: Reason | None
    at_rest: bool
    premium: Money
    held: Money
    captured: Money
    refunded: Money
    policy_number: str | None
    policy_status: PolicyStatus | None
    policy_premium: Money | None
    cancelled_refund: Money | None

    @property
    def kept(self) -> Money:
        return self.captured - self.refunded


def disagreements(entries: Iterable[BookEntry]) -> list[str]:
    """Sentences about orders whose money, policy and status do not fit together; empty when the books are right."""
    return [f"order {entry.order_id}: {fault}" for entry in entries for fault in _faults(entry)]


def _faults(entry: BookEntry) -> Iterator[str]:
    if entry.kept.amount < 0:
        yield "more was refunded than captured"
    if entry.held.amount + entry.kept.amount > entry.premium.amount:
        yield "more money is held and kept than the premium"
    if entry.status is OrderStatus.ISSUED:
        yield from _issued_faults(entry)
    elif entry.policy_number is not None and entry.status in CLOSED:
        yield f"it has a policy and is {entry.status}"
    if entry.status in CLOSED and entry.at_rest and (entry.kept or entry.held):
        yield f"it is {entry.status} and money stayed with us"


def _issued_faults(entry: BookEntry) -> Iterator[str]:
    if entry.policy_number is None:
        yield "it is issued and has no policy"
    if entry.policy_premium is not None and entry.policy_premium != entry.premium:
        yield "the insurer issued for another premium than was agreed"
    if not entry.at_rest or entry.reason is Reason.UNCOLLECTED:
        return
    gone = entry.cancelled_refund or Money.zero(entry.premium.currency)
    uncollected = not entry.captured
    if not uncollected and entry.kept != entry.premium - gone:
        yield "the money kept is not the premium less what a cancellation gave back"
    if entry.held:
        yield "it is issued and its money is still only held"
