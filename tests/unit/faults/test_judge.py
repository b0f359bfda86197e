"""The judge of the fault tests is judged: every made-up violation must be found, and an honest run must pass."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from deploy.drills.history import Call, History, Mark, longest_gap, read
from deploy.drills.sale.books import Books, MissedEvent, OurOrder, TheirPayment, TheirPolicy
from deploy.drills.sale.judge import judge

PREMIUM = Decimal("8697.22")
ORDER, OTHER, OFFER, QUOTE = "order-1", "order-2", "offer-1", "quote-1"


def call(operation: str, at: float, **facts: Any) -> Call:
    """A call that took 0.1 s and was answered well unless told otherwise."""
    told = facts.pop("told", {})
    known = {"key": f"key of {operation}", "status": 200, "belief": "done", **facts}
    writes = operation in {"quote", "order", "payment", "press", "cancel"}
    return Call(start=at, end=at + 0.1, visitor="purchase-1", operation=operation, writes=writes, told=told, **known)


def order_read(at: float, status: str, **told: Any) -> Call:
    """The buyer looks at the order."""
    return call("order.read", at, key="", told={"order_id": ORDER, "status": status, **told})


HONEST = (
    call("quote", 1.0, told={"quote_id": QUOTE}),
    call("stream", 1.2, key="", told={"quote_id": QUOTE, "events": 10, "gaps": 0}),
    call("order", 2.0, belief="unknown", status=0, error="ServerDisconnectedError", told={"offer_id": OFFER}),
    call("order", 2.5, told={"offer_id": OFFER, "order_id": ORDER, "status": "created"}),
    order_read(3.0, "awaiting_payment"),
    call("payment", 3.2, told={"payment_id": "payment-1"}),
    call("press", 3.4, key=""),
    order_read(4.0, "issued", policy="ABC 1"),
    call("document", 4.5, key="", told={"pdf": True}),
)

THEIRS = TheirPolicy(reference=ORDER, number="ABC 1", premium=PREMIUM, in_force=True)
PAID = TheirPayment(order_id=ORDER, captured=PREMIUM, refunded=Decimal())
OURS = OurOrder(
    id=ORDER,
    status="issued",
    insurer="bystra",
    offer_id=OFFER,
    quote_id=QUOTE,
    premium=PREMIUM,
    policies=("ABC 1",),
    captured=PREMIUM,
    documents={"in_force": 1},
    lines={"policy_issued": 1, "payment_captured": 1},
    settled=PREMIUM,
)
BOOKS = Books(orders=(OURS,), policies=(THEIRS,), payments=(PAID,), quotes=frozenset({QUOTE}))


def charges(calls: tuple[Call, ...] = HONEST, books: Books = BOOKS) -> list[str]:
    """What the judge says, by kind."""
    return sorted(violation.charge for violation in judge(calls, [], books).violations)


def ours(**changes: Any) -> Books:
    """Our books with our one order changed."""
    return msgspec.structs.replace(BOOKS, orders=(msgspec.structs.replace(OURS, **changes),))


def books(**changes: Any) -> Books:
    """All books with something changed."""
    return msgspec.structs.replace(BOOKS, **changes)


def test_an_honest_run_is_not_charged() -> None:
    """Otherwise the verdict would say nothing, as everybody is always guilty."""
    assert judge(HONEST, [], BOOKS).violations == ()


def test_an_ended_policy_with_its_money_back_is_honest() -> None:
    """Otherwise every cancellation would look like a loss."""
    back = Decimal("8000.00")
    ended = ours(
        policy_cancelled=True,
        refunded=back,
        settled=PREMIUM - back,
        documents={"in_force": 1, "cancelled": 1},
        lines={"policy_issued": 1, "policy_cancelled": 1, "payment_captured": 1, "payment_refunded": 1},
    )
    ended = msgspec.structs.replace(
        ended,
        policies=(msgspec.structs.replace(THEIRS, in_force=False),),
        payments=(msgspec.structs.replace(PAID, refunded=back),),
    )
    assert charges(books=ended) == []


LOST: dict[str, Books] = {
    "order": books(orders=(), policies=(), payments=()),
    "quote": books(quotes=frozenset()),
    "policy at the insurer": books(policies=()),
    "policy shown to the buyer": ours(policies=()),
}


@pytest.mark.parametrize("what", LOST)
def test_what_is_lost_is_charged(what: str) -> None:
    """Otherwise a run that loses what people were promised would pass."""
    assert "lost" in charges(books=LOST[what])


DOUBLED: dict[str, Books] = {
    "order": books(orders=(OURS, msgspec.structs.replace(OURS, id=OTHER, policies=(), status="expired"))),
    "policy of ours": ours(policies=("ABC 1", "ABC 2")),
    "policy at the insurer": books(policies=(THEIRS, msgspec.structs.replace(THEIRS, number="ABC 2"))),
    "payment": books(payments=(PAID, PAID)),
    "quote": books(quotes=frozenset({QUOTE, "quote-2"})),
}


@pytest.mark.parametrize("what", DOUBLED)
def test_what_is_there_twice_is_charged(what: str) -> None:
    """Otherwise a run in which a buyer pays twice would pass."""
    assert "doubled" in charges(books=DOUBLED[what])


def test_one_key_with_two_answers_is_charged() -> None:
    """Otherwise a repeated request that makes a second order would pass where the first one is lost."""
    again = call("order", 2.8, told={"offer_id": OFFER, "order_id": OTHER, "status": "created"})
    assert "doubled" in charges((*HONEST, again))


def test_an_order_made_by_a_refused_request_is_charged() -> None:
    """Otherwise a buyer who was told no, and bought elsewhere, would own two policies."""
    refused = call("order", 2.0, belief="refused", status=409, told={"offer_id": OFFER})
    assert "doubled" in charges((HONEST[0], refused))


def test_what_was_there_before_the_history_is_nobodys_double() -> None:
    """Otherwise a second run on the same cluster would be charged with the first one's purchases."""
    before = msgspec.structs.replace(OURS, id=OTHER, offer_id="offer-0", status="issuing", earlier=True)
    paid = msgspec.structs.replace(PAID, order_id=OTHER, captured=KOPECK)
    assert charges(books=books(orders=(OURS, before), payments=(PAID, paid))) == []


KOPECK = Decimal("0.01")
WRONG_MONEY: dict[str, Books] = {
    "taken, they say": books(payments=(msgspec.structs.replace(PAID, captured=PREMIUM + KOPECK),)),
    "given back, they say": books(payments=(msgspec.structs.replace(PAID, refunded=KOPECK),)),
    "taken, we say": ours(captured=PREMIUM - KOPECK),
    "premium of the policy": books(policies=(msgspec.structs.replace(THEIRS, premium=PREMIUM - KOPECK),)),
    "another policy than ours": books(policies=(msgspec.structs.replace(THEIRS, number="ABC 2"),)),
    "payment of nobody": books(payments=(PAID, msgspec.structs.replace(PAID, order_id=OTHER))),
    "policy of nobody": books(policies=(THEIRS, msgspec.structs.replace(THEIRS, reference=OTHER, number="ABC 2"))),
    "ended here, in force there": ours(policy_cancelled=True),
    "refunded here, in force there": ours(status="refunded"),
    "settlement": ours(settled=PREMIUM - KOPECK),
}


@pytest.mark.parametrize("what", WRONG_MONEY)
def test_a_kopeck_is_charged(what: str) -> None:
    """Otherwise the books would drift apart unseen."""
    assert "money" in charges(books=WRONG_MONEY[what])


EFFECTS: dict[str, Books] = {
    "missed": books(events=(MissedEvent(consumer="documents", event_id="1", type="x", times=0),)),
    "twice": books(events=(MissedEvent(consumer="documents", event_id="1", type="x", times=2),)),
    "buried": books(buried=("documents gave up",)),
    "no paper": ours(documents={}),
    "two papers": ours(documents={"in_force": 2}),
    "a stamp on a policy in force": ours(documents={"in_force": 1, "cancelled": 1}),
    "no line": ours(lines={"payment_captured": 1}),
    "two lines": ours(lines={"policy_issued": 2}),
    "a paper without a policy": msgspec.structs.replace(
        ours(policies=(), status="refunded", captured=Decimal(), settled=Decimal(), lines={}),
        policies=(),
        payments=(),
    ),
}


@pytest.mark.parametrize("what", EFFECTS)
def test_an_effect_that_is_not_there_once_is_charged(what: str) -> None:
    """Otherwise a policy without a paper, or settled twice, would pass."""
    assert "effects" in charges(books=EFFECTS[what])


TOLD: dict[str, tuple[str, Call]] = {
    "earlier state": ("denied", order_read(5.0, "awaiting_payment")),
    "no such order": (
        "denied",
        call("order.read", 5.0, key="", belief="refused", status=404, told={"order_id": ORDER}),
    ),
    "gap": ("stream", call("stream", 1.5, key="", told={"quote_id": QUOTE, "events": 3, "gaps": 1})),
    "no paper": ("document", call("document", 5.0, key="", belief="refused", status=410)),
    "not a paper": ("document", call("document", 5.0, key="", told={"pdf": False})),
    "gave up": ("unfinished", call("gave up", 9.0, key="", belief="unknown", error="order got no answer")),
    "not understood": ("unfinished", call("not understood", 9.0, key="", belief="unknown", error="KeyError('id')")),
    "our fault": ("broken", call("order.read", 5.0, key="", belief="unknown", status=500)),
}


@pytest.mark.parametrize("what", TOLD)
def test_what_people_must_not_be_told_is_charged(what: str) -> None:
    """Otherwise a site that forgets what it has shown would pass as long as its books are right."""
    charge, told = TOLD[what]
    assert charges((*HONEST, told)) == [charge]


def test_who_leaves_is_charged_but_while_a_person_is_at_work() -> None:
    """A site that only a person can bring back keeps people waiting; at any other time nobody may have to leave."""
    marks = [
        Mark(at=5.0, what="begin", fault="go-back"),
        Mark(at=8.0, what="heal", fault="go-back"),
        Mark(at=10.0, what="well", fault="go-back"),
    ]
    meanwhile, later = (call("gave up", at, key="", belief="unknown", error="no answer") for at in (9.0, 20.0))
    assert judge((*HONEST, meanwhile), marks, BOOKS, {"go-back"}).violations == ()
    for calls, by_person in ((meanwhile, set[str]()), (later, {"go-back"})):
        found = judge((*HONEST, calls), marks, BOOKS, by_person).violations
        assert [violation.charge for violation in found] == ["unfinished"]


def test_an_old_answer_that_comes_late_is_no_denial() -> None:
    """Otherwise two requests that overtake each other would be charged as a loss of state."""
    slow = msgspec.structs.replace(order_read(3.0, "awaiting_payment"), end=4.3)
    assert charges((*HONEST, slow)) == []


@pytest.mark.parametrize("books_of", [lambda: ours(status="issuing"), lambda: books(waiting=("3 events of orders",))])
def test_what_never_comes_to_rest_is_charged(books_of: Callable[[], Books]) -> None:
    """Otherwise an order that is stuck for ever would pass."""
    assert "unfinished" in charges(books=books_of())


def test_an_order_whose_buyer_walked_away_may_wait() -> None:
    """Otherwise every buyer who changes their mind would be charged to us."""
    waiting = ours(
        status="awaiting_payment", policies=(), captured=Decimal(), documents={}, lines={}, settled=Decimal()
    )
    calm = msgspec.structs.replace(waiting, policies=(), payments=())
    assert charges(HONEST[:5], calm) == []


# ---------------------------------------------------------------- how long it was felt


def test_the_longest_silence_is_measured_where_it_touches_the_fault() -> None:
    """Otherwise the table would flatter the slowest recovery."""
    assert longest_gap([1, 2, 3, 9, 10, 11], 4, 8) == 6
    assert longest_gap([1, 2, 3, 9, 10, 11], 0.5, 3.5) == 6
    assert longest_gap([1, 2, 3, 9, 10, 11], 9.5, 10.5) == 1
    assert longest_gap([], 4, 8) == 4


def test_a_fault_is_described_by_what_was_felt_until_all_was_well() -> None:
    """Otherwise the figures would be those of another fault, or of a quiet time."""
    marks = [
        Mark(at=10.0, what="begin", fault="kill orders-1"),
        Mark(at=20.0, what="heal", fault="kill orders-1"),
        Mark(at=22.0, what="well", fault="kill orders-1"),
        Mark(at=100.0, what="begin", fault="freeze orders-1"),
        Mark(at=101.0, what="well", fault="freeze orders-1"),
    ]
    calls = [call("order", at, told={"offer_id": OFFER, "order_id": ORDER, "status": "created"}) for at in (9, 17, 21)]
    calls += [call("page", at, key="") for at in (8, 12, 13, 25, 26)]
    calls += [call("order", 11.0, belief="unknown", status=503, told={"offer_id": OFFER})]
    first, second = judge(calls, marks, BOOKS).windows
    assert (first.fault, second.fault) == ("kill orders-1", "freeze orders-1")
    assert (round(first.write_gap, 1), round(first.read_gap, 1)) == (8.0, 12.0)
    assert (first.calls, first.unknown) == (7, 1)
    assert second.calls == 0


def test_what_was_noted_is_read_back(tmp_path: Path) -> None:
    """Otherwise the judge would look at another history than the one that happened."""
    path = tmp_path / "history.jsonl"
    mark = Mark(at=0.5, what="begin", fault="kill orders-1")
    with path.open("w", encoding="utf-8") as file:
        history = History(file)
        for line in reversed(HONEST):
            history.note(line)
        history.note(mark)
    calls, marks = read(path)
    assert (tuple(calls), marks) == (HONEST, [mark])
