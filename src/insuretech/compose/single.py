"""Everything in one process: all services, local relays, projections in memory, documents in a local folder."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property

import httpx
import structlog
from litestar import Litestar
from sqlalchemy.engine import URL

from insuretech.catalogue.app import Catalogue
from insuretech.catalogue.app import build as build_catalogue
from insuretech.compose.edge import application, failure_page_of, unwired
from insuretech.compose.hot import open_hot
from insuretech.compose.lifecycle import Phase
from insuretech.compose.loops import Loops
from insuretech.compose.operations import operations_routes
from insuretech.compose.partitions import keepers, loops_of, warnings_of
from insuretech.compose.storage import open_storage
from insuretech.connectors.directory import open_directory
from insuretech.documents.app import build as build_documents
from insuretech.kit.clock import SystemClock
from insuretech.kit.db import Database
from insuretech.kit.http import new_client
from insuretech.kit.keyring import Keyring
from insuretech.kit.messaging import Reaction
from insuretech.kit.outbox import until_delivered
from insuretech.kit.partition_keeper import PartitionKeeper
from insuretech.kit.platform import Background, Platform, Service
from insuretech.kit.relay import LocalRelay
from insuretech.kit.roles import service_url
from insuretech.kit.settings import Settings
from insuretech.orders.app import build as build_orders
from insuretech.quotes.app import build as build_quotes
from insuretech.sandbox.app import build as build_sandbox
from insuretech.settlement.app import Settlement
from insuretech.settlement.app import build as build_settlement
from insuretech.storefront.app import build as build_storefront

log = structlog.get_logger(__name__)

OWNERS = ("catalogue", "quotes", "orders", "documents", "settlement", "sandbox")
"""Services with a schema of their own."""

_SETTLE_LIMIT = 3.0  # seconds


@dataclass
class Composition:
    """The wired marketplace: the ASGI application and what runs beside it."""

    app: Litestar
    platform: Platform
    services: tuple[Service, ...]
    databases: tuple[Database, ...]
    catalogue: Catalogue
    settlement: Settlement
    bridges: tuple[Background, ...] = ()
    loops: Loops = field(default_factory=Loops)
    phase: Phase = field(default_factory=Phase)
    keepers: Sequence[PartitionKeeper] = ()

    @cached_property
    def reactions(self) -> tuple[Reaction, ...]:
        return tuple(reaction for service in self.services for reaction in service.reactions)

    def service(self, name: str) -> Service:
        return next(service for service in self.services if service.name == name)

    def relay(self, service: Service) -> LocalRelay | None:
        """The relay of a service's outbox, when it has one."""
        if service.database is None or service.messaging is None:
            return None
        return LocalRelay(service.database, service.messaging, self.reactions)

    async def start(self) -> None:
        """Run start hooks, then relays; return when what the hooks announced is known everywhere."""
        for service in self.services:
            for hook in [*service.seed, *service.on_start]:
                await hook()
        for service in self.services:
            relay = self.relay(service)
            self.loops.start([Background(f"{service.name}.relay", relay.run)] if relay else [])
        await asyncio.gather(*(_settled(service) for service in self.services))

    def work(self) -> None:
        """Begin the services' loops, once requests are answered: they call insurers and the payment provider, who may
        live in this very process, and whose refusals at this moment would let every breaker open.
        """
        self.loops.start(self.bridges)
        for service in self.services:
            self.loops.start(service.background)
        self.loops.start(loops_of(self.keepers))

    def begin_stop(self) -> None:
        """Close live streams, so that the server can finish its open requests."""
        self.platform.live.close()

    async def stop(self) -> None:
        """Cancel loops and close pools; what was under way is taken up at the next start."""
        self.begin_stop()
        await self.loops.stop()
        await self.platform.http.aclose()
        await self.platform.hot.aclose()
        for database in self.databases:
            await database.dispose()


async def _settled(service: Service) -> None:
    """A first request right after the start finds every product on sale; a great backlog does not hold the start up."""
    if service.database is None or service.messaging is None:
        return
    if not await until_delivered(service.database, service.messaging, _SETTLE_LIMIT):
        log.warning("start.backlog", service=service.name)


class _LateTransport(httpx.AsyncBaseTransport):
    """Lets the storefront call the application that it is itself a part of, without a socket."""

    inner: httpx.ASGITransport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self.inner.handle_async_request(request)


def build(settings: Settings, admin: URL, keyring: Keyring) -> Composition:
    """Wire every service; opens nothing yet."""
    databases: dict[str, Database] = {}

    def database(service: str) -> Database:
        url = service_url(admin, service, settings.database_secret)
        return databases.setdefault(service, Database(service, url, settings.pool_size))

    hot = open_hot(settings)
    platform = Platform(
        settings=settings,
        clock=SystemClock(),
        keyring=keyring,
        http=new_client(),
        live=hot.live,
        database=database,
        hot=hot.store,
    )
    transport = _LateTransport()
    catalogue, settlement, services = _wire(platform, transport)
    composition = Composition(unwired(), platform, services, (), catalogue, settlement)
    composition.bridges = hot.background
    composition.app = _application(settings, platform, services, composition)
    composition.databases = tuple(databases.values())
    composition.keepers = keepers(services, platform)
    transport.inner = httpx.ASGITransport(composition.app, raise_app_exceptions=False)  # type: ignore[arg-type]
    return composition


def _wire(platform: Platform, transport: httpx.AsyncBaseTransport) -> tuple[Catalogue, Settlement, tuple[Service, ...]]:
    insurers = open_directory(platform)
    catalogue = build_catalogue(platform, insurers=insurers)
    quotes = build_quotes(platform, insurers=insurers, corridor=catalogue.corridor)
    orders = build_orders(platform, insurers=insurers, offers=quotes.offers)
    documents = build_documents(platform, policies=orders.policies, storage=open_storage(platform.settings))
    settlement = build_settlement(platform, insurers=insurers, storage=open_storage(platform.settings))
    storefront = build_storefront(platform, marketplace_transport=transport)
    built = [one.service for one in (catalogue, quotes, orders, documents, settlement, storefront)]
    if platform.settings.sandbox_enabled:
        built.append(build_sandbox(platform, corridor=catalogue.corridor).service)
    return catalogue, settlement, tuple(built)


def _application(
    settings: Settings, platform: Platform, services: Sequence[Service], composition: Composition
) -> Litestar:
    @asynccontextmanager
    async def running(_: Litestar) -> AsyncIterator[None]:
        await composition.start()
        try:
            yield
        finally:
            await composition.stop()

    routes = [route for service in services for route in service.routes]
    probes = operations_routes(
        services,
        platform,
        composition.loops.down,
        phase=composition.phase,
        without=lambda: warnings_of(composition.keepers),
    )
    return application([*routes, *probes], settings, [running], failure_page_of(services))
