"""Services in a process beside other replicas of it, mostly one each: what ``insuretech service NAME …`` runs.

Several in one process still speak to each other as those of others do: where it is one of many, whatever it asks may
be answered by another.

A process starts without anything around it being there. It listens at once, says by ``/healthz/startup`` what it waits
for, and works as soon as that has come. What is away later is for the adapters to bridge: the process stays.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import chain, repeat

import asyncpg
import structlog
from litestar import Litestar
from sqlalchemy.exc import SQLAlchemyError

from insuretech.compose.addresses import service_of
from insuretech.compose.database import database_address, reason_of
from insuretech.compose.edge import application, failure_page_of, unwired
from insuretech.compose.feeds import feeds_of
from insuretech.compose.hosting import Announce, Stopping, host, run_until_signal, surroundings
from insuretech.compose.hot import open_hot
from insuretech.compose.lifecycle import Phase
from insuretech.compose.loops import Loops
from insuretech.compose.operations import operations_routes
from insuretech.compose.partitions import keepers, loops_of, warnings_of
from insuretech.compose.services import BUILDERS, SEALING
from insuretech.kit.clock import SystemClock
from insuretech.kit.db import Database
from insuretech.kit.failures import Unusable
from insuretech.kit.http import new_client
from insuretech.kit.keyring import Keyring, KeyringInvalid
from insuretech.kit.migrations import schema_problem
from insuretech.kit.partition_keeper import PartitionKeeper
from insuretech.kit.platform import Background, Platform, Service
from insuretech.kit.roles import service_url
from insuretech.kit.settings import Settings, SettingsInvalid, read_secret

log = structlog.get_logger(__name__)

_PAUSES = (0.5, 1.0, 2.0)  # seconds between attempts to start, the last one for all further ones
_PATIENCE = 120.0
"""Seconds without an answer after which a database counts as away: longer than another one needs to take over, by a
person's word too. All replicas ask the same one, and while none is ready a balancer tries those that died with it."""


class NotYet(Exception):
    """Something a start needs is not there; the message is the word the probe says."""


@dataclass
class ServiceProcess:
    """Its services, wired: the ASGI application and what runs beside it."""

    app: Litestar
    platform: Platform
    services: tuple[Service, ...]
    bridges: Sequence[Background] = ()
    loops: Loops = field(default_factory=Loops)
    phase: Phase = field(default_factory=lambda: Phase("starting"))
    keepers: Sequence[PartitionKeeper] = ()
    _starting: asyncio.Task[None] | None = None

    @property
    def names(self) -> str:
        """For logs."""
        return ",".join(service.name for service in self.services)

    def elsewhere(self, path: str) -> bool:
        """Whether another process answers for a path."""
        return service_of(path) not in {None, *(service.name for service in self.services)}

    def work(self) -> None:
        """Begin to start: requests to us are answered from now on, if only by the probes."""
        self._starting = asyncio.create_task(self._until_started())

    async def _until_started(self) -> None:
        """Try until everything is there; each hook is safe to repeat."""
        for pause in chain(_PAUSES, repeat(_PAUSES[-1])):
            try:
                await self._start()
            except Exception as error:  # noqa: BLE001 - whatever is missing, it may come
                self._tell(error)
                await asyncio.sleep(pause)
            else:
                self.phase.begin()
                log.info("service.started", service=self.names)
                return

    async def _start(self) -> None:
        for service in self.services:
            database = service.database
            if database is not None and (problem := await schema_problem(database)) is not None:
                raise NotYet(f"schema:{service.name}: {problem}")
        for service in self.services:
            for hook in service.on_start:
                await hook()
        feeds = [feed for service in self.services for feed in feeds_of(service, self.platform)]
        own = [loop for service in self.services for loop in service.background]
        self.loops.start([*self.bridges, *feeds, *own, *loops_of(self.keepers)])

    def _tell(self, error: Exception) -> None:
        reason = str(error) if isinstance(error, NotYet | Unusable) else f"{_part_of(error)}: {reason_of(error)}"
        if reason != self.phase.reason:
            log.warning("service.waits", service=self.names, reason=reason)
        self.phase.reason = reason

    def begin_stop(self) -> None:
        """Close live streams, so that the server can finish its open requests."""
        self.platform.live.close()

    async def stop(self) -> None:
        """Cancel loops and close pools; what was under way another replica takes up."""
        self.begin_stop()
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
        await self.loops.stop()
        await self.platform.http.aclose()
        await self.platform.hot.aclose()
        for service in self.services:
            if service.database is not None:
                await service.database.dispose()


def _part_of(error: Exception) -> str:
    away = (OSError, SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError)
    return "database" if isinstance(error, away) else type(error).__name__


def build(names: Sequence[str], settings: Settings, keyring: Keyring) -> ServiceProcess:
    """Wire these services; opens nothing yet."""
    hot = open_hot(settings)
    platform = Platform(
        settings=settings,
        clock=SystemClock(),
        keyring=keyring,
        http=new_client(),
        live=hot.live,
        database=lambda service: _own_database(names, service, settings),
        hot=hot.store,
    )
    services = tuple(BUILDERS[name](platform) for name in names)
    bridges = hot.background if hot.live.kinds else ()
    process = ServiceProcess(unwired(), platform, services, bridges)
    process.keepers = keepers(services, platform)
    process.app = _application(process, settings)
    return process


def _own_database(names: Sequence[str], asked: str, settings: Settings) -> Database:
    if asked not in names:
        raise PermissionError(f"{','.join(names)} has no access to the data of {asked}")
    url = service_url(database_address(_address_for(asked, settings)), asked, settings.database_secret)
    return Database(asked, url, settings.pool_size)


def _address_for(name: str, settings: Settings) -> str:
    """The address that was given to a service alone, or the one for all."""
    if settings.database_urls is not None:
        return read_secret("INSURETECH_DATABASE_URLS", settings.database_urls / name)
    if not settings.database_url:
        raise SettingsInvalid("DATABASE_URL is needed: a service apart has no database of its own.")
    return settings.database_url


def _application(process: ServiceProcess, settings: Settings) -> Litestar:
    @asynccontextmanager
    async def running(_: Litestar) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await process.stop()

    def without() -> Sequence[str]:
        return [*process.loops.down(), *process.platform.hot.silent(), *warnings_of(process.keepers)]

    probes = operations_routes(
        process.services, process.platform, phase=process.phase, without=without, patience=_PATIENCE
    )
    routes = [route for service in process.services for route in service.routes]
    return application(
        [*routes, *probes],
        settings,
        [running],
        failure_page_of(process.services),
        described=False,
        elsewhere=process.elsewhere,
    )


def serve_services(names: Sequence[str], settings: Settings, announce: Announce) -> None:
    """Serve these services until SIGINT, SIGTERM or SIGHUP; must run in the main thread."""
    with surroundings(settings) as known:
        run_until_signal(lambda stopping: _run(names, known, stopping, announce))


async def _run(names: Sequence[str], settings: Settings, stopping: Stopping, announce: Announce) -> None:
    process = build(names, settings, _keyring(names, settings))
    await host(process, settings, stopping, announce, drain=settings.drain)


def _keyring(names: Sequence[str], settings: Settings) -> Keyring:
    """The keys all replicas share. They are made by hand, as each replica would make others."""
    if not SEALING & set(names):
        return Keyring.generate()
    if not settings.keyring_path.exists():
        raise KeyringInvalid(
            f"There is no key file {settings.keyring_path}: make one with `insuretech keys create` and give it to all."
        )
    return Keyring.open(settings.keyring_path)
