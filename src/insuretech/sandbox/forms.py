"""Behaviours as HTML forms: what each field is called, which choices it has, and reading it back."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar, get_args

import msgspec

from insuretech.sandbox.domain import Access, Behaviour, Failure, Manner, Outcome, ProviderBehaviour, Sending

B = TypeVar("B", bound=Behaviour | ProviderBehaviour)


class Field(msgspec.Struct, frozen=True):
    """One input; ``kind`` is ``number``, ``share`` (0 to 1), ``text``, ``choice``, ``choices`` or ``switch``."""

    name: str
    label: str
    kind: Literal["number", "share", "text", "choice", "choices", "switch"]
    options: tuple[str, ...] = ()


class Group(msgspec.Struct, frozen=True):
    """Inputs that belong together."""

    title: str
    fields: tuple[Field, ...]


_EVERY_CALL = Group(
    "Every call",
    (
        Field("delay_min_ms", "Delay from, ms", "number"),
        Field("delay_max_ms", "to, ms", "number"),
        Field("failure_rate", "Share of calls that fail", "share"),
        Field("failures", "Ways of failing", "choices", get_args(Failure)),
    ),
)

_STATEMENT = Group(
    "Its own register of a month",
    (
        Field("statement_omits", "Share of lines left out", "share"),
        Field("statement_amounts", "with another amount", "share"),
        Field("statement_days", "a day later", "share"),
        Field("statement_doubles", "told twice", "share"),
        Field("statement_invents", "Lines invented", "number"),
    ),
)

INSURER: tuple[Group, ...] = (
    _EVERY_CALL,
    Group(
        "Offers",
        (
            Field("outcome", "Answer", "choice", get_args(Outcome)),
            Field("mix", "or a mix, such as offer=8 decline=2", "text"),
            Field("pending_ms", "Pending takes, ms", "number"),
            Field("offer_valid_s", "Offer valid, s", "number"),
            Field("lookup", "Looking up states", "choice", get_args(Access)),
        ),
    ),
    Group(
        "Price",
        (
            Field("corridor_share", "OSAGO: place in the legal corridor", "share"),
            Field("outside_corridor", "A tenth above the legal corridor", "switch"),
            Field("price_factor", "Times", "number"),
            Field("premium", "Fixed premium, RUB", "text"),
        ),
    ),
    Group(
        "Confirming the price",
        (
            Field("confirm", "Answer", "choice", ("ok", "refuse", "down", "hang")),
            Field("confirm_change_percent", "Changes by, %", "number"),
            Field("reservation_valid_s", "Reservation valid, s", "number"),
        ),
    ),
    Group(
        "Issuing",
        (
            Field(
                "issue",
                "Answer",
                "choice",
                ("ok", "refuse", "pending", "unknown_issued", "unknown_not_issued", "down", "hang"),
            ),
            Field("lost_answer", "A lost answer is", "choice", get_args(Manner)),
            Field("lookup_after_ms", "then unclear for, ms", "number"),
        ),
    ),
    Group(
        "Callbacks and ending",
        (
            Field("callback", "Callbacks", "choice", get_args(Sending)),
            Field("callback_delay_ms", "Callback delay, ms", "number"),
            Field("cancel", "Ending a policy", "choice", ("ok", "refuse", "unknown_ended", "down", "hang")),
        ),
    ),
    _STATEMENT,
)

PROVIDER: tuple[Group, ...] = (
    Group(_EVERY_CALL.title, (Field("access", "Answers", "choice", get_args(Access)), *_EVERY_CALL.fields)),
    Group(
        "Payments",
        (
            Field("confirmation_s", "Time to pay, s", "number"),
            Field("hold_s", "A hold lapses after, s", "number"),
            Field("capture", "Capturing", "choice", ("ok", "refuse")),
            Field("refund", "Refunding", "choice", ("ok", "pending", "refuse")),
            Field("pending_ms", "Pending takes, ms", "number"),
        ),
    ),
    Group(
        "Notifications",
        (
            Field("notifications", "Notifications", "choice", ("sent", "lost", "duplicated")),
            Field("notification_delay_ms", "Delay, ms", "number"),
        ),
    ),
    _STATEMENT,
)


class FormInvalid(Exception):
    """What was filled in cannot be; the message says where and why."""


def shown_values(behaviour: Behaviour | ProviderBehaviour) -> dict[str, Any]:
    """What the inputs show."""
    values = msgspec.structs.asdict(behaviour)
    if isinstance(behaviour, Behaviour):
        values["premium"] = "" if behaviour.premium is None else str(behaviour.premium.amount)
        values["mix"] = ""
        if isinstance(behaviour.outcome, dict):
            values["mix"] = " ".join(f"{outcome}={weight:g}" for outcome, weight in behaviour.outcome.items())
    return values


def read_form(current: B, form: Mapping[str, Sequence[str]]) -> B:
    """The behaviour that was filled in; raises ``FormInvalid``."""
    kind = type(current)
    groups = INSURER if isinstance(current, Behaviour) else PROVIDER
    values: dict[str, Any] = {}
    for field in (field for group in groups for field in group.fields):
        given = [value.strip() for value in form.get(field.name, ())]
        if field.kind == "switch":
            values[field.name] = bool(given)
        elif field.kind == "choices":
            values[field.name] = given
        elif given:
            values[field.name] = given[0]
    try:
        if isinstance(current, Behaviour):
            mix, premium = values.pop("mix", ""), values.pop("premium", "").replace(",", ".")
            if mix:
                values["outcome"] = dict(part.split("=", 1) for part in mix.split())
            values["premium"] = {"amount": premium, "currency": "RUB"} if premium else None
        return msgspec.convert({**msgspec.to_builtins(current), **values}, kind, strict=False)
    except (msgspec.ValidationError, ValueError) as error:
        raise FormInvalid(str(error)) from error


def differences(behaviour: Behaviour, other: Behaviour) -> dict[str, Any]:
    """What is set otherwise than in the other behaviour."""
    shown, usual = shown_values(behaviour), shown_values(other)
    return {name: value for name, value in shown.items() if value != usual[name]}
