"""What the sandbox's insurers and its payment provider are: their behaviour, and what they put in their books."""

from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta, field

from insuretech.contracts.money import Money

Milliseconds = Annotated[int, Meta(ge=0, le=120_000)]
Seconds = Annotated[int, Meta(ge=1, le=31_536_000)]
Share = Annotated[float, Meta(ge=0, le=1)]
Percent = Annotated[float, Meta(ge=-90, le=500)]
Weight = Annotated[float, Meta(gt=0, le=1000)]
Factor = Annotated[float, Meta(gt=0, le=100)]

Outcome = Literal["offer", "decline", "refer", "invalid", "pending", "hang", "down"]
Manner = Literal["dropped", "broken", "hang"]
"""How an answer gets lost: the connection ends in its middle, it makes no sense, or it never comes."""
Failure = Literal["down", "dropped", "broken", "hang"]
"""``down`` refuses before any work; the others do the work and lose the answer."""
Failures = Annotated[list[Failure], Meta(min_length=1, max_length=4)]
"""A list, as Litestar describes bounded tuples of any length wrongly."""
Sending = Literal["sent", "lost", "duplicated", "forged"]
Access = Literal["ok", "down", "hang"]


class Unavailable(Exception):
    """Refused before any work was done; on the wire 503."""


class AnswerLost(Exception):
    """No answer arrives, in this manner; what was done before stands."""

    def __init__(self, manner: Manner) -> None:
        super().__init__(manner)
        self.manner: Manner = manner


class Slips(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far a party's own register of a month is from its books: shares of its lines that it leaves out, tells with
    another amount, dates a day later or tells twice, and the number of lines it invents. The same lines every time.
    """

    statement_omits: Share = 0.0
    statement_amounts: Share = 0.0
    statement_days: Share = 0.0
    statement_doubles: Share = 0.0
    statement_invents: Annotated[int, Meta(ge=0, le=1000)] = 0


class Behaviour(Slips, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an insurer behaves; every field may be set live.

    Every call: takes between ``delay_min_ms`` and ``delay_max_ms``; a share of ``failure_rate`` fails in one of the
    ways of ``failures``.

    Offers: ``outcome``, or weights of several (``{"offer": 8, "decline": 2}``, the same for a reference every time);
    ``pending`` accepts and offers after ``pending_ms``. Price: ``premium`` if set; else OSAGO at ``corridor_share``
    between the legal bounds, others by tariff; times ``price_factor``, kept inside the legal corridor unless
    ``outside_corridor``, which goes a tenth over it. Valid for ``offer_valid_s``.

    Confirming a price: ``confirm``; it changes by ``confirm_change_percent`` and holds for ``reservation_valid_s``.

    Issuing: ``issue``; ``unknown_issued`` concludes the contract and loses the answer in the manner ``lost_answer``,
    ``unknown_not_issued`` loses the request without a trace; ``pending`` concludes after ``pending_ms``. For
    ``lookup_after_ms`` after a lost answer a look-up only says that it is being worked on. ``lookup`` is the access
    to looking up states at all.

    Callbacks (dialect with callbacks only): ``callback``, each ``callback_delay_ms`` later than it could be;
    ``forged`` carries a wrong signature.

    Ending a policy: ``cancel``; ``unknown_ended`` ends it and loses the answer.

    Its register of a month: ``Slips``.
    """

    delay_min_ms: Milliseconds = 0
    delay_max_ms: Milliseconds = 0
    failure_rate: Share = 0.0
    failures: Failures = field(default_factory=lambda: ["down", "dropped", "broken"])
    outcome: Outcome | Annotated[dict[Outcome, Weight], Meta(min_length=1)] = "offer"
    pending_ms: Milliseconds = 2_000
    premium: Money | None = None
    price_factor: Factor = 1.0
    corridor_share: Share = 0.5
    outside_corridor: bool = False
    offer_valid_s: Seconds = 86_400
    confirm: Literal["ok", "refuse", "down", "hang"] = "ok"
    confirm_change_percent: Percent = 0.0
    reservation_valid_s: Seconds = 86_400
    issue: Literal["ok", "refuse", "pending", "unknown_issued", "unknown_not_issued", "down", "hang"] = "ok"
    lost_answer: Manner = "dropped"
    lookup_after_ms: Milliseconds = 0
    lookup: Access = "ok"
    callback: Sending = "sent"
    callback_delay_ms: Milliseconds = 0
    cancel: Literal["ok", "refuse", "unknown_ended", "down", "hang"] = "ok"


class InsurerDocument(Behaviour, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An insurer as the controls show it. ``code``, ``name`` and ``character`` are for reading: what is sent of them
    changes nothing.
    """

    code: str = ""
    name: str = ""
    character: str = ""


class ProviderBehaviour(Slips, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the payment provider behaves; every field may be set live.

    Calls take between ``delay_min_ms`` and ``delay_max_ms``; ``access`` ``down`` or ``hang`` stops them all, and a
    share of ``failure_rate`` fails in one of the ways of ``failures``. ``capture`` ``refuse`` loses the hold instead of
    taking it. ``refund`` ``pending`` succeeds after ``pending_ms``, ``refuse`` ends it as cancelled. A buyer has
    ``confirmation_s`` to pay; a hold lapses after ``hold_s``. ``notifications`` come ``notification_delay_ms`` late.
    """

    delay_min_ms: Milliseconds = 0
    delay_max_ms: Milliseconds = 0
    access: Access = "ok"
    failure_rate: Share = 0.0
    failures: Failures = field(default_factory=lambda: ["down", "dropped", "broken"])
    capture: Literal["ok", "refuse"] = "ok"
    refund: Literal["ok", "pending", "refuse"] = "ok"
    pending_ms: Milliseconds = 2_000
    confirmation_s: Seconds = 3_600
    hold_s: Seconds = 604_800
    notifications: Literal["sent", "lost", "duplicated"] = "sent"
    notification_delay_ms: Milliseconds = 0


class Character(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One invented insurer: its name, in a sentence what it is like, and its behaviour to begin with.

    ``prefix`` begins its offer and policy numbers; ``level`` is its prices against the reference tariff.
    """

    code: str
    name: str
    prefix: Annotated[str, Meta(pattern="^[A-Z]{3}$")]
    character: str
    level: Factor = 1.0
    behaviour: Behaviour = Behaviour()


class Priced(msgspec.Struct, frozen=True, kw_only=True):
    """What cover costs and when it runs; ``floor`` and ``ceiling`` are the legal bounds where there are any."""

    premium: Money
    floor: Money | None
    ceiling: Money | None
    starts_on: date
    ends_on: date


class CannotPrice(Exception):
    """The answers are not enough for a price; the message is the insurer's sentence to the buyer."""


# ------------------------------------------------------------ the books


class OfferRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What an insurer answered, or will answer from ``ready_at`` on, to the request of this reference."""

    insurer: str
    reference: UUID
    number: str
    product: str
    outcome: Literal["offer", "decline", "refer", "invalid"]
    reason: str
    premium: Decimal
    floor: Decimal | None
    ceiling: Decimal | None
    starts_on: date | None
    ends_on: date | None
    ready_at: datetime
    expires_at: datetime


class ReservationRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The price an offer is held at for an order."""

    insurer: str
    reference: UUID
    offer_number: str
    premium: Decimal
    expires_at: datetime


class PolicyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A contract concluded, or the final refusal of one; look-ups tell of it from ``told_from`` on."""

    insurer: str
    reference: UUID
    outcome: Literal["issued", "refused"]
    reason: str
    offer_number: str
    number: str | None
    premium: Decimal
    starts_on: date | None
    ends_on: date | None
    concluded_at: datetime
    told_from: datetime
    ended_at: datetime | None = None


class EndingRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What was answered to a request to end a policy."""

    insurer: str
    reference: UUID
    policy_number: str
    outcome: Literal["ended", "refused"]
    reason: str
    refund: Decimal


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """A message that must reach ``url``; ``signature`` says whether and how it is signed when it is sent."""

    url: str
    body: bytes
    signature: Literal["none", "genuine", "forged"]
    due_at: datetime


def chosen_outcome(behaviour: Behaviour, reference: UUID) -> Outcome:
    """The outcome for a reference: by weights it is spread evenly over references and constant for each."""
    if not isinstance(behaviour.outcome, dict):
        return behaviour.outcome
    total = sum(behaviour.outcome.values())
    point = (reference.int & 0xFFFF_FFFF) / 2**32 * total
    for outcome, weight in behaviour.outcome.items():
        point -= weight
        if point < 0:
            return outcome
    return "offer"


def set_price(behaviour: Behaviour, priced: Priced) -> Money:
    """The premium an insurer asks: its price bent by its behaviour, and kept legal unless told otherwise."""
    if behaviour.premium is not None:
        return behaviour.premium
    if behaviour.outside_corridor and priced.ceiling is not None:
        return Money.rounded(priced.ceiling.amount * Decimal("1.1"))
    asked = Money.rounded(priced.premium.amount * Decimal(str(behaviour.price_factor)))
    return kept_within(asked, priced.floor, priced.ceiling)


def changed_price(behaviour: Behaviour, offer: OfferRecord) -> Money:
    """The premium at which the insurer confirms its offer."""
    change = Decimal(1) + Decimal(str(behaviour.confirm_change_percent)) / 100
    asked = Money.rounded(offer.premium * change)
    if behaviour.outside_corridor or behaviour.premium is not None or not behaviour.confirm_change_percent:
        return asked
    floor, ceiling = (None if bound is None else Money(bound) for bound in (offer.floor, offer.ceiling))
    return kept_within(asked, floor, ceiling)


def kept_within(money: Money, floor: Money | None, ceiling: Money | None) -> Money:
    """The nearest amount between two bounds."""
    if floor is not None and money < floor:
        return floor
    if ceiling is not None and money > ceiling:
        return ceiling
    return money


def rolled_failure(rate: float, failures: Sequence[Failure], roll: Callable[[], float]) -> Failure | None:
    """Whether a call fails and how; ``roll`` gives numbers from 0 up to 1."""
    if rate <= 0 or roll() >= rate:
        return None
    return failures[int(roll() * len(failures))]
