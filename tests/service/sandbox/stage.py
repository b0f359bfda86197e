"""The sandbox alone, served over a real socket, with someone who takes what it sends."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
from litestar import Request, Response, post
from litestar.params import FromPath
from sqlalchemy.engine import make_url

from insuretech.compose.database import create_database
from insuretech.compose.edge import application
from insuretech.contracts.money import Money
from insuretech.contracts.tariffs import Corridor
from insuretech.contracts.text import Language
from insuretech.kit.db import Database
from insuretech.kit.embedded_postgres import EmbeddedPostgres
from insuretech.kit.http import OutgoingClient, new_client
from insuretech.kit.http_server import serving
from insuretech.kit.ids import new_id
from insuretech.kit.keyring import Keyring
from insuretech.kit.live import LiveHub
from insuretech.kit.platform import Platform, Service
from insuretech.kit.roles import service_url
from insuretech.kit.settings import Settings
from insuretech.kit.signatures import signed
from insuretech.sandbox.app import build
from tests.ports import free_port

SECRET = "a secret of this test"
LOWEST, HIGHEST = Money(Decimal(4000)), Money(Decimal(8000))
OSAGO: dict[str, Any] = {
    "vehicle": {"category": "B", "power_hp": "87", "plate": "А123ВС77", "trailer": False},
    "owner": {"kind": "individual", "region": "Москва", "territory": "Москва"},
    "drivers": {"limited": True, "list": [{"birth_date": "1990-05-05", "licence_since": "2010-06-07"}]},
    "use": {"starts_on": "2027-02-01", "months": 12},
}
"""Answers with every kind of value a dialect has to carry."""
ASKED = "peremena"
"""Whom the calls below go to."""
SOMEONE = {
    "lastName": "Ёлкина",
    "firstName": "Анна",
    "middleName": None,
    "birthDate": "1990-05-05",
    "email": "anna@example.org",
    "phone": "79001234567",
    "document": {"type": "passport", "number": "4510123456"},
}


class SkippingClock:
    """The real time, moved forward at will."""

    def __init__(self) -> None:
        self.skipped = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.skipped

    def skip(self, **by: float) -> None:
        self.skipped += timedelta(**by)


@dataclass(frozen=True)
class Received:
    """A callback or notification that came."""

    path: str
    body: bytes
    signature: str

    @property
    def told(self) -> Any:
        return msgspec.json.decode(self.body)


@dataclass
class RunningSandbox:
    """The sandbox being served; ``answers`` are the statuses its messages get, then 200.

    Once ``hanging`` is set its messages get no answer.
    """

    url: str
    clock: SkippingClock
    http: OutgoingClient
    service: Service
    received: list[Received] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    hanging: asyncio.Event = field(default_factory=asyncio.Event)

    async def calm(self) -> None:
        """Empty books, everyone by character (though ``ASKED`` is quick), the real time, and nothing received."""
        self.clock.skipped = timedelta()
        response = await self.http.post(f"{self.url}/sandbox/api/reset", json={"books": True})
        assert response.status_code == 204, response.text
        await self.behave(ASKED, delay_min_ms=0, delay_max_ms=0)
        self.received.clear()
        self.answers.clear()

    async def behave(self, code: str, **behaviour: object) -> None:
        """Set some of a behaviour; ``payments`` is the provider."""
        path = "payments" if code == "payments" else f"insurers/{code}"
        response = await self.http.put(f"{self.url}/sandbox/api/{path}", json=behaviour)
        assert response.status_code == 200, response.text

    async def books(self) -> Any:
        return (await self.http.get(f"{self.url}/sandbox/api/books")).json()

    async def calls(self, code: str) -> Any:
        return (await self.http.get(f"{self.url}/sandbox/api/calls", params={"insurer": code})).json()

    async def messages(self, count: int, within: float = 60.0) -> list[Received]:
        """What has come, once there are so many."""
        await eventually(lambda: len(self.received) >= count, within)
        return self.received


async def eventually(holds: Callable[[], bool], within: float = 60.0) -> None:
    """Wait until a condition comes true; fail when it does not in time."""
    async with asyncio.timeout(within):
        while not holds():  # noqa: ASYNC110 - what is waited for happens on the other side of a socket
            await asyncio.sleep(0.01)


# ------------------------------------------------------------ calls as an insurer's partner makes them


async def ask(sandbox: RunningSandbox, path: str, body: object, insurer: str = ASKED) -> Any:
    """What an insurer answers in the polling dialect."""
    url = f"{sandbox.url}/sandbox/insurers/{insurer}/v2/{path}"
    return (await sandbox.http.put(url, json=body, headers={"X-Api-Key": SECRET})).json()


async def offer(sandbox: RunningSandbox, reference: UUID | None = None, insurer: str = ASKED) -> Any:
    """What an insurer answers to a request for an OSAGO offer."""
    body = {"product": "osago", "edition": "1", "parameters": OSAGO}
    return await ask(sandbox, f"calculations/{reference or new_id()}", body, insurer)


async def reserve(sandbox: RunningSandbox, order: UUID, offer_id: str) -> Any:
    """What an insurer answers when an order wants its price confirmed."""
    return await ask(sandbox, f"orders/{order}/reservation", {"offerId": offer_id})


async def issue(sandbox: RunningSandbox, order: UUID, offer_id: str, kopecks: int) -> Any:
    """What an insurer answers when a policy is to be issued."""
    body = {"offerId": offer_id, "premiumKopecks": kopecks, "policyholder": SOMEONE}
    return await ask(sandbox, f"orders/{order}/policy", body)


async def request_callback(sandbox: RunningSandbox) -> None:
    """Ask for an offer in the callback dialect."""
    body = msgspec.json.encode(
        {
            "external_id": new_id(),
            "product": {"code": "osago", "version": "1"},
            "risk": OSAGO,
            "callback_url": f"{sandbox.url}/callbacks/{ASKED}",
        }
    )
    headers = {"X-Signature": signed(SECRET, body, sandbox.clock.now())}
    url = f"{sandbox.url}/sandbox/insurers/{ASKED}/partner/quotes"
    answer = await sandbox.http.post(url, content=body, headers=headers)
    assert answer.json()["status"] == "accepted"


# ------------------------------------------------------------ serving


@asynccontextmanager
async def sandbox_on_a_copy(postgres: EmbeddedPostgres, migrated: str) -> AsyncIterator[RunningSandbox]:
    """A sandbox for all tests of a module, on a database of its own that goes with the server."""
    admin = make_url(postgres.dsn(database=f"sandbox_{new_id().hex}"))
    await create_database(admin, template=migrated)
    database = Database("sandbox", service_url(admin, "sandbox"), pool_size=4)
    try:
        async with running_sandbox(lambda _: database) as running:
            yield running
    finally:
        await database.dispose()


@asynccontextmanager
async def running_sandbox(database: Callable[[str], Database], port: int = 0) -> AsyncIterator[RunningSandbox]:
    """Serve the sandbox, on a free port if none is given, until the block is left."""
    port = port or free_port()
    settings = Settings(port=port, sandbox_secret=SECRET, yookassa_secret_key=SECRET)
    client, clock = new_client(), SkippingClock()
    platform = Platform(
        settings=settings,
        clock=clock,
        keyring=Keyring.generate(),
        http=client,
        live=LiveHub(),
        database=database,
    )
    service = build(platform, corridor=_corridor).service
    sandbox = RunningSandbox(settings.base_url, clock, client, service)
    tasks: list[asyncio.Task[None]] = []
    try:
        async with serving(application([*service.routes, *_takers(sandbox)], settings), port):
            for hook in service.on_start:
                await hook()
            tasks = [asyncio.create_task(background.run()) for background in service.background]  # type: ignore[arg-type]
            yield sandbox
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await client.aclose()


async def _corridor(_: date, answers: dict[str, Any], __: Language) -> Corridor:
    assert answers["vehicle"]["category"] == "B"
    return Corridor(edition="of this test", min=LOWEST, max=HIGHEST, factors=())


def _takers(sandbox: RunningSandbox) -> list[Any]:
    async def take(request: Request[Any, Any, Any]) -> Response[None]:
        body = await request.body()
        sandbox.received.append(Received(request.url.path, body, request.headers.get("x-signature", "")))
        if sandbox.hanging.is_set():
            await asyncio.sleep(3600)
        return Response(None, status_code=sandbox.answers.pop(0) if sandbox.answers else 200)

    @post("/callbacks/{code:str}")
    async def callback(request: Request[Any, Any, Any], code: FromPath[str]) -> Response[None]:  # noqa: ARG001
        return await take(request)

    @post("/api/v1/payments/notifications")
    async def notification(request: Request[Any, Any, Any]) -> Response[None]:
        return await take(request)

    return [callback, notification]
