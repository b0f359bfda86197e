"""The statements of the order store, built once: building them anew would cost more than running them."""

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from insuretech.kit.direct import Direct
from insuretech.orders.domain.lifecycle import BEGINS
from insuretech.orders.domain.steps import ASKS_INSURER
from insuretech.orders.rows import columns_of_purchase, joined
from insuretech.orders.tables import (
    LIVE_ORDER,
    cancellations,
    messaging,
    offers,
    orders,
    payments,
    policies,
    policyholders,
    products,
)

PRESENCE = 0x0DE5
"""Namespace of the advisory locks by which workers show that they live."""


def _bind(column: sa.Column[Any]) -> sa.BindParameter[Any]:
    return sa.bindparam(f"_{column.name}", type_=column.type)


def bound(row: dict[str, Any]) -> dict[str, Any]:
    """A row as parameters of the statements below, which take a column's value under its name with a leading ``_``."""
    return {f"_{name}": value for name, value in row.items()}


_IN_FORCE = (
    sa.select(products.c.version, products.c.published_at)
    .where(products.c.code == offers.c.product)
    .order_by(products.c.published_at.desc())
    .limit(1)
    .lateral("in_force")
)
ORDERABLE = Direct(
    sa.select(offers, _IN_FORCE.c.version.label("in_force"), _IN_FORCE.c.published_at)
    .select_from(offers.outerjoin(_IN_FORCE, sa.true()))
    .where(offers.c.id == sa.bindparam("offer_id", type_=offers.c.id.type))
)

_OFFERS = (
    sa.func.unnest(*(sa.bindparam(column.name, type_=pg.ARRAY(column.type)) for column in offers.c))
    .table_valued(*(column.name for column in offers.c))
    .render_derived()
)
KEEP_OFFERS = (
    pg.insert(offers)
    .from_select([column.name for column in offers.c], sa.select(*_OFFERS.c))
    .on_conflict_do_nothing(index_elements=["id"])
)
"""Run with a list for each column: one row each would cost several times as much, and a quote brings ten.

What an offer says never changes, so the first that tells of it is right.
"""

_NOT_GIVEN = {"lease_by", "lease_until", "changed_at"}
_PLACED = (
    pg.insert(orders)
    .values({column.name: _bind(column) for column in orders.c if column.name not in _NOT_GIVEN})
    .on_conflict_do_nothing(index_elements=["offer_id"], index_where=LIVE_ORDER)
    .returning(orders.c.id)
    .cte("placed")
)
_PERSON = (
    sa.insert(policyholders)
    .from_select(
        ["order_id", "key_id", "sealed"],
        sa.select(_PLACED.c.id, _bind(policyholders.c.key_id), _bind(policyholders.c.sealed)),
    )
    .cte("person")
)
_EVENT = ("id", "type", "topic", "key", "occurred_at", "trace_id", "payload")
_TOLD = (
    sa.insert(messaging.outbox)
    .from_select(
        _EVENT,
        sa.select(*(sa.bindparam(f"event_{name}", type_=messaging.outbox.c[name].type) for name in _EVENT)).select_from(
            _PLACED
        ),
    )
    .cte("told")
)
_ANSWERED = ("client", "route", "key", "fingerprint", "locked_until", "created_at", "status", "body")
_KEYS = messaging.idempotency_keys
PLACE = Direct(
    sa.insert(_KEYS)
    .from_select(
        _ANSWERED,
        sa.select(*(sa.bindparam(f"key_{name}", type_=_KEYS.c[name].type) for name in _ANSWERED)).select_from(_PLACED),
    )
    .add_cte(_PLACED, _PERSON, _TOLD)
    .returning(_KEYS.c.key)
)
"""The order with its policyholder, its event and the idempotency key: all of it or, as one statement, nothing.

No row comes back when the offer has a live order; a key that was used before is a violation of the key's uniqueness.
"""

CHANGING = (
    "status",
    "premium",
    "previous_premium",
    "offer_expires_at",
    "stage_at",
    "pay_until",
    "reason",
    "detail",
    "payment_id",
    "cancellation_id",
    "ask_first",
    "attempts",
    "next_action_at",
)
SAVE_ORDER = Direct(
    sa.update(orders)
    .where(orders.c.id == _bind(orders.c.id), orders.c.version == _bind(orders.c.version))
    .values({name: _bind(orders.c[name]) for name in CHANGING})
    .values(version=orders.c.version + 1, changed_at=sa.func.now(), lease_by=sa.null(), lease_until=sa.null())
    .returning(orders.c.id)
)
"""No row comes back when somebody else was quicker."""


def _upsert(table: sa.Table, columns: Collection[str], fixed: Collection[str]) -> sa.Insert:
    insert = pg.insert(table).values({name: _bind(table.c[name]) for name in columns})
    changing = {name: insert.excluded[name] for name in columns if name not in fixed}
    return insert.on_conflict_do_update(index_elements=["id"], set_=changing)


_PAYMENT_COLUMNS = tuple(column.name for column in payments.c)
_POLICY_COLUMNS = tuple(column.name for column in policies.c if column.name != "document_id")
SAVE_PAYMENT = _upsert(payments, _PAYMENT_COLUMNS, {"id", "order_id", "method", "amount", "currency", "created_at"})
SAVE_POLICY = _upsert(policies, _POLICY_COLUMNS, {"id", "order_id", "owner", "number", "verification_code"})
SAVE_CANCELLATION = (
    sa.update(cancellations)
    .where(cancellations.c.id == _bind(cancellations.c.id))
    .values(status=_bind(cancellations.c.status), reason=_bind(cancellations.c.reason))
)

LOCK = (
    sa.select(orders.c.id)
    .where(orders.c.id == _bind(orders.c.id), orders.c.owner == _bind(orders.c.owner))
    .with_for_update()
)
"""Comes before ``PURCHASES``: whoever waits for a row lock sees that row anew, but what is joined to it as it was."""
_PURCHASES = (
    sa.select(*columns_of_purchase())
    .select_from(joined())
    .where(orders.c.id == sa.any_(sa.bindparam("ids", type_=pg.ARRAY(pg.UUID(as_uuid=True)))))
    .order_by(orders.c.id)
)
PURCHASES = Direct(_PURCHASES)
TAKEN = Direct(_PURCHASES.where(orders.c.lease_by == sa.bindparam("worker", type_=sa.Integer)))
"""What ``CLAIM`` has taken up, but for what was taken away again since."""

_NOW = sa.bindparam("now", type_=orders.c.created_at.type)
_DUE = (
    sa.select(orders.c.id)
    .where(
        orders.c.next_action_at <= _NOW,
        sa.or_(orders.c.lease_until.is_(None), orders.c.lease_until <= _NOW),
        sa.not_(
            sa.and_(
                orders.c.insurer == sa.any_(sa.bindparam("busy", type_=pg.ARRAY(sa.Text))),
                orders.c.status.in_([sa.literal_column(f"'{status}'") for status in sorted(ASKS_INSURER)]),
            )
        ),
    )
    .order_by(orders.c.next_action_at)
    .limit(sa.bindparam("most", type_=sa.Integer))
    .with_for_update(skip_locked=True)
    .cte("due")
)
_BEGINNING = orders.c.status.in_([sa.literal_column(f"'{status}'") for status in BEGINS])
_INTERRUPTED = orders.c.lease_by.is_not(None)
CLAIM = Direct(
    sa.update(orders)
    .where(orders.c.id == _DUE.c.id)
    .values(
        status=sa.case(
            *((orders.c.status == old.value, new.value) for old, new in BEGINS.items()), else_=orders.c.status
        ),
        stage_at=sa.case((_BEGINNING, _NOW), else_=orders.c.stage_at),
        attempts=sa.case((_BEGINNING, 1), else_=orders.c.attempts + 1),
        ask_first=sa.case((_BEGINNING, _INTERRUPTED), else_=sa.or_(orders.c.ask_first, _INTERRUPTED)),
        version=orders.c.version + 1,
        changed_at=sa.func.now(),
        lease_by=sa.bindparam("worker", type_=sa.Integer),
        lease_until=sa.bindparam("until", type_=orders.c.created_at.type),
    )
    .returning(orders.c.id)
)
"""The SQL of ``domain.purchase.taken_up`` for all orders that are due."""

FREE_DEAD = sa.text(
    """
    update orders.orders set lease_until = :now
    where lease_until > :now and lease_by <> :worker and lease_by in (
        select holder from (select distinct lease_by as holder from orders.orders where lease_by is not null) as holders
        where holder <> :worker and pg_try_advisory_xact_lock(:presence, holder)
    )
    """
).bindparams(
    sa.bindparam("now", type_=orders.c.created_at.type),
    sa.bindparam("worker", type_=sa.Integer),
    sa.bindparam("presence", type_=sa.Integer),
)
