"""Wires the orders service; the only place that names its adapters."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

import structlog
from prometheus_client import Gauge

from insuretech.connectors.yookassa import YooKassa
from insuretech.contracts.insurers import InsurerDirectory, Policyholder
from insuretech.kit.breaker import Breaker
from insuretech.kit.clock import Clock
from insuretech.kit.db import Database
from insuretech.kit.http import Outbound
from insuretech.kit.platform import Background, Platform, Service
from insuretech.orders import queries
from insuretech.orders.calls import OutsideCalls
from insuretech.orders.commands import CHANNEL, Desk, channel_of
from insuretech.orders.domain.books import BookEntry
from insuretech.orders.domain.lifecycle import OrderStatus
from insuretech.orders.domain.outcomes import Timing
from insuretech.orders.domain.purchase import Purchase
from insuretech.orders.papers import PolicyPapers
from insuretech.orders.policyholders import PolicyholderVault, SealedPolicyholder
from insuretech.orders.ports import OfferSource, PaymentProvider
from insuretech.orders.reactions import OrderReactions
from insuretech.orders.repository import OrderStore, TermsCache, forget_old, presence, reseal, statements, transactions
from insuretech.orders.routes import orders_router
from insuretech.orders.saga import Saga
from insuretech.orders.shown import ShownOrders
from insuretech.orders.tables import OFFERS, messaging
from insuretech.orders.views import Views

log = structlog.get_logger(__name__)

IN_WORK = Gauge("insuretech_orders_in_work", "Orders something is still to happen with, by status.", ["status"])
OLDEST = Gauge(
    "insuretech_orders_in_work_oldest_seconds", "How long the oldest order is in this status by now.", ["status"]
)
PROVIDER_LIMIT = 7.0
"""Seconds for one call to the payment provider: a buyer waits for the page to pay at."""


@dataclass(frozen=True)
class Orders:
    """The orders service; ``policies`` answers what documents ask, ``books`` what an auditor asks."""

    service: Service
    policies: PolicyPapers
    books: Callable[[], Awaitable[Sequence[BookEntry]]]
    saga: Saga


def build(
    platform: Platform,
    *,
    insurers: InsurerDirectory,
    offers: OfferSource,
    payments: PaymentProvider | None = None,
) -> Orders:
    """Put the service together; opens nothing yet."""
    settings, clock = platform.settings, platform.clock
    database = platform.database("orders")
    terms_known = TermsCache()
    vault = PolicyholderVault(platform.keyring)
    views = Views(insurers, settings.base_url)
    provider = payments or yookassa(platform)

    async def policyholder(order_id: UUID) -> Policyholder:
        return vault.open(order_id, await queries.sealed_policyholder(database, order_id))

    shown = ShownOrders(platform.hot, database, views, clock)
    transaction = transactions(database, terms_known, shown.about_to_change)
    platform.live.understand(CHANNEL, lambda _: None)

    def told(purchase: Purchase) -> None:
        platform.live.publish(channel_of(purchase.order.id), purchase.order.status, b"")
        shown.changed(purchase)

    each = statements(database, terms_known, shown.about_to_change)
    saga = Saga(
        transaction,
        each,
        OutsideCalls(insurers, provider, policyholder),
        clock,
        Timing(payment_deadline=settings.payment_deadline, issue_recheck=settings.issue_recheck),
        lambda worker: presence(database, worker),
        told=told,
        call_limit=settings.insurer_time_limit,
    )
    desk = Desk(
        transaction=transaction,
        statements=each,
        offers=offers,
        provider=provider,
        vault=vault,
        views=views,
        clock=clock,
        live=platform.live,
        follow=shown.follow,
        wake=saga.wake,
    )
    policies = PolicyPapers(database, vault, offers, views)

    def resealed(order_id: UUID, sealed: bytes) -> SealedPolicyholder:
        return vault.seal(order_id, vault.open(order_id, sealed))

    service = Service(
        name="orders",
        routes=[orders_router(desk, database, shown, views, clock)],
        reactions=OrderReactions(lambda connection: OrderStore(connection, terms_known), shown.follow_soon).all(
            database, messaging
        ),
        background=[
            Background("orders.saga", saga.run),
            Background("orders.order", shown.projection.keep_true),
            Background("orders.census", lambda: _count_orders(database, clock)),
            Background("orders.housekeeping", lambda: _keep_house(database, clock)),
        ],
        database=database,
        messaging=messaging,
        partitions=(OFFERS,),
        hot=(shown.projection,),
        reencrypt=lambda: reseal(database, vault.current_key, resealed),
    )
    return Orders(service, policies, lambda: queries.books(database), saga)


def yookassa(platform: Platform) -> YooKassa:
    """The payment provider of the settings: the sandbox's by default."""
    settings = platform.settings
    outbound = Outbound(
        platform.http, settings.payment_url, time_limit=PROVIDER_LIMIT, concurrency=64, breaker=Breaker()
    )
    return YooKassa(outbound, shop_id=settings.yookassa_shop_id, secret_key=settings.yookassa_secret_key)


async def _count_orders(database: Database, clock: Clock, every: float = 15.0) -> None:
    """Keep the gauges of orders in work up to date."""
    while True:
        found = {line.status: line for line in await queries.in_work(database)}
        now = clock.now()
        for status in OrderStatus:
            line = found.get(status)
            IN_WORK.labels(status.value).set(line.orders if line else 0)
            OLDEST.labels(status.value).set((now - line.since).total_seconds() if line else 0)
        await asyncio.sleep(every)


async def _keep_house(database: Database, clock: Clock, every: float = 3600.0) -> None:
    """Delete what is past its retention."""
    while True:
        await forget_old(database, clock.now())
        await asyncio.sleep(every)
