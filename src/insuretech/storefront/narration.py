"""What an order and an insurer's answer mean, in plain words: what happened, where the money is, what to do next.

The words are in ``data/stories.yaml``; here is which of them fit.
"""

from functools import cache
from pathlib import Path
from typing import Any, Literal

import msgspec
import yaml

from insuretech.contracts.text import Text
from insuretech.storefront.ports import InsurerLine, Offer, Order

STORIES = Path(__file__).parent / "data" / "stories.yaml"
WAITING = {"queued", "sent", "pending"}
_SPOKEN = {"declined", "referred", "invalid"}
"""Outcomes in which the insurer said something itself."""


class Told(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The words for one state of an order."""

    title: Text
    text: Text
    money: str = ""
    mood: Literal["calm", "good", "warn", "bad"] = "calm"
    icon: str = "clock"
    moving: bool = False
    onward: Literal["", "offers", "again"] = ""


class OutcomeWords(msgspec.Struct, frozen=True, kw_only=True):
    """The words for an insurer without an offer."""

    icon: str
    text: Text


class Stories(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file of words."""

    money: dict[str, Text]
    states: dict[str, Told]
    explained: dict[str, Told]
    policy: dict[str, Told]
    unknown: Told
    outcomes: dict[str, OutcomeWords]
    offers: dict[str, Text]
    milestones: tuple[Text, ...]


class Milestone(msgspec.Struct, frozen=True, kw_only=True):
    """One step of an order's way; ``state`` is done, current, todo or failed."""

    title: Text | str
    state: str
    text: str = ""


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """An order told to its buyer. ``moving``: it changes by itself, so the page looks again."""

    title: Text
    text: Text
    money: Text | None
    mood: str
    icon: str
    moving: bool
    onward: str
    reason: str | None
    steps: tuple[Milestone, ...]


class EndedLine(msgspec.Struct, frozen=True, kw_only=True):
    """An insurer that ended without an offer; ``reason`` are its own words."""

    name: Text
    icon: str
    text: Text
    reason: str | None


@cache
def stories() -> Stories:
    """The words, read once."""
    document: Any = yaml.safe_load(STORIES.read_text(encoding="utf-8"))
    return msgspec.convert(document, Stories)


_REACHED = {
    "created": 0,
    "confirming_price": 1,
    "price_changed": 1,
    "awaiting_payment": 2,
    "paid_or_held": 3,
    "issuing": 3,
    "issue_unknown": 3,
    "issued": 4,
    "issue_failed": 3,
    "compensating": 3,
    "refunded": 3,
    "voided": 3,
    "expired": 2,
    "cancelled": 1,
}
_ENDED_BADLY = {"issue_failed", "compensating", "refunded", "voided", "expired", "cancelled"}
_STATE_KNOWS_BEST = {"issued", "price_changed", "issue_unknown"}


def story_of(order: Order) -> Story:
    """The order in plain words."""
    told = _told(order)
    document_due = order.status == "issued" and order.policy is not None and not order.policy.document_url
    return Story(
        title=told.title,
        text=told.text,
        money=stories().money[told.money] if told.money else None,
        mood=told.mood,
        icon=told.icon,
        moving=told.moving or document_due,
        onward=told.onward,
        reason=order.explanation.reason if order.explanation else None,
        steps=_milestones(order),
    )


def _told(order: Order) -> Told:
    words = stories()
    if order.policy is not None and order.policy.status in words.policy:
        return words.policy[order.policy.status]
    state = words.states.get(order.status, words.unknown)
    explained = words.explained.get(order.explanation.code) if order.explanation else None
    if explained is None or order.status in _STATE_KNOWS_BEST:
        return state
    # The state knows where the money is, the explanation knows why.
    money = state.money if order.status in {"compensating", "refunded", "voided"} else explained.money
    return msgspec.structs.replace(explained, money=money, moving=state.moving)


def _milestones(order: Order) -> tuple[Milestone, ...]:
    reached = _REACHED.get(order.status, 0)
    failed = order.status in _ENDED_BADLY

    def state(index: int) -> str:
        if index < reached:
            return "done"
        if index > reached:
            return "todo"
        return "failed" if failed else "current"

    return tuple(Milestone(title=title, state=state(index)) for index, title in enumerate(stories().milestones))


def ended_line(line: InsurerLine) -> EndedLine:
    """The sentence for an insurer without an offer; its own words only where it spoke."""
    words = stories().outcomes.get(line.outcome) or stories().outcomes["other"]
    reason = line.reason if line.outcome in _SPOKEN else None
    return EndedLine(name=line.name, icon=words.icon, text=words.text, reason=reason)


def offer_state(offer: Offer) -> Text | None:
    """Why an offer cannot be chosen; None when it can."""
    if offer.status == "active":
        return None
    return stories().offers.get(offer.status) or stories().offers["other"]
