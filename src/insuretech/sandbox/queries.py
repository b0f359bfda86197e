"""The sandbox's books, read."""

from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import msgspec
import sqlalchemy as sa

from insuretech.contracts.money import Money
from insuretech.kit.db import Connection
from insuretech.kit.direct import Direct
from insuretech.sandbox.domain import EndingRecord, OfferRecord, PolicyRecord, ReservationRecord
from insuretech.sandbox.payments import Payment, Refund
from insuretech.sandbox.statements import Entry
from insuretech.sandbox.tables import (
    behaviours,
    deliveries,
    endings,
    idempotence_keys,
    offers,
    payments,
    policies,
    refunds,
    reservations,
)

R = TypeVar("R", bound=msgspec.Struct)

# Loops ask these many times a second: built once, as building costs more than running.
_NOW, _MOST = sa.bindparam("now", type_=sa.DateTime(timezone=True)), sa.bindparam("most", type_=sa.Integer)
_EXPIRED = sa.select(payments).where(payments.c.expires_at <= _NOW)
_RIPE = sa.select(refunds).where(refunds.c.status == "pending", refunds.c.ready_at <= _NOW)
_EXPIRED_PAYMENTS = _EXPIRED.order_by(payments.c.expires_at).limit(_MOST).with_for_update(skip_locked=True)
_RIPE_REFUNDS = _RIPE.order_by(refunds.c.ready_at).limit(_MOST).with_for_update(skip_locked=True)
_ANYTHING_RIPE = Direct(sa.select(sa.or_(_EXPIRED.exists(), _RIPE.exists()).label("ripe")))
_BEHAVIOURS = Direct(sa.select(behaviours.c.name, behaviours.c.document))
_NEXT_DELIVERY = Direct(
    sa.select(sa.func.min(deliveries.c.due_at).label("due_at")).where(deliveries.c.ended_at.is_(None))
)


async def _one(connection: Connection, kind: type[R], statement: sa.Select[Any]) -> R | None:
    row = (await connection.execute(statement)).mappings().first()
    return None if row is None else kind(**row)


def _by_reference(table: sa.Table, insurer: str, reference: UUID) -> sa.Select[Any]:
    return sa.select(table).where(table.c.insurer == insurer, table.c.reference == reference)


async def offer(connection: Connection, insurer: str, reference: UUID) -> OfferRecord | None:
    """What an insurer has answered to the request of this reference."""
    return await _one(connection, OfferRecord, _by_reference(offers, insurer, reference))


async def offer_numbered(connection: Connection, insurer: str, number: str) -> OfferRecord | None:
    """An insurer's offer by the number it gave it."""
    statement = sa.select(offers).where(offers.c.insurer == insurer, offers.c.number == number)
    return await _one(connection, OfferRecord, statement)


async def reservation(connection: Connection, insurer: str, reference: UUID) -> ReservationRecord | None:
    """The price held for this order."""
    return await _one(connection, ReservationRecord, _by_reference(reservations, insurer, reference))


async def policy(connection: Connection, insurer: str, reference: UUID) -> PolicyRecord | None:
    """The contract of this order, or its refusal."""
    return await _one(connection, PolicyRecord, _by_reference(policies, insurer, reference))


async def locked_policy(connection: Connection, insurer: str, number: str) -> PolicyRecord | None:
    """The policy of this number, which nobody else may end until the transaction is over."""
    statement = sa.select(policies).where(policies.c.insurer == insurer, policies.c.number == number).with_for_update()
    return await _one(connection, PolicyRecord, statement)


async def ending(connection: Connection, insurer: str, reference: UUID) -> EndingRecord | None:
    """What was answered to this request to end a policy."""
    return await _one(connection, EndingRecord, _by_reference(endings, insurer, reference))


async def payment(connection: Connection, payment_id: UUID, *, lock: bool) -> Payment | None:
    """A payment, locked for change if so asked."""
    statement = sa.select(payments).where(payments.c.id == payment_id)
    row = (await connection.execute(statement.with_for_update() if lock else statement)).mappings().first()
    return None if row is None else _payment(row)


async def expired_payments(connection: Connection, now: datetime, limit: int) -> list[Payment]:
    """Payments whose time is over, locked; those another process works on are left out."""
    rows = await connection.execute(_EXPIRED_PAYMENTS, {"now": now, "most": limit})
    return [_payment(row) for row in rows.mappings()]


async def refund(connection: Connection, refund_id: UUID) -> Refund | None:
    """A refund by its id."""
    row = (await connection.execute(sa.select(refunds).where(refunds.c.id == refund_id))).mappings().first()
    return None if row is None else _refund(row)


async def refunds_of(connection: Connection, payment_id: UUID) -> list[Refund]:
    """All refunds of a payment, oldest first."""
    statement = sa.select(refunds).where(refunds.c.payment_id == payment_id).order_by(refunds.c.created_at)
    return [_refund(row) for row in (await connection.execute(statement)).mappings()]


async def ripe_refunds(connection: Connection, now: datetime, limit: int) -> list[Refund]:
    """Pending refunds whose time has come, oldest first."""
    rows = await connection.execute(_RIPE_REFUNDS, {"now": now, "most": limit})
    return [_refund(row) for row in rows.mappings()]


async def anything_ripe(connection: Connection, now: datetime) -> bool:
    """Whether there are expired payments or ripe refunds; looks only, and does not lock."""
    (row,) = await _ANYTHING_RIPE.all(connection, {"now": now})
    return bool(row["ripe"])


async def first_answer(connection: Connection, key: str) -> tuple[bytes, bytes] | None:
    """The fingerprint and answer of a key's first use."""
    keys = idempotence_keys
    row = (await connection.execute(sa.select(keys.c.fingerprint, keys.c.body).where(keys.c.key == key))).first()
    return None if row is None else (row.fingerprint, row.body)


def _payment(row: Any) -> Payment:
    amounts = {name: Money(row[name], row["currency"]) for name in ("amount", "captured", "refunded")}
    return Payment(**{name: row[name] for name in Payment.__struct_fields__} | amounts)


def _refund(row: Any) -> Refund:
    amount = Money(row["amount"], row["currency"])
    return Refund(**{name: row[name] for name in Refund.__struct_fields__} | {"amount": amount})


async def behaviour_documents(connection: Connection) -> dict[str, bytes]:
    """Behaviours that were set, as JSON by name."""
    rows = await _BEHAVIOURS.all(connection, {})
    return {row["name"]: row["document"] for row in rows}


async def next_delivery_at(connection: Connection) -> datetime | None:
    """When the next message is due."""
    (row,) = await _NEXT_DELIVERY.all(connection, {})
    found: datetime | None = row["due_at"]
    return found


# ------------------------------------------------------------ the books, as anyone may see them


class BookedPolicy(msgspec.Struct, frozen=True):
    """A contract an insurer has concluded; ``status`` is ``issued`` or ``cancelled``."""

    insurer: str
    reference: UUID
    number: str
    premium: Money
    status: str


class BookedPayment(msgspec.Struct, frozen=True):
    """A payment at the provider; ``status`` is the provider's word, ``order_id`` from the payment's metadata."""

    id: UUID
    order_id: str | None
    amount: Money
    captured: Money
    refunded: Money
    status: str


async def insurer_entries(connection: Connection, insurer: str, since: datetime, until: datetime) -> list[Entry]:
    """What an insurer concluded and ended between two moments, oldest first."""
    named = (policies.c.insurer == insurer, policies.c.outcome == "issued")
    concluded = sa.select(policies.c.number, policies.c.concluded_at.label("at"), policies.c.premium.label("amount"))
    concluded = concluded.where(*named, policies.c.concluded_at >= since, policies.c.concluded_at < until)
    ended = (
        sa.select(policies.c.number, policies.c.ended_at.label("at"), (-endings.c.refund).label("amount"))
        .join(endings, sa.and_(endings.c.insurer == policies.c.insurer, endings.c.policy_number == policies.c.number))
        .where(*named, endings.c.outcome == "ended", policies.c.ended_at >= since, policies.c.ended_at < until)
    )
    both = sa.union_all(concluded, ended).subquery()
    rows = await connection.execute(sa.select(both).where(both.c.amount != 0).order_by(both.c.at, both.c.number))
    return [Entry(*row) for row in rows]


async def payment_entries(connection: Connection, since: datetime, until: datetime) -> list[Entry]:
    """Payments the provider took between two moments, oldest first."""
    taken = sa.select(payments.c.id, payments.c.captured_at, payments.c.captured, payments.c.description)
    taken = taken.where(payments.c.captured_at >= since, payments.c.captured_at < until, payments.c.captured > 0)
    rows = await connection.execute(taken.order_by(payments.c.captured_at, payments.c.id))
    return [Entry(str(number), at, amount, description or "") for number, at, amount, description in rows]


async def refund_entries(connection: Connection, since: datetime, until: datetime) -> list[Entry]:
    """Refunds that succeeded between two moments, oldest first, each under the id of its payment."""
    moment = sa.func.coalesce(refunds.c.ready_at, refunds.c.created_at)
    back = sa.select(refunds.c.payment_id, moment, refunds.c.amount, refunds.c.id)
    back = back.where(refunds.c.status == "succeeded", moment >= since, moment < until)
    rows = await connection.execute(back.order_by(moment, refunds.c.id))
    return [Entry(str(number), at, amount, str(refund)) for number, at, amount, refund in rows]


class WholeBooks(msgspec.Struct, frozen=True):
    """What the outside world believes: every policy issued and every payment, oldest first."""

    policies: list[BookedPolicy]
    payments: list[BookedPayment]


async def books(connection: Connection, now: datetime, latest: int | None = None) -> WholeBooks:
    """All of the books, or only the ``latest`` entries; a policy counts from the moment it is concluded."""
    concluded = (
        sa.select(policies)
        .where(policies.c.outcome == "issued", policies.c.concluded_at <= now)
        .order_by(policies.c.concluded_at.desc(), policies.c.number.desc())
        .limit(latest)
    )
    paid = sa.select(payments).order_by(payments.c.created_at.desc(), payments.c.id.desc()).limit(latest)
    policy_rows = (await connection.execute(concluded)).mappings().all()
    payment_rows = (await connection.execute(paid)).mappings().all()
    return WholeBooks([_booked_policy(row) for row in policy_rows[::-1]], [_booked(row) for row in payment_rows[::-1]])


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """The sums under the books."""

    policies: int
    cancelled: int
    premium: Money
    payments: int
    held: Money
    captured: Money
    refunded: Money


async def totals(connection: Connection, now: datetime) -> Totals:
    """Counts and sums over all of the books."""
    issued = sa.select(
        sa.func.count().label("policies"),
        sa.func.count(policies.c.ended_at).label("cancelled"),
        sa.func.coalesce(sa.func.sum(policies.c.premium), 0).label("premium"),
    ).where(policies.c.outcome == "issued", policies.c.concluded_at <= now)
    held = sa.func.sum(payments.c.amount).filter(payments.c.status == "waiting_for_capture")
    money = sa.select(
        sa.func.count().label("payments"),
        sa.func.coalesce(held, 0).label("held"),
        sa.func.coalesce(sa.func.sum(payments.c.captured), 0).label("captured"),
        sa.func.coalesce(sa.func.sum(payments.c.refunded), 0).label("refunded"),
    )
    policy_sums = (await connection.execute(issued)).one()
    payment_sums = (await connection.execute(money)).one()
    return Totals(
        policies=policy_sums.policies,
        cancelled=policy_sums.cancelled,
        premium=Money(policy_sums.premium),
        payments=payment_sums.payments,
        held=Money(payment_sums.held),
        captured=Money(payment_sums.captured),
        refunded=Money(payment_sums.refunded),
    )


def _booked_policy(row: Any) -> BookedPolicy:
    status = "issued" if row["ended_at"] is None else "cancelled"
    return BookedPolicy(row["insurer"], row["reference"], row["number"], Money(row["premium"]), status)


def _booked(row: Any) -> BookedPayment:
    found = _payment(row)
    order_id = found.metadata.get("order_id")
    return BookedPayment(found.id, order_id, found.amount, found.captured, found.refunded, found.status)
