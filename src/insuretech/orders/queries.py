"""Everything orders read outside a command, in SQL."""

import base64
import binascii
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from insuretech.contracts.money import Money
from insuretech.contracts.text import Text
from insuretech.kit.db import Database
from insuretech.kit.direct import Direct
from insuretech.kit.problems import BadRequest
from insuretech.orders.domain.books import BookEntry
from insuretech.orders.domain.lifecycle import CancellationStatus, OrderStatus, PaymentStatus, PolicyStatus, Reason
from insuretech.orders.domain.purchase import Policy, Purchase
from insuretech.orders.ports import ProductTerms
from insuretech.orders.rows import columns_of_purchase, joined, purchase_of
from insuretech.orders.tables import cancellations, orders, payments, policies, policyholders, products

_PURCHASES = sa.select(*columns_of_purchase()).select_from(joined())
_OWN = Direct(
    _PURCHASES.where(
        orders.c.id == sa.bindparam("order_id", type_=orders.c.id.type),
        orders.c.owner == sa.bindparam("owner", type_=sa.Text),
    )
)

_IN_WORK = Direct(
    sa.select(orders.c.status, sa.func.count().label("orders"), sa.func.min(orders.c.stage_at).label("since"))
    .where(orders.c.next_action_at.is_not(None))
    .group_by(orders.c.status)
)
_BY_ID = Direct(
    _PURCHASES.where(orders.c.id == sa.any_(sa.bindparam("order_ids", type_=pg.ARRAY(pg.UUID(as_uuid=True)))))
)
_CHANGED = Direct(
    sa.select(orders.c.id, orders.c.version, policies.c.document_id.is_not(None).label("printed"))
    .select_from(orders.outerjoin(policies, policies.c.order_id == orders.c.id))
    .where(orders.c.changed_at >= sa.bindparam("moment", type_=orders.c.changed_at.type))
)
_SOLD = joined().outerjoin(
    products, sa.and_(products.c.code == orders.c.product, products.c.version == orders.c.product_version)
)
_POLICY_BY_CODE = Direct(
    sa.select(*columns_of_purchase(), products.c.terms)
    .select_from(_SOLD)
    .where(policies.c.verification_code == sa.bindparam("code", type_=sa.Text))
)
_POLICY_TO_PRINT = Direct(
    sa.select(*columns_of_purchase(), products.c.terms, policyholders.c.sealed)
    .select_from(_SOLD.join(policyholders, policyholders.c.order_id == orders.c.id))
    .where(policies.c.id == sa.bindparam("policy", type_=policies.c.id.type))
)


async def own_order(database: Database, owner: str, order_id: UUID) -> Purchase | None:
    """One order of this owner."""
    async with database.reading() as connection:
        row = await _OWN.first(connection, {"order_id": order_id, "owner": owner})
    return None if row is None else purchase_of(row)


async def orders_by_id(database: Database, order_ids: Collection[UUID]) -> list[Purchase]:
    """Orders whoever's they are."""
    async with database.reading() as connection:
        rows = await _BY_ID.all(connection, {"order_ids": list(order_ids)})
    return [purchase_of(row) for row in rows]


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """An order's version, and whether its document is there."""

    order_id: UUID
    version: int
    printed: bool


async def changed_since(database: Database, moment: datetime) -> list[Changed]:
    """Orders that changed since then, as they are now."""
    async with database.reading() as connection:
        rows = await _CHANGED.all(connection, {"moment": moment})
    return [Changed(order_id=row["id"], version=row["version"], printed=row["printed"]) for row in rows]


async def own_orders(
    database: Database, owner: str, *, cursor: str | None, limit: int
) -> tuple[list[Purchase], str | None]:
    """The owner's orders, newest first, and the cursor of the next page; raises ``BadRequest`` for a strange cursor."""
    statement = _PURCHASES.where(orders.c.owner == owner).order_by(orders.c.id.desc()).limit(limit + 1)
    if cursor is not None:
        statement = statement.where(orders.c.id < _position(cursor))
    async with database.reading() as connection:
        found = [purchase_of({**row}) for row in (await connection.execute(statement)).mappings()]
    page = found[:limit]
    return page, _cursor(page[-1].order.id) if len(found) > limit else None


def _cursor(order_id: UUID) -> str:
    return base64.urlsafe_b64encode(order_id.bytes).rstrip(b"=").decode()


def _position(cursor: str) -> UUID:
    try:
        return UUID(bytes=base64.b64decode(cursor + "==", altchars=b"-_", validate=True))
    except (ValueError, binascii.Error):
        raise BadRequest("This cursor is none of ours.") from None


async def own_policy(database: Database, owner: str, number: str) -> Purchase | None:
    """The owner's order with the policy of this number; the newest, should two insurers use the same number."""
    statement = (
        _PURCHASES.where(policies.c.number == number, policies.c.owner == owner)
        .order_by(policies.c.issued_at.desc())
        .limit(1)
    )
    async with database.reading() as connection:
        row = (await connection.execute(statement)).mappings().first()
    return None if row is None else purchase_of({**row})


async def policy_by_code(database: Database, code: str) -> tuple[Policy, Text] | None:
    """The policy with this verification code, and its product's title."""
    async with database.reading() as connection:
        row = await _POLICY_BY_CODE.first(connection, {"code": code})
    return None if row is None else _policy_with_title(row)


def _policy_with_title(row: Mapping[str, Any]) -> tuple[Policy, Text] | None:
    policy = purchase_of({**row}).policy
    if policy is None:
        return None
    title = Text(policy.product, policy.product)
    if row["terms"] is not None:
        title = msgspec.json.decode(row["terms"], type=ProductTerms).title
    return policy, title


class PolicyToPrint(msgspec.Struct, frozen=True, kw_only=True):
    """What our own tables know of a policy's paper; the policyholder still encrypted."""

    policy: Policy
    product_title: Text
    quote_id: UUID
    sealed: bytes


async def policy_to_print(database: Database, policy_id: UUID) -> PolicyToPrint | None:
    """A policy with what its document shows."""
    async with database.reading() as connection:
        row = await _POLICY_TO_PRINT.first(connection, {"policy": policy_id})
    found = None if row is None else _policy_with_title(row)
    if row is None or found is None:
        return None
    policy, title = found
    return PolicyToPrint(policy=policy, product_title=title, quote_id=row["o_quote_id"], sealed=row["sealed"])


async def sealed_policyholder(database: Database, order_id: UUID) -> bytes:
    """The encrypted person of an order."""
    statement = sa.select(policyholders.c.sealed).where(policyholders.c.order_id == order_id)
    async with database.reading() as connection:
        found: bytes = (await connection.execute(statement)).scalar_one()
    return found


class InWork(msgspec.Struct, frozen=True, kw_only=True):
    """How many orders are in a status, and since when the oldest of them is."""

    status: OrderStatus
    orders: int
    since: datetime


async def in_work(database: Database) -> Sequence[InWork]:
    """The orders something is still to happen with, by status."""
    async with database.reading() as connection:
        rows = await _IN_WORK.all(connection, {})
    return [InWork(status=OrderStatus(row["status"]), orders=row["orders"], since=row["since"]) for row in rows]


async def books(database: Database) -> list[BookEntry]:
    """Every order with its money and its policy, to be held against the books of insurers and payment provider."""
    money = (
        sa.select(
            payments.c.order_id,
            sa.func.sum(payments.c.amount).filter(payments.c.status == PaymentStatus.HELD.value).label("held"),
            sa.func.sum(payments.c.captured).label("captured"),
            sa.func.sum(payments.c.refunded).label("refunded"),
        )
        .group_by(payments.c.order_id)
        .subquery("money")
    )
    done = sa.and_(
        cancellations.c.id == orders.c.cancellation_id,
        cancellations.c.status == CancellationStatus.DONE.value,
        cancellations.c.policy_id.is_not(None),
    )
    statement = (
        sa.select(
            orders.c.id,
            orders.c.insurer,
            orders.c.status,
            orders.c.reason,
            orders.c.next_action_at,
            orders.c.premium,
            orders.c.currency,
            money.c.held,
            money.c.captured,
            money.c.refunded,
            policies.c.number,
            policies.c.status.label("policy_status"),
            policies.c.premium.label("policy_premium"),
            cancellations.c.refund,
        )
        .select_from(
            orders.outerjoin(money, money.c.order_id == orders.c.id)
            .outerjoin(policies, policies.c.order_id == orders.c.id)
            .outerjoin(cancellations, done)
        )
        .order_by(orders.c.id)
    )
    async with database.reading() as connection:
        rows = (await connection.execute(statement)).all()
    return [
        BookEntry(
            order_id=row.id,
            insurer=row.insurer,
            status=OrderStatus(row.status),
            reason=None if row.reason is None else Reason(row.reason),
            at_rest=row.next_action_at is None,
            premium=Money(row.premium, row.currency),
            held=Money(row.held or Decimal(), row.currency),
            captured=Money(row.captured or Decimal(), row.currency),
            refunded=Money(row.refunded or Decimal(), row.currency),
            policy_number=row.number,
            policy_status=None if row.policy_status is None else PolicyStatus(row.policy_status),
            policy_premium=None if row.policy_premium is None else Money(row.policy_premium, row.currency),
            cancelled_refund=None if row.refund is None else Money(row.refund, row.currency),
        )
        for row in rows
    ]
