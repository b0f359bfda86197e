"""Lines, registers, their files, signatures and sending; triggers keep what was closed."""

import sqlalchemy as sa
from alembic import op

from insuretech.kit.migrations import create_messaging

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TABLES = """
create table settlement.registers (
    id uuid constraint pk_registers primary key,
    number text not null constraint uq_registers_number unique,
    insurer text not null,
    month date not null constraint ck_registers_month check (extract(day from month) = 1),
    status text not null constraint ck_registers_status
        check (status in ('closed', 'prepared', 'sent', 'acknowledged', 'settled')),
    closed_at timestamptz not null,
    settlement text not null constraint ck_registers_settlement check (settlement in ('net', 'gross')),
    lines integer not null,
    premium numeric(18, 2) not null,
    collected numeric(18, 2) not null,
    commission numeric(18, 2) not null,
    vat numeric(18, 2) not null,
    payable numeric(18, 2) not null,
    constraint uq_registers_insurer_month unique (insurer, month)
);

create table settlement.lines (
    id uuid constraint pk_lines primary key,
    event_id uuid constraint uq_lines_event_id unique,
    order_id uuid not null,
    kind text not null constraint ck_lines_kind check (kind in (
        'policy_issued', 'policy_cancelled', 'payment_captured', 'payment_refunded', 'hold_released', 'reversal',
        'restatement')),
    occurred_at timestamptz not null,
    month date not null constraint ck_lines_month check (extract(day from month) = 1),
    insurer text,
    register_month date constraint ck_lines_register_month check (extract(day from register_month) = 1),
    product text,
    policy_id uuid,
    policy_number text,
    starts_on date,
    ends_on date,
    cancelled_on date,
    payment_id uuid,
    premium numeric(14, 2) not null,
    collected numeric(14, 2) not null,
    commission numeric(14, 2) not null,
    vat numeric(14, 2) not null,
    rate numeric(7, 6),
    agreement text,
    reverses uuid,
    restates uuid,
    reason text,
    recorded_at timestamptz not null default now(),
    constraint ck_lines_register check ((insurer is null) = (register_month is null) and register_month >= month),
    constraint ck_lines_insurer check (agreement is null or insurer is not null),
    constraint ck_lines_reversal check ((kind = 'reversal') = (reverses is not null)),
    constraint ck_lines_restatement check ((kind = 'restatement') = (restates is not null)),
    constraint ck_lines_origin check ((kind in ('reversal', 'restatement')) = (event_id is null))
);
create index ix_lines_order_id on settlement.lines (order_id);
create index ix_lines_register on settlement.lines (insurer, register_month, occurred_at, id);
create index ix_lines_unrated on settlement.lines (insurer, register_month)
    where agreement is null and insurer is not null;
create unique index uq_lines_issued on settlement.lines (order_id) where kind = 'policy_issued';
create unique index uq_lines_cancelled on settlement.lines (order_id) where kind = 'policy_cancelled';
create unique index uq_lines_reverses on settlement.lines (reverses) where reverses is not null;
create unique index uq_lines_restates on settlement.lines (restates) where restates is not null;

create table settlement.line_states (
    line_id uuid constraint pk_line_states primary key constraint fk_line_states_line references settlement.lines,
    register_id uuid not null constraint fk_line_states_register references settlement.registers,
    state text not null constraint ck_line_states_state check (state in ('disputed', 'acknowledged', 'settled')),
    reason text,
    changed_at timestamptz not null
);
create index ix_line_states_register on settlement.line_states (register_id, state);

create table settlement.register_totals (
    register_id uuid not null,
    product text not null,
    kind text not null,
    lines integer not null,
    premium numeric(18, 2) not null,
    collected numeric(18, 2) not null,
    commission numeric(18, 2) not null,
    vat numeric(18, 2) not null,
    constraint pk_register_totals primary key (register_id, product, kind)
);

create table settlement.register_files (
    register_id uuid not null constraint fk_register_files_register references settlement.registers,
    kind text not null constraint ck_register_files_kind check (kind in ('csv', 'xlsx', 'pdf')),
    storage_key text not null,
    sha256 text not null,
    size bigint not null,
    made_at timestamptz not null,
    constraint pk_register_files primary key (register_id, kind)
);

create table settlement.signing_keys (
    id text constraint pk_signing_keys primary key,
    public_key bytea not null,
    private_key bytea not null,
    created_at timestamptz not null
);

create table settlement.signatures (
    register_id uuid constraint pk_signatures primary key
        constraint fk_signatures_register references settlement.registers,
    key_id text not null constraint fk_signatures_key references settlement.signing_keys,
    manifest bytea not null,
    signature bytea not null,
    signed_at timestamptz not null
);

create table settlement.deliveries (
    register_id uuid constraint pk_deliveries primary key
        constraint fk_deliveries_register references settlement.registers,
    channel text not null constraint ck_deliveries_channel check (channel in ('api', 'mail')),
    message_id text not null constraint uq_deliveries_message_id unique,
    state text not null constraint ck_deliveries_state
        check (state in ('preparing', 'waiting', 'sent', 'acknowledged', 'failed')),
    attempts integer not null,
    due_at timestamptz,
    error text,
    sent_at timestamptz,
    acknowledged_at timestamptz,
    created_at timestamptz not null
);
create index ix_deliveries_due_at on settlement.deliveries (due_at) where due_at is not null;
"""

_FACTS = (
    "id, event_id, order_id, kind, occurred_at, month, cancelled_on, payment_id, premium, collected, reverses, "
    "restates, reason, recorded_at"
)
_POLICY = "insurer, register_month, product, policy_id, policy_number, starts_on, ends_on"
_FEE = "commission, vat, rate, agreement"
_REGISTER = "id, number, insurer, month, closed_at, settlement, lines, premium, collected, commission, vat, payable"


def upgrade() -> None:
    create_messaging("settlement")
    for statement in _TABLES.split(";\n"):
        if statement.strip():
            op.execute(sa.text(statement))
    _functions()
    _lines_are_kept()
    _registers_are_kept()


def _functions() -> None:
    op.execute(
        """
        create function settlement.refuse() returns trigger language plpgsql as $$
        begin
            raise exception '% of settlement.% is refused: what was recorded or closed stays as it is',
                lower(tg_op), tg_table_name using errcode = 'restrict_violation',
                hint = 'corrections are reversal lines in the next register';
        end $$
        """
    )
    op.execute(
        """
        create function settlement.month_is_open() returns trigger language plpgsql as $$
        begin
            perform from settlement.registers where insurer = new.insurer and month >= new.register_month;
            if found then
                raise exception 'the month % is closed for %', new.register_month, new.insurer
                    using errcode = 'restrict_violation', hint = 'the line belongs to the next register';
            end if;
            return new;
        end $$
        """
    )
    op.execute(
        """
        create function settlement.register_is_open() returns trigger language plpgsql as $$
        begin
            perform from settlement.registers where id = new.register_id;
            if found then
                raise exception 'a total joins a register only while that is being closed'
                    using errcode = 'restrict_violation';
            end if;
            return new;
        end $$
        """
    )


def _lines_are_kept() -> None:
    """What happened never changes, nor does the policy once it is known; a fee changes until its month is closed, and
    nothing joins a month that is closed. Lines are never taken away.
    """
    _trigger(
        "lines_facts",
        "before update",
        "lines",
        f"when ({_differ(_FACTS)} or (old.insurer is not null and {_differ(_POLICY)}))",
    )
    _trigger("lines_fee", "before update", "lines", f"when ({_differ(_FEE)})", "month_is_open")
    _trigger("lines_policy", "before update", "lines", "when (old.insurer is null)", "month_is_open")
    _trigger("lines_join", "before insert", "lines", "when (new.insurer is not null)", "month_is_open")
    _trigger("lines_stay", "before delete", "lines")
    _trigger("lines_all_stay", "before truncate", "lines", each="statement")


def _registers_are_kept() -> None:
    """Of a closed register only its status moves; its totals, files and signature are written once."""
    _trigger("registers_closed", "before update", "registers", f"when ({_differ(_REGISTER)})")
    _trigger("totals_join", "before insert", "register_totals", function="register_is_open")
    for table in ("register_totals", "register_files", "signatures"):
        _trigger(f"{table}_kept", "before update or delete", table)
    for table in ("registers", "register_totals", "register_files", "signatures"):
        _trigger(f"{table}_all_stay", "before truncate", table, each="statement")
    _trigger("registers_stay", "before delete", "registers")


def _trigger(
    name: str, moment: str, table: str, condition: str = "", function: str = "refuse", *, each: str = "row"
) -> None:
    op.execute(
        f"create trigger {name} {moment} on settlement.{table} for each {each} {condition} "
        f"execute function settlement.{function}()"
    )


def _differ(columns: str) -> str:
    """A condition of a trigger: any of these columns changes."""
    names = columns.split(", ")
    old, new = (", ".join(f"{side}.{name}" for name in names) for side in ("old", "new"))
    return f"(({old}) is distinct from ({new}))"
