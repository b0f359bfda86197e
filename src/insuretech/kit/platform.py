"""What every service is built from, and what a built service is."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from litestar import Request, Response
from litestar.types import ControllerRouterHandler

from insuretech.kit.clock import Clock
from insuretech.kit.db import Database
from insuretech.kit.files import FileCheck
from insuretech.kit.hot import HotStore, MemoryHot
from insuretech.kit.http import OutgoingClient
from insuretech.kit.keyring import Keyring
from insuretech.kit.live import LiveHub
from insuretech.kit.messaging import MessagingTables, Reaction
from insuretech.kit.partitions import Plan
from insuretech.kit.projections import Projection
from insuretech.kit.settings import Settings


@dataclass(frozen=True)
class Platform:
    """The surroundings of a process; each service's ``build`` takes it.

    ``database`` gives a service's own pool; ask once per service.
    """

    settings: Settings
    clock: Clock
    keyring: Keyring
    http: OutgoingClient
    live: LiveHub
    database: Callable[[str], Database]
    hot: HotStore = field(default_factory=MemoryHot)


@dataclass(frozen=True)
class Background:
    """A loop that runs as long as the process; it is cancelled at stop and restarted when it fails."""

    name: str
    run: Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Service:
    """A service, wired: what the composition root mounts, runs and stops."""

    name: str
    routes: Sequence[ControllerRouterHandler] = ()
    reactions: Sequence[Reaction] = ()
    background: Sequence[Background] = ()
    on_start: Sequence[Callable[[], Awaitable[None]]] = ()
    """Run before the first request, in every process; safe to repeat and to run beside each other."""
    seed: Sequence[Callable[[], Awaitable[None]]] = ()
    """Run before ``on_start`` where one process is everything; else done by commands, once for all replicas."""
    database: Database | None = None
    serves_without_database: bool = False
    """Requests are carried out from memory while the database is away."""
    messaging: MessagingTables | None = None
    partitions: Sequence[Plan] = ()
    """Further tables in partitions by time, beside those of ``messaging``."""
    projections: Mapping[str, Callable[[], Awaitable[int]]] = field(default_factory=dict)
    """Rebuilds a projection from its source; gives the number of entries."""
    hot: Sequence[Projection] = ()
    """Projections in hot storage, which can be rebuilt while they are read, and checked."""
    failure_page: Callable[[Request[Any, Any, Any], Exception], Response[Any]] | None = None
    """Shows people what went wrong at an address that nobody has."""
    check_files: FileCheck | None = None
    """Looks after the service's files in object storage."""
    reencrypt: Callable[[], Awaitable[int]] | None = None
    """Re-encrypts personal data under the current key; gives the number of rows changed."""
