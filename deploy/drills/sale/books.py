"""The books at the end: what our services wrote down, and what the outside world believes: facts for the judge."""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
from sqlalchemy.engine import make_url

from insuretech.compose.single import build
from insuretech.kit.keyring import Keyring
from insuretech.kit.messaging import Reaction
from insuretech.kit.settings import Settings

Rows = Callable[[str], Awaitable[list[asyncpg.Record]]]
"""Asks a statement as the administrator of the cluster's database."""


class OurOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order with its money and its policies; amounts in roubles. ``captured`` etc. are sums over its payments.

    ``documents`` and ``lines`` count rows by state and by kind; ``settled`` is what settlement says was collected.
    ``earlier``: placed before the history begins, so that nobody in it has asked for it.
    """

    id: str
    status: str
    insurer: str
    offer_id: str
    quote_id: str
    premium: Decimal
    policies: tuple[str, ...] = ()
    policy_cancelled: bool = False
    captured: Decimal = Decimal()
    refunded: Decimal = Decimal()
    held: Decimal = Decimal()
    documents: Mapping[str, int] = {}
    lines: Mapping[str, int] = {}
    settled: Decimal = Decimal()
    earlier: bool = False


class TheirPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """A policy in an insurer's books; ``reference`` is our order's id."""

    reference: str
    number: str
    premium: Decimal
    in_force: bool


class TheirPayment(msgspec.Struct, frozen=True, kw_only=True):
    """A payment in the provider's books."""

    order_id: str
    captured: Decimal
    refunded: Decimal


class MissedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event that a consumer has not noted, or noted more than once."""

    consumer: str
    event_id: str
    type: str
    times: int


class Books(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was written down by the end.

    ``waiting``: what still moves, in words; ``buried``: dead letters; ``has_settlement``: whether lines are kept.
    """

    orders: tuple[OurOrder, ...] = ()
    policies: tuple[TheirPolicy, ...] = ()
    payments: tuple[TheirPayment, ...] = ()
    events: tuple[MissedEvent, ...] = ()
    buried: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    quotes: frozenset[str] = frozenset()
    has_settlement: bool = True


async def read_books(rows: Rows, sandbox: Mapping[str, Any], folder: Path, since: float) -> Books:
    """Both sides' books as they stand; ``sandbox`` is what ``GET /sandbox/api/books`` told.

    ``since``: when the history begins, seconds since the epoch.
    """
    reactions = all_reactions(folder)
    schemas = sorted({reaction.database.service for reaction in reactions} | {"catalogue", "quotes", "orders"})
    with_lines = "settlement" in schemas
    return Books(
        orders=tuple(await _orders(rows, since, with_lines=with_lines)),
        policies=tuple(
            TheirPolicy(
                reference=one["reference"],
                number=one["number"],
                premium=Decimal(one["premium"]["amount"]),
                in_force=one["status"] == "issued",
            )
            for one in sandbox["policies"]
        ),
        payments=tuple(
            TheirPayment(
                order_id=one["order_id"],
                captured=Decimal(one["captured"]["amount"]),
                refunded=Decimal(one["refunded"]["amount"]),
            )
            for one in sandbox["payments"]
        ),
        events=tuple(await _effects(rows, reactions)),
        buried=tuple([line async for line in _buried(rows, schemas, since)]),
        waiting=tuple(await still_moving(rows, schemas, since)),
        quotes=frozenset(
            str(row["id"]) for row in await rows("select id from quotes.quotes") if made_at(row["id"]) >= since
        ),
        has_settlement=with_lines,
    )


def all_reactions(folder: Path) -> list[Reaction]:
    """Every consumer of events there is; wires the services and opens nothing."""
    settings = Settings(home=folder / "nothing")
    wired = build(settings, make_url("postgresql+asyncpg://nobody@localhost/nothing"), Keyring.generate())
    return list(wired.reactions)


def made_at(identifier: UUID) -> float:
    """When a UUIDv7 was made, seconds since the epoch (RFC 9562: its first 48 bits are milliseconds)."""
    return (identifier.int >> 80) / 1000


async def still_moving(rows: Rows, schemas: Iterable[str], since: float) -> list[str]:
    """Orders of this history on their way, papers to be printed, events not handed on.

    Whose payment was given up waits for their buyer, and for nobody else.
    """
    moving = await rows(
        "select id, status from orders.orders o where next_action_at is not null"
        " and not coalesce(status = 'awaiting_payment'"
        " and (select bool_and(p.status = 'cancelled') from orders.payments p where p.order_id = o.id), false)"
    )
    counted = Counter(row["status"] for row in moving if made_at(row["id"]) >= since)
    found = [f"{number} orders {status}" for status, number in counted.items()]
    ((papers,),) = await rows("select count(*) from documents.prints")
    found += [f"{papers} papers to be printed"] if papers else []
    return [*found, *await _waiting(rows, schemas)]


async def left_behind(rows: Rows, schemas: Iterable[str], seconds: float) -> list[str]:
    """Events that have waited for longer than that to be handed on, counted by service."""
    return await _waiting(rows, schemas, f"and occurred_at < now() - interval '{seconds:.0f} s'")


async def _waiting(rows: Rows, schemas: Iterable[str], more: str = "") -> list[str]:
    found = []
    for service in schemas:
        ((waiting,),) = await rows(
            f"select count(*) from {service}.outbox where published_at is null {more}"  # noqa: S608 - our own names
        )
        found += [f"{waiting} events of {service}"] if waiting else []
    return found


async def _orders(rows: Rows, since: float, *, with_lines: bool) -> list[OurOrder]:
    found = await rows(
        """
        select o.id, o.status, o.insurer, o.offer_id, o.quote_id, o.premium,
               coalesce((select array_agg(number) from orders.policies where order_id = o.id), '{}') as policies,
               exists(select from orders.policies where order_id = o.id and status = 'cancelled') as policy_cancelled,
               coalesce((select sum(captured) from orders.payments where order_id = o.id), 0) as captured,
               coalesce((select sum(refunded) from orders.payments where order_id = o.id), 0) as refunded,
               coalesce((select sum(amount) from orders.payments where order_id = o.id and status = 'held'), 0) as held
        from orders.orders o
        """
    )
    documents = _counted(await rows("select order_id, state as what from documents.documents"))
    lines: dict[str, Counter[str]] = {}
    settled: dict[str, Decimal] = {}
    if with_lines:
        kept = await rows("select order_id, kind as what, collected from settlement.lines")
        lines = _counted(kept)
        for row in kept:
            settled[str(row["order_id"])] = settled.get(str(row["order_id"]), Decimal()) + row["collected"]
    return [
        OurOrder(
            id=str(row["id"]),
            status=row["status"],
            insurer=row["insurer"],
            offer_id=str(row["offer_id"]),
            quote_id=str(row["quote_id"]),
            premium=row["premium"],
            policies=tuple(row["policies"]),
            policy_cancelled=row["policy_cancelled"],
            captured=row["captured"],
            refunded=row["refunded"],
            held=row["held"],
            documents=documents.get(str(row["id"]), {}),
            lines=lines.get(str(row["id"]), {}),
            settled=settled.get(str(row["id"]), Decimal()),
            earlier=made_at(row["id"]) < since,
        )
        for row in found
    ]


def _counted(found: Iterable[asyncpg.Record]) -> dict[str, Counter[str]]:
    counts: dict[str, Counter[str]] = {}
    for row in found:
        counts.setdefault(str(row["order_id"]), Counter())[row["what"]] += 1
    return counts


async def _effects(rows: Rows, reactions: Iterable[Reaction]) -> list[MissedEvent]:
    """Compare every outbox with every inbox: each event once at each consumer of its type."""
    wanted: dict[tuple[str, str], str] = {}
    for reaction in reactions:
        for event in reaction.events:
            wanted[reaction.consumer, event.type_name()] = reaction.database.service
    published: dict[str, str] = {}
    for service in sorted({event.partition(".")[0] for _, event in wanted}):
        for row in await rows(f"select id, type from {service}.outbox"):  # noqa: S608 - our own names
            published[str(row["id"])] = row["type"]
    noted: Counter[tuple[str, str]] = Counter()
    for service in sorted(set(wanted.values())):
        for row in await rows(f"select consumer, event_id from {service}.inbox"):  # noqa: S608 - our own names
            noted[row["consumer"], str(row["event_id"])] += 1
    return [
        MissedEvent(consumer=consumer, event_id=event_id, type=kind, times=noted[consumer, event_id])
        for event_id, kind in published.items()
        for consumer, wants in wanted
        if wants == kind and noted[consumer, event_id] != 1
    ]


async def _buried(rows: Rows, schemas: Iterable[str], since: float) -> Any:
    for service in schemas:
        for row in await rows(
            f"select consumer, type, reason from {service}.dead_letters "  # noqa: S608 - our own names
            f"where replayed_at is null and created_at >= to_timestamp({since})"
        ):
            yield f"{row['consumer']} gave up on {row['type']}: {row['reason']}"
