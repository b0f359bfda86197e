"""The statements of the quote store that run often, built once: building them would cost more than running them."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from insuretech.kit.direct import Direct
from insuretech.quotes.domain import UNFINISHED, LineStatus, OfferStatus
from insuretech.quotes.ports import Line
from insuretech.quotes.tables import engines, lines, messaging, offers, products, quotes

# Spelled out, not bound, so that the planner sees that the partial indexes fit.
IS_UNFINISHED = lines.c.status.in_([sa.literal_column(f"'{status}'") for status in UNFINISHED])
IS_ACTIVE = offers.c.status == sa.literal_column(f"'{OfferStatus.ACTIVE}'")


_ID, _MOMENT = pg.UUID(as_uuid=True), sa.DateTime(timezone=True)

ON_SALE = Direct(
    sa.select(products.c.version, products.c.revision).where(
        products.c.code == sa.bindparam("code", type_=sa.Text), products.c.on_sale
    )
)


def _bind(table: sa.Table, name: str) -> sa.BindParameter[Any]:
    return sa.bindparam(f"{table.name}_{name}", type_=table.c[name].type)


def _row(table: sa.Table, *names: str) -> tuple[list[str], sa.Select[Any]]:
    return list(names), sa.select(*(_bind(table, name) for name in names))


_LINE = ("id", "insurer", "status", "deadline")
_UNNESTED = (
    sa.func.unnest(*(sa.bindparam(f"lines_{name}", type_=pg.ARRAY(lines.c[name].type)) for name in _LINE))
    .table_valued(*_LINE)
    .render_derived()
)
_LINES = sa.insert(lines).from_select(
    [*_LINE, "quote_id", "claimed_by"],
    sa.select(*(_UNNESTED.c[name] for name in _LINE), _bind(quotes, "id"), _bind(lines, "claimed_by")),
)
_FACT = sa.insert(messaging.outbox).from_select(
    *_row(messaging.outbox, "id", "type", "topic", "key", "occurred_at", "trace_id", "payload")
)
_ANSWERED = ("client", "route", "key", "fingerprint", "locked_until", "created_at", "status", "body")
_KEY = sa.insert(messaging.idempotency_keys).from_select(*_row(messaging.idempotency_keys, *_ANSWERED))
_QUOTE = (
    sa.insert(quotes).values({column.name: _bind(quotes, column.name) for column in quotes.c}).returning(quotes.c.id)
)
ADD_QUOTE = Direct(_QUOTE.add_cte(_LINES.cte("asked"), _FACT.cte("told")))
"""The quote with its lines and its event: all of it or, as one statement, nothing."""
ADD_QUOTE_ANSWERED = Direct(_QUOTE.add_cte(_LINES.cte("asked"), _FACT.cte("told"), _KEY.cte("answered")))
"""The same with the idempotency key; a key that was used before is a violation of the key's uniqueness."""

_ENGINE = sa.bindparam("engine", type_=_ID)
_MOST = sa.bindparam("most", type_=sa.Integer)
_LIVING = sa.select(engines.c.id).where(engines.c.alive_until > sa.func.clock_timestamp())
_CLAIMABLE = sa.and_(
    IS_UNFINISHED,
    sa.or_(
        lines.c.claimed_by.is_(None),
        sa.and_(lines.c.claimed_by != _ENGINE, lines.c.claimed_by.not_in(_LIVING)),
        sa.and_(
            lines.c.claimed_by == _ENGINE,
            sa.or_(
                lines.c.deadline < sa.bindparam("overdue_since", type_=_MOMENT),
                lines.c.status == sa.literal_column(f"'{LineStatus.QUEUED}'"),
            ),
        ),
    ),
)
_UNTIL = sa.func.clock_timestamp() + sa.bindparam("lease", type_=sa.Interval)
_ALIVE = (
    pg.insert(engines)
    .values(id=_ENGINE, alive_until=_UNTIL)
    .on_conflict_do_update(index_elements=["id"], set_={"alive_until": _UNTIL})
    .cte("alive")
)
BEAT = Direct(sa.select(sa.select(lines.c.id).where(_CLAIMABLE).exists().label("waits")).add_cte(_ALIVE))
CLAIM = (
    sa.update(lines)
    .where(
        lines.c.id.in_(
            sa.select(lines.c.id)
            .where(_CLAIMABLE)
            .order_by(lines.c.deadline)
            .limit(_MOST)
            .with_for_update(skip_locked=True)
        )
    )
    .values(claimed_by=_ENGINE)
    .returning(*(lines.c[name] for name in Line.__struct_fields__))
)
EXPIRE_OFFERS = Direct(
    sa.update(offers)
    .where(
        offers.c.id.in_(
            sa.select(offers.c.id)
            .where(IS_ACTIVE, offers.c.expires_at <= sa.bindparam("now", type_=_MOMENT))
            .order_by(offers.c.expires_at)
            .limit(_MOST)
            .with_for_update(skip_locked=True)
        )
    )
    .values(status=OfferStatus.EXPIRED.value)
    .returning(offers.c.id)
)

MARK = Direct(
    sa.text(
        """
    update quotes.lines set status = :after
    where quote_id = :quote and id = any(cast(:ids as uuid[])) and status = :before and claimed_by = :engine
    returning id
    """
    ).bindparams(
        *(sa.bindparam(name, type_=_ID) for name in ("quote", "engine")),
        *(sa.bindparam(name, type_=sa.Text) for name in ("before", "after")),
    )
)
# One statement, as it stands between an insurer's answer and the buyer, and each way to the database costs: the lines,
# the quote that counts and numbers them, and whatever follows from those that moved.
END_LINES = Direct(
    sa.text(
        """
    with moved as (
        update quotes.lines set status = e.outcome, reason_ru = e.reason_ru, reason_en = e.reason_en, ended_at = :now
        from unnest(
            cast(:ids as uuid[]), cast(:befores as text[]), cast(:outcomes as text[]),
            cast(:reasons_ru as text[]), cast(:reasons_en as text[]), cast(:events as bytea[])
        ) with ordinality as e (id, before, outcome, reason_ru, reason_en, event, place)
        where lines.quote_id = :quote and lines.id = e.id and lines.status = e.before
        returning lines.id, lines.status, e.event, e.place
    ),
    counted as (
        select count(*) as ended, count(*) filter (where status = 'offered') as made, array_agg(id) as ids from moved
    ),
    done as (
        update quotes.quotes set
            open_lines = open_lines - counted.ended,
            offers = offers + counted.made,
            last_event = last_event + counted.ended + case when open_lines = counted.ended then 1 else 0 end,
            status = case when open_lines = counted.ended then :closing else status end
        from counted
        where quotes.id = :quote and quotes.status = 'collecting'
        returning quotes.status, quotes.last_event, quotes.offers, counted.ended, counted.ids,
            case when quotes.open_lines = 0 then 1 else 0 end as completed
    ),
    told as (
        insert into quotes.quote_events (quote_id, sequence, event)
        select :quote, number, convert_to('{"sequence":' || number, 'UTF8') || event
        from (
            select last_event - completed - ended + row_number() over (order by place) as number, event
            from moved cross join done
            union all
            select last_event, cast(:last_event as bytea) || convert_to(offers || '}}', 'UTF8')
            from done where completed = 1
        ) as numbered
        where event is not null
    ),
    made as (
        insert into quotes.offers
            (id, quote_id, line_id, insurer, offer_number, premium, currency, status, created_at, expires_at)
        select o.id, :quote, line_id, insurer, offer_number, amount, currency, 'active', :now, expires_at
        from unnest(
            cast(:offers as uuid[]), cast(:offer_lines as uuid[]), cast(:insurers as text[]), cast(:numbers as text[]),
            cast(:amounts as numeric[]), cast(:currencies as text[]), cast(:expire_at as timestamptz[])
        ) as o (id, line_id, insurer, offer_number, amount, currency, expires_at)
        join moved on moved.id = line_id cross join done
    ),
    facts as (
        insert into quotes.outbox (id, type, topic, key, occurred_at, trace_id, payload)
        select id, type, :topic, :key, :now, :trace, payload
        from (
            select f.id, type, payload, f.place
            from unnest(
                cast(:facts as uuid[]), cast(:fact_lines as uuid[]), cast(:types as text[]), cast(:payloads as bytea[])
            ) with ordinality as f (id, line_id, type, payload, place)
            join moved on moved.id = line_id cross join done
            union all
            select :last_fact, :last_type, cast(:last_payload as bytea) || convert_to(offers || '}', 'UTF8'), 2147483647
            from done where completed = 1
        ) as facts
        order by place
    )
    select status, last_event, offers, ids from done
    """
    ).bindparams(
        *(sa.bindparam(name, type_=_ID) for name in ("quote", "last_fact")),
        *(sa.bindparam(name, type_=sa.Text) for name in ("closing", "topic", "key", "trace", "last_type")),
        sa.bindparam("now", type_=_MOMENT),
    )
)
NOTE_CALLBACK = Direct(
    sa.text(
        """
    with line as (
        select id, quote_id, insurer, status, deadline from quotes.lines where id = :reference and insurer = :insurer
    ),
    noted as (
        insert into quotes.callbacks as known (reference, digest, received_at, handled_at)
        select id, :digest, :now, case when status in ('queued', 'sent', 'pending') then :now end from line
        on conflict (reference, digest) do update set received_at = :now where known.handled_at is null
        returning reference
    )
    select line.*, exists (select from noted) as fresh from line
    """
    ).bindparams(
        sa.bindparam("now", type_=_MOMENT),
        sa.bindparam("reference", type_=_ID),
        sa.bindparam("insurer", type_=sa.Text),
        sa.bindparam("digest", type_=sa.LargeBinary),
    )
)
