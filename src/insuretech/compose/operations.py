"""What those who run the marketplace ask it: whether it lives, whether it is ready, and its numbers.

Not part of the public API and so not in its description. Startup says that everything requests need has been there
once: until then nobody should judge the process by the other two. Live says only that this process answers: whoever
asks would otherwise restart it for a database that is away. Ready says that requests are in the right place here:
no other process would carry them out better, and this one does not wish to stop.
"""

import asyncio
from collections.abc import Callable, Sequence
from time import monotonic

import msgspec
import structlog
from litestar import Response, get
from litestar.types import ControllerRouterHandler
from prometheus_client import CONTENT_TYPE_LATEST, Gauge, generate_latest
from sqlalchemy.pool import QueuePool

from insuretech.compose.lifecycle import Phase
from insuretech.kit.db import Database
from insuretech.kit.platform import Platform, Service

log = structlog.get_logger(__name__)

_PING_LIMIT = 1.0  # seconds, for all databases together
_NO_STORE = {"Cache-Control": "no-store"}
_LEAVING = 404  # to HAProxy: send nothing new, end nothing (disable-on-404); to all others as good as 503

LISTENERS = Gauge("insuretech_live_listeners", "Open live streams.")
POOL_IN_USE = Gauge("insuretech_database_connections_in_use", "Connections lent out, by service.", ["service"])
POOL_SIZE = Gauge("insuretech_database_connections_limit", "Connections a service may use at once.", ["service"])


class Health(msgspec.Struct, frozen=True):
    """The answer to a probe; ``failing`` names each part that is not ready, as ``database:orders``.

    ``without`` names what is away and no reason to send requests elsewhere.
    """

    status: str
    failing: list[str] = []
    without: list[str] = []


def operations_routes(
    services: Sequence[Service],
    platform: Platform,
    loops_down: Callable[[], Sequence[str]] = tuple,
    *,
    phase: Phase | None = None,
    without: Callable[[], Sequence[str]] = tuple,
    patience: float = 0.0,
) -> list[ControllerRouterHandler]:
    """Handlers of ``/healthz/startup``, ``/healthz/live``, ``/healthz/ready`` and ``/metrics``.

    ``loops_down`` names background loops that are not running, ``without`` what is away but not needed for requests.
    A database counts as away once it has not answered for ``patience`` seconds; until then it is named under
    ``without``. Where all replicas ask the same one, it would otherwise leave no replica to answer at all.
    """
    life = phase or Phase()
    databases = [service.database for service in services if service.database is not None]
    watched = [_Watched(database, patience) for database in databases]
    optional = {f"database:{service.name}" for service in services if service.serves_without_database}

    @get("/healthz/startup", include_in_schema=False)
    async def startup() -> Response[Health]:
        return _well(Health("started")) if life.begun else _unwell(Health("starting", [life.reason or "start"]))

    @get("/healthz/live", include_in_schema=False)
    async def live() -> Response[Health]:
        return _well(Health("live"))

    @get("/healthz/ready", include_in_schema=False)
    async def ready() -> Response[Health]:
        if life.now == "draining":
            return Response(Health("draining", ["draining"]), status_code=_LEAVING, headers=_NO_STORE)
        if life.now == "starting":
            return _unwell(Health("not ready", [life.reason or life.now]))
        silent = await _unanswering(watched)
        away = [name for name, seconds in silent.items() if seconds > patience and name not in optional]
        failing = [*away, *(f"loop:{name}" for name in loops_down())]
        missed = [*(name for name in silent if name not in away), *without()]
        if failing:
            log.warning("not_ready", failing=failing)
            return _unwell(Health("not ready", failing, missed))
        return _well(Health("ready", without=missed))

    @get("/metrics", include_in_schema=False)
    async def metrics() -> Response[bytes]:
        _measure(platform, databases)
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST, headers=_NO_STORE)

    return [startup, live, ready, metrics]


def _well(health: Health) -> Response[Health]:
    return Response(health, headers=_NO_STORE)


def _unwell(health: Health) -> Response[Health]:
    return Response(health, status_code=503, headers=_NO_STORE)


class _Watched:
    """A database, and for how long it has answered nobody.

    Where all connections are lent out to others who get their answers, there is much to do, and nothing is away: a
    replica that the balancer left for that would leave its work to the next, until none is left.
    """

    def __init__(self, database: Database, patience: float) -> None:
        self.name = f"database:{database.service}"
        self._database = database
        self._limit = _PING_LIMIT / 2 if patience else _PING_LIMIT  # who asks, waits for a second

    async def silent(self) -> float:
        """Seconds since anybody was answered, where now no connection can be had and used within the limit; else 0."""
        try:
            async with asyncio.timeout(self._limit):
                await self._database.ping()
        except Exception as error:  # noqa: BLE001 - whatever it is, the database does not answer
            log.warning("database.unavailable", service=self._database.service, error=type(error).__name__)
            return monotonic() - self._database.answered_at
        return 0.0


async def _unanswering(databases: Sequence[_Watched]) -> dict[str, float]:
    """Databases that do not answer, and for how many seconds they have not."""
    silences = await asyncio.gather(*(database.silent() for database in databases))
    return {database.name: silence for database, silence in zip(databases, silences, strict=True) if silence > 0}


def _measure(platform: Platform, databases: Sequence[Database]) -> None:
    LISTENERS.set(platform.live.listeners())
    for database in databases:
        pool = database.engine.pool
        if isinstance(pool, QueuePool):
            POOL_IN_USE.labels(database.service).set(pool.checkedout())
            POOL_SIZE.labels(database.service).set(pool.size())
