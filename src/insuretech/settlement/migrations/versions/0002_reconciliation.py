"""Statements of others and their lines, discrepancies and their notes; staff, their links, sessions and deeds."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_TABLES = """
alter table settlement.lines add column payment_reference text;
create index ix_lines_policy_number on settlement.lines (policy_number);
create index ix_lines_month on settlement.lines (month, kind);

create table settlement.statements (
    id uuid constraint pk_statements primary key,
    party text not null,
    month date not null constraint ck_statements_month check (extract(day from month) = 1),
    state text not null constraint ck_statements_state
        check (state in ('received', 'refused', 'current', 'superseded')),
    version integer,
    file_name text not null,
    size bigint not null,
    sha256 text not null,
    storage_key text not null,
    source text not null constraint ck_statements_source check (source in ('upload', 'fetch', 'command')),
    received_by text not null,
    received_at timestamptz not null,
    taken_until timestamptz,
    attempts integer not null default 0,
    columns_version text,
    read_at timestamptz,
    lines integer not null default 0,
    total numeric(18, 2) not null default 0,
    left_out integer not null default 0,
    faults jsonb not null default '[]',
    fault_count integer not null default 0,
    matched_at timestamptz,
    our_lines integer not null default 0,
    our_total numeric(18, 2) not null default 0,
    agreed integer not null default 0,
    agreed_total numeric(18, 2) not null default 0,
    constraint uq_statements_file unique (party, month, sha256),
    constraint ck_statements_version check ((version is not null) = (state in ('current', 'superseded')))
);
create unique index uq_statements_version on settlement.statements (party, month, version);
create unique index uq_statements_current on settlement.statements (party, month) where state = 'current';
create index ix_statements_received on settlement.statements (received_at) where state = 'received';

create table settlement.statement_lines (
    statement_id uuid not null,
    line integer not null,
    number text not null,
    key text not null,
    entry text not null,
    amount numeric(14, 2) not null,
    day date not null,
    constraint pk_statement_lines primary key (statement_id, line)
);

create table settlement.discrepancies (
    id uuid constraint pk_discrepancies primary key,
    party text not null,
    month date not null,
    kind text not null constraint ck_discrepancies_kind check (kind in (
        'only_ours', 'only_theirs', 'amount_differs', 'day_differs', 'duplicate_ours', 'duplicate_theirs')),
    key text not null,
    entry text not null constraint ck_discrepancies_entry check (entry in ('premium', 'return')),
    ordinal integer not null,
    number text not null,
    statement_id uuid not null,
    our_line uuid,
    our_amount numeric(14, 2),
    our_day date,
    their_line integer,
    their_number text,
    their_amount numeric(14, 2),
    their_day date,
    difference numeric(14, 2) not null,
    status text not null constraint ck_discrepancies_status
        check (status in ('open', 'in_work', 'resolved', 'written_off', 'reopened')),
    assignee text,
    resolution text,
    found_at timestamptz not null,
    changed_at timestamptz not null,
    version integer not null default 1,
    constraint uq_discrepancies_finding unique (party, month, key, entry, kind, ordinal)
);
create index ix_discrepancies_number on settlement.discrepancies (number text_pattern_ops);

create table settlement.discrepancy_notes (
    id bigint generated always as identity constraint pk_discrepancy_notes primary key,
    discrepancy_id uuid not null,
    at timestamptz not null,
    author text not null,
    action text not null,
    status_before text not null,
    status text not null,
    text text not null default ''
);
create index ix_discrepancy_notes_discrepancy_id on settlement.discrepancy_notes (discrepancy_id, id);

create table settlement.staff (
    name text constraint pk_staff primary key,
    role text not null constraint ck_staff_role check (role in ('settlement', 'viewer')),
    created_at timestamptz not null,
    disabled_at timestamptz
);

create table settlement.staff_links (
    token_hash bytea constraint pk_staff_links primary key,
    name text not null,
    created_at timestamptz not null,
    expires_at timestamptz not null,
    used_at timestamptz
);

create table settlement.staff_sessions (
    token_hash bytea constraint pk_staff_sessions primary key,
    name text not null,
    created_at timestamptz not null,
    seen_at timestamptz not null,
    expires_at timestamptz not null,
    ended_at timestamptz
);
create index ix_staff_sessions_name on settlement.staff_sessions (name);

create table settlement.staff_deeds (
    id bigint generated always as identity constraint pk_staff_deeds primary key,
    at timestamptz not null,
    name text not null,
    deed text not null,
    subject text not null default '',
    detail text not null default ''
);
create index ix_staff_deeds_at on settlement.staff_deeds (at)
"""

_FOR_EVER = ("discrepancy_notes", "staff_deeds")


def upgrade() -> None:
    for statement in _TABLES.split(";\n"):
        if statement.strip():
            op.execute(sa.text(statement))
    for table in _FOR_EVER:
        op.execute(
            f"create trigger {table}_kept before update or delete on settlement.{table} "
            "for each row execute function settlement.refuse()"
        )
        op.execute(
            f"create trigger {table}_all_stay before truncate on settlement.{table} "
            "for each statement execute function settlement.refuse()"
        )
