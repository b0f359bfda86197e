"""Wires the quotes service; the only place that names its adapters."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

import structlog

from insuretech.contracts.insurers import InsurerDirectory
from insuretech.contracts.tariffs import CorridorSource
from insuretech.kit.catching_up import CatchingUp
from insuretech.kit.clock import Clock
from insuretech.kit.platform import Background, Platform, Service
from insuretech.kit.pressure import Pressure
from insuretech.quotes.commands import QuoteDesk
from insuretech.quotes.engine import Engine, EngineSettings
from insuretech.quotes.history import Histories
from insuretech.quotes.ports import Transaction
from insuretech.quotes.queries import ProductCache, QuoteQueries
from insuretech.quotes.reactions import QuoteReactions
from insuretech.quotes.repository import QuoteStore, reencrypt, statements, transactions
from insuretech.quotes.routes import quotes_router
from insuretech.quotes.streams import QuoteStreams
from insuretech.quotes.tables import messaging, partition_plans
from insuretech.quotes.views import Views

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Quotes:
    """The quotes service; ``offers`` answers what orders ask about offers."""

    service: Service
    offers: QuoteQueries


def build(
    platform: Platform,
    *,
    insurers: InsurerDirectory,
    corridor: CorridorSource,
    engine_settings: EngineSettings | None = None,
) -> Quotes:
    """Put the service together; opens nothing yet."""
    database = platform.database("quotes")
    products = ProductCache()
    transaction = transactions(database, products)
    each = statements(database, products)
    queries = QuoteQueries(database, platform.keyring, products)
    views = Views(insurers)
    histories = Histories(platform.hot, queries, platform.keyring, platform.clock)
    streams = QuoteStreams(platform.live, queries, histories, views)
    engine = Engine(
        transaction,
        insurers,
        platform.keyring,
        platform.clock,
        streams.tell,
        engine_settings or EngineSettings(),
        statements=each,
    )
    pressure = Pressure(waited=database.waited)
    desk = QuoteDesk(
        transaction=transaction,
        statements=each,
        engine=engine,
        insurers=insurers,
        corridor=corridor,
        keyring=platform.keyring,
        clock=platform.clock,
        quote_ttl=platform.settings.quote_ttl,
        begun=histories.begin,
        overloaded=pressure.is_high,
        queued=pressure.is_queued,
    )
    handlers = QuoteReactions(lambda connection: QuoteStore(connection, products), platform.clock)
    reactions = handlers.all(database, messaging)
    service = Service(
        name="quotes",
        routes=[
            quotes_router(
                desk=desk,
                queries=queries,
                histories=histories,
                views=views,
                streams=streams,
                clock=platform.clock,
                catching_up=CatchingUp(database, messaging, reactions, platform.clock),
            )
        ],
        reactions=reactions,
        background=[
            Background("quotes.pressure", pressure.run),
            Background("quotes.engine", engine.run),
            Background("quotes.streams", streams.run),
            Background("quotes.offers", histories.projection.keep_true),
            Background("quotes.housekeeping", lambda: _keep_house(each, platform.clock)),
        ],
        database=database,
        messaging=messaging,
        partitions=partition_plans(
            kept=timedelta(seconds=platform.settings.quotes_kept),
            period=timedelta(seconds=platform.settings.quotes_period),
        ),
        hot=(histories.projection,),
        reencrypt=lambda: reencrypt(database, platform.keyring),
    )
    return Quotes(service, queries)


async def _keep_house(each: Transaction, clock: Clock, every: float = 5.0, batch: int = 500) -> None:
    """Let offers expire and old idempotency keys go, in batches small enough to hold nobody up."""
    while True:
        async with each() as store:
            expired = await store.expire_offers(clock.now(), batch)
            forgotten = await store.forget(clock.now())
        if expired or forgotten:
            log.info("quotes.house_kept", offers_expired=expired, keys_forgotten=forgotten)
        if expired < batch:
            await asyncio.sleep(every)
