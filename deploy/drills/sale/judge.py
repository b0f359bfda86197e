"""The judge: takes the history and all books and says what went wrong. Pure, so that it can be tested itself."""

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Literal

import msgspec

from deploy.drills.history import Call, Mark, longest_gap, reached
from deploy.drills.sale.books import Books, OurOrder

Charge = Literal[
    "lost", "doubled", "money", "effects", "denied", "stream", "document", "unfinished", "broken", "late", "differs"
]
"""``denied``: something acknowledged was later said not to exist, or to be in an earlier state; ``late``: nothing
succeeded for longer than the goal allows; ``differs``: a projection does not equal its source."""

_FINAL = frozenset({"issued", "refunded", "voided", "expired", "cancelled"})
_RESTING = _FINAL | {"awaiting_payment", "price_changed"}  # these wait for their buyer, who may have left
_ENDED = {"refunded": 3, "voided": 3, "expired": 3, "cancelled": 3}
_STAGES = {"created": 0, "confirming_price": 0, "price_changed": 0, "awaiting_payment": 1, "paid_or_held": 2,
           "issuing": 2, "issue_unknown": 2, "issue_failed": 2, "compensating": 2, "issued": 3} | _ENDED  # fmt: skip


class Violation(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that must not be."""

    charge: Charge
    text: str


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """One fault as people felt it; times in seconds, ``None`` when nothing of the kind succeeded at all.

    ``write_gap``, ``read_gap``: the longest time without a successful call, from ``begin`` until all was well again
    and a little longer. ``unknown``: attempts whose outcome the client did not learn.
    """

    fault: str
    begin: float
    heal: float
    well: float
    write_gap: float
    read_gap: float
    purchase_gap: float
    calls: int
    unknown: int
    p99: float


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the judge says; no violation is the only good verdict."""

    violations: tuple[Violation, ...]
    windows: tuple[Window, ...]
    counts: dict[str, int]
    """How much was judged, so that a run in which nothing happened does not pass for a good one."""


def judge(
    calls: Sequence[Call], marks: Sequence[Mark], books: Books, by_person: Container[str] = frozenset()
) -> Verdict:
    """Hold the history against the books; what was there before the history begins is not its matter.

    ``by_person`` names faults that end when a person has done something: some of the people do not wait for that.
    """
    books = _of_this_history(books)
    felt = tuple(windows(calls, marks))
    waited = [window for window in felt if window.fault in by_person]
    violations = [
        *_lost(calls, books),
        *_doubled(calls, books),
        *_money(books),
        *_effects(books),
        *_denied(calls),
        *_streams(calls),
        *_papers(calls),
        *_unfinished([call for call in calls if not _left(call, waited)], books),
    ]
    counts = {
        "attempts": len(calls),
        "quotes acknowledged": len(_acknowledged(calls, "quote", "quote_id")),
        "orders acknowledged": len(_acknowledged(calls, "order", "order_id")),
        "orders issued": sum(order.status == "issued" for order in books.orders),
        "policies at insurers": len(books.policies),
        "cancelled": sum(order.policy_cancelled for order in books.orders),
        "papers fetched": sum(call.operation == "document" and call.status == 200 for call in calls),
        "outcomes unknown": sum(call.belief == "unknown" for call in calls),
        "turned away": sum(call.operation == "turned away" for call in calls),
    }
    return Verdict(violations=tuple(violations), windows=felt, counts=counts)


def _of_this_history(books: Books) -> Books:
    earlier = {order.id for order in books.orders if order.earlier}
    return msgspec.structs.replace(
        books,
        orders=tuple(order for order in books.orders if not order.earlier),
        policies=tuple(policy for policy in books.policies if policy.reference not in earlier),
        payments=tuple(payment for payment in books.payments if payment.order_id not in earlier),
    )


# ---------------------------------------------------------------- lost, doubled


def _lost(calls: Sequence[Call], books: Books) -> Iterator[Violation]:
    orders = {order.id: order for order in books.orders}
    for order_id in sorted(_acknowledged(calls, "order", "order_id") - orders.keys()):
        yield _charge("lost", f"order {order_id} was acknowledged and is not in our books")
    for quote_id in sorted(_acknowledged(calls, "quote", "quote_id") - books.quotes):
        yield _charge("lost", f"quote {quote_id} was acknowledged and is not in our books")
    shown = {(call.told["order_id"], call.told["policy"]) for call in calls if "policy" in call.told}
    for order_id, number in sorted(shown):
        if order_id in orders and number not in orders[order_id].policies:
            yield _charge("lost", f"policy {number} of order {order_id} was shown to its buyer and is gone")
    numbers = {policy.number for policy in books.policies}
    for order in books.orders:
        for number in order.policies:
            if number not in numbers:
                yield _charge("lost", f"policy {number} of order {order.id} is unknown to its insurer")


def _doubled(calls: Sequence[Call], books: Books) -> Iterator[Violation]:
    yield from _answered_twice(calls)
    yield from _orders_of_offers(calls, books)
    asked = {call.key for call in calls if call.operation == "quote"}
    if len(books.quotes) > len(asked):
        yield _charge("doubled", f"{len(books.quotes)} quotes are kept, {len(asked)} were asked for")
    for order in books.orders:
        if len(order.policies) > 1:
            yield _charge("doubled", f"order {order.id} has the policies {', '.join(order.policies)}")
    for reference, count in Counter(policy.reference for policy in books.policies).items():
        if count > 1:
            yield _charge("doubled", f"the insurer has {count} policies for order {reference}")
    taken = Counter(payment.order_id for payment in books.payments if payment.captured > payment.refunded)
    for order_id, count in taken.items():
        if count > 1:
            yield _charge("doubled", f"order {order_id} was paid {count} times")


def _answered_twice(calls: Iterable[Call]) -> Iterator[Violation]:
    """One key means one request, so all its answers name the same thing."""
    names = {"order": "order_id", "quote": "quote_id", "payment": "payment_id"}
    told: defaultdict[str, set[str]] = defaultdict(set)
    for call in calls:
        if call.operation in names and call.belief == "done":
            told[call.key].add(call.told[names[call.operation]])
    for key, ids in told.items():
        if len(ids) > 1:
            yield _charge("doubled", f"the key {key} was answered with {' and '.join(sorted(ids))}")


def _orders_of_offers(calls: Iterable[Call], books: Books) -> Iterator[Violation]:
    """An offer becomes at most as many orders as its buyer sent requests, and none by a request that was refused."""
    asked: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for call in calls:
        if call.operation == "order":
            asked[call.told["offer_id"]][call.key] = call.belief
    found = Counter(order.offer_id for order in books.orders)
    for offer, count in found.items():
        possible = sum(belief != "refused" for belief in asked[offer].values())
        if count > possible:
            yield _charge("doubled", f"offer {offer} has {count} orders, {possible} requests may have made one")


# ---------------------------------------------------------------- money


def _money(books: Books) -> Iterator[Violation]:
    ours = {order.id: order for order in books.orders}
    for order_id in sorted({payment.order_id for payment in books.payments} - ours.keys()):
        yield _charge("money", f"order {order_id} was paid and is not in our books")
    for policy in books.policies:
        if policy.reference not in ours:
            yield _charge("money", f"the insurer's policy {policy.number} belongs to no order of ours")
    for order in books.orders:
        for fault in _order_money(order, books):
            yield _charge("money", f"order {order.id} ({order.status}): {fault}")


def _order_money(order: OurOrder, books: Books) -> Iterator[str]:
    payments = [payment for payment in books.payments if payment.order_id == order.id]
    captured = sum((payment.captured for payment in payments), Decimal())
    refunded = sum((payment.refunded for payment in payments), Decimal())
    theirs = [policy for policy in books.policies if policy.reference == order.id]
    in_force = sum((policy.premium for policy in theirs if policy.in_force), Decimal())
    if (order.captured, order.refunded) != (captured, refunded):
        yield f"we say {order.captured} taken and {order.refunded} given back, the provider {captured} and {refunded}"
    if sorted(policy.number for policy in theirs) != sorted(order.policies):
        yield f"our policies are {list(order.policies)}, the insurer's {[policy.number for policy in theirs]}"
    if not order.policy_cancelled and captured - refunded - order.held != in_force:
        yield f"the buyer has paid {captured - refunded - order.held}, the policies in force cost {in_force}"
    if order.policy_cancelled and any(policy.in_force for policy in theirs):
        yield "we ended the policy and the insurer has it in force"
    if order.status != "issued" and in_force:
        yield "the insurer has a policy in force"
    if books.has_settlement and order.settled != order.captured - order.refunded - order.held:
        yield f"settlement says {order.settled} was collected, the payments say {order.captured - order.refunded}"


# ---------------------------------------------------------------- effects


def _effects(books: Books) -> Iterator[Violation]:
    for event in books.events:
        yield _charge("effects", f"{event.type} {event.event_id} took effect {event.times} times at {event.consumer}")
    for letter in books.buried:
        yield _charge("effects", f"dead letter: {letter}")
    for order in books.orders:
        wanted_papers = {"in_force": 1} if order.policies else {}
        wanted_lines = {"policy_issued": 1} if order.policies else {}
        if order.policy_cancelled:
            wanted_papers["cancelled"] = wanted_lines["policy_cancelled"] = 1
        for name, wanted, found in (
            ("papers", wanted_papers, order.documents),
            ("settlement lines", wanted_lines if books.has_settlement else {}, order.lines),
        ):
            counted = {kind: number for kind, number in found.items() if kind in {*wanted, "in_force", "cancelled",
                       "policy_issued", "policy_cancelled"}}  # fmt: skip
            if counted != wanted:
                yield _charge("effects", f"order {order.id} has {name} {counted}, wanted are {wanted}")


# ---------------------------------------------------------------- what people were told


def _denied(calls: Sequence[Call]) -> Iterator[Violation]:
    reached: dict[str, tuple[float, int, str]] = {}
    for call in sorted(calls, key=lambda one: one.end):
        order_id = call.told.get("order_id")
        if order_id is None or "status" not in call.told:
            continue
        status = call.told["status"]
        before = reached.get(order_id)
        stage = _STAGES.get(status, 0)
        if before is not None and call.start >= before[0] and stage < before[1]:
            yield _charge("denied", f"order {order_id} was {before[2]} and then shown as {status}")
        if before is None or stage >= before[1]:
            reached[order_id] = (call.end, stage, status)
    known = {call.told["order_id"]: call.end for call in calls if call.operation == "order" and call.belief == "done"}
    for call in calls:
        order_id = call.told.get("order_id")
        if call.status == 404 and order_id in known and call.start >= known[order_id]:
            yield _charge("denied", f"order {order_id} was acknowledged and then answered with 404")


def _streams(calls: Iterable[Call]) -> Iterator[Violation]:
    for call in calls:
        if call.operation == "stream" and call.told.get("gaps"):
            quote = call.told.get("quote_id")
            yield _charge("stream", f"the live stream of quote {quote} skipped or repeated {call.told['gaps']} events")


def _papers(calls: Iterable[Call]) -> Iterator[Violation]:
    for call in calls:
        if call.operation == "document" and call.status == 200 and not call.told.get("pdf"):
            yield _charge("document", f"{call.visitor} was given something that is not a PDF")
        if call.operation == "document" and call.belief == "refused":
            yield _charge("document", f"{call.visitor} was refused the policy's paper: {call.status} {call.error}")


def _left(call: Call, waited: Iterable[Window]) -> bool:
    """Whether somebody gave up while a person was at work."""
    return call.operation == "gave up" and any(one.begin <= call.start <= one.well + SETTLE for one in waited)


def _unfinished(calls: Iterable[Call], books: Books) -> Iterator[Violation]:
    for order in books.orders:
        if order.status not in _RESTING:
            yield _charge("unfinished", f"order {order.id} is still {order.status}")
    for what in books.waiting:
        yield _charge("unfinished", f"still moving at the end: {what}")
    for call in calls:
        if call.operation in {"gave up", "not understood"}:
            yield _charge("unfinished", f"{call.visitor} {call.operation}: {call.error}")
        if call.status == 500:
            yield _charge("broken", f"{call.operation} of {call.visitor} was answered with 500: {call.error}")


# ---------------------------------------------------------------- how long it was felt

SETTLE = 5.0
"""Seconds after all is well that still belong to a fault."""
_PURCHASE = frozenset({"order", "payment", "press"})


def windows(calls: Sequence[Call], marks: Sequence[Mark]) -> Iterator[Window]:
    """Each fault with the longest time that nothing succeeded."""
    writes = sorted(call.end for call in calls if call.writes and call.belief == "done")
    reads = sorted(call.end for call in calls if not call.writes and call.belief == "done")
    purchases = sorted(call.end for call in calls if call.operation in _PURCHASE and call.belief == "done")
    for begin in (mark for mark in marks if mark.what == "begin"):
        heal = reached(marks, "heal", begin)
        well = reached(marks, "well", begin)
        until = well + SETTLE
        within = [call for call in calls if begin.at <= call.start <= until]
        slow = sorted(call.end - call.start for call in within if call.operation != "stream")
        yield Window(
            fault=begin.fault,
            begin=begin.at,
            heal=heal,
            well=well,
            write_gap=longest_gap(writes, begin.at, until),
            read_gap=longest_gap(reads, begin.at, until),
            purchase_gap=longest_gap(purchases, begin.at, until),
            calls=len(within),
            unknown=sum(call.belief == "unknown" and call.operation != "stream" for call in within),
            p99=slow[min(len(slow) - 1, int(0.99 * len(slow)))] if slow else 0.0,
        )


def _acknowledged(calls: Iterable[Call], operation: str, name: str) -> set[str]:
    return {call.told[name] for call in calls if call.operation == operation and call.belief == "done"}


def _charge(charge: Charge, text: str) -> Violation:
    return Violation(charge=charge, text=text)
