"""What an order and an insurer's answer mean, in plain words: what happened, where the money is, what to do next.

The API tells what happened; headlines, signs and ways on are in ``data/stories.yaml``.
"""

import re
from functools import cache
from pathlib import Path
from typing import Any, Literal

import msgspec
import yaml

from insuretech.contracts.text import Language, Text
from insuretech.storefront.ports import InsurerLine, Offer, Order

STORIES = Path(__file__).parent / "data" / "stories.yaml"
WAITING = {"queued", "sent", "pending"}
"""Outcomes of an insurer that may still answer."""
MOVING = {"created", "confirming_price", "paid_or_held", "issuing", "issue_unknown", "issue_failed", "compensating"}
"""Order states that change by themselves."""


class Headline(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the page of an order looks: its title, mood and sign, and the way on."""

    title: Text
    mood: Literal["calm", "good", "warn", "bad"] = "calm"
    icon: str = "clock"
    onward: Literal["", "offers", "again"] = ""


class OutcomeWords(msgspec.Struct, frozen=True, kw_only=True):
    """The words for an insurer without an offer."""

    icon: str
    text: Text


class Stories(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file of words."""

    headlines: dict[str, Headline]
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
    money: Text
    mood: str
    icon: str
    moving: bool
    onward: str
    reason: str | None
    steps: tuple[Milestone, ...]


class EndedLine(msgspec.Struct, frozen=True, kw_only=True):
    """An insurer that ended without an offer, and the sentence that says why."""

    name: str
    icon: str
    text: Text | str
    quoted: str = ""
    """The insurer's own sentence, where the reader's language is another one."""


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
_RUSSIAN = re.compile("[А-Яа-яЁё]")
_PAYMENT_ON_THE_WAY = {"opening", "pending"}


def story_of(order: Order) -> Story:
    """The order in plain words."""
    told = order.explanation
    headline = stories().headlines.get(told.code) or stories().headlines["unknown"]
    return Story(
        title=headline.title,
        text=told.what,
        money=told.money,
        mood=headline.mood,
        icon=headline.icon,
        moving=_moving(order),
        onward=headline.onward,
        reason=told.detail,
        steps=_milestones(order),
    )


def _moving(order: Order) -> bool:
    """Whether the page should look again: the order, its payment or its end is on the way."""
    if order.status in MOVING:
        return True
    if order.status == "awaiting_payment":
        return order.payment is not None and order.payment.status in _PAYMENT_ON_THE_WAY
    if order.status != "issued" or order.policy is None:
        return False
    return order.policy.status == "cancel_requested"


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


def ended_line(line: InsurerLine, language: Language) -> EndedLine:
    """The sentence for an insurer without an offer: its own where it gave one, beside ours where that is Russian and
    the page is not.
    """
    words = stories().outcomes.get(line.outcome) or stories().outcomes["other"]
    if line.reason and language != "ru" and _RUSSIAN.search(line.reason):
        return EndedLine(name=line.name, icon=words.icon, text=words.text, quoted=line.reason)
    return EndedLine(name=line.name, icon=words.icon, text=line.reason or words.text)


def offer_state(offer: Offer) -> Text | None:
    """Why an offer cannot be chosen; None when it can."""
    if offer.status == "active":
        return None
    return stories().offers.get(offer.status) or stories().offers["other"]
