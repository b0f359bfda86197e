"""The quotes service on a real PostgreSQL, with scripted insurers and a client for its API and its live streams."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import httpx
import msgspec
import sqlalchemy as sa
from litestar import Litestar
from litestar.types import Message

from insuretech.compose.edge import application
from insuretech.compose.hot import Hot, open_hot
from insuretech.contracts.events import ProductPublished
from insuretech.contracts.tariffs import Corridor
from insuretech.contracts.text import Language
from insuretech.kit.clock import SystemClock
from insuretech.kit.db import Database
from insuretech.kit.events import Envelope, Event
from insuretech.kit.http import new_client
from insuretech.kit.ids import new_id
from insuretech.kit.keyring import Keyring
from insuretech.kit.platform import Background, Platform
from insuretech.kit.relay import deliver
from insuretech.kit.settings import Settings
from insuretech.quotes.app import build
from insuretech.quotes.domain import Patience
from insuretech.quotes.engine import EngineSettings
from insuretech.quotes.tables import messaging
from tests.unit.quotes.scripted import ScriptedDirectory
from tests.unit.quotes.specimens import CORRIDOR, answers, product

QUICK = EngineSettings(
    every=0.05,
    lease=0.4,
    patience=Patience(first_pause=0.01, longest_pause=0.05, shortest_poll=0.01, longest_poll=0.1),
)


def today_answers(**changes: Any) -> dict[str, Any]:
    """Good answers with a start a few days from the real today."""
    starts_on = (date.today() + timedelta(days=4)).isoformat()  # noqa: DTZ011 - any day near it will do
    return answers(use={"starts_on": starts_on, "months": 12}, **changes)


class World:
    """One process of the quotes service; several may share a database and insurers."""

    def __init__(
        self,
        database: Database,
        insurers: ScriptedDirectory,
        *,
        keyring: Keyring | None = None,
        engine: EngineSettings = QUICK,
        hot: Hot | None = None,
    ) -> None:
        self.database = database
        self.insurers = insurers
        self.keyring = keyring or Keyring.generate()
        self.hot = hot or open_hot(Settings())
        self.hub = self.hot.live
        self.platform = Platform(
            settings=Settings(public_url="http://test"),
            clock=SystemClock(),
            keyring=self.keyring,
            http=new_client(),
            live=self.hub,
            database=lambda _: database,
            hot=self.hot.store,
        )
        self.quotes = build(self.platform, insurers=insurers, corridor=self._corridor, engine_settings=engine)
        self.app: Litestar = application(self.quotes.service.routes, self.platform.settings)
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app, raise_app_exceptions=False),  # type: ignore[arg-type]
            base_url="http://test",
        )
        self._tasks: list[asyncio.Task[None]] = []

    async def _corridor(self, _: date, __: dict[str, Any], ___: Language) -> Corridor:
        return CORRIDOR

    def start(self) -> None:
        """Run the engine and the other loops."""
        loops = [*self.hot.background, *self.quotes.service.background]
        self._tasks = [asyncio.create_task(_run(loop), name=loop.name) for loop in loops]

    async def stop(self) -> None:
        """Stop in good order, as at a deployment."""
        self.hub.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.platform.http.aclose()
        await self.client.aclose()
        await self.hot.store.aclose()

    async def hear(self, event: Event, at: datetime | None = None) -> Envelope:
        """Let the reactions have an event, as the relay would."""
        envelope = Envelope(
            id=new_id(),
            type=event.type_name(),
            topic=event.topic,
            key=event.key,
            occurred_at=at or self.platform.clock.now(),
            trace_id="0" * 32,
            payload=msgspec.Raw(msgspec.json.encode(event)),
        )
        await self.redeliver(envelope)
        return envelope

    async def redeliver(self, envelope: Envelope) -> None:
        for reaction in self.quotes.service.reactions:
            if any(event.type_name() == envelope.type for event in reaction.events):
                assert await deliver(reaction, envelope, attempts=1, backoff=0)

    async def sell(self, code: str = "osago", *insurers: str, version: str = "1") -> None:
        definition = product(*(insurers or self.insurers.codes()), code=code, version=version)
        await self.hear(ProductPublished(code=code, definition=definition))

    async def submit(self, given: dict[str, Any] | None = None, key: str | None = None) -> httpx.Response:
        body = {"product": "osago", "answers": given or today_answers()}
        headers = {"Idempotency-Key": key} if key else {}
        return await self.client.post("/api/v1/quotes", json=body, headers=headers)

    async def show(self, created: Mapping[str, str], **headers: str) -> Any:
        headers = {"Authorization": f"Bearer {created['access_token']}", **headers}
        answer = await self.client.get(f"/api/v1/quotes/{created['id']}", headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def completed(self, created: Mapping[str, str], limit: float = 60.0) -> Any:
        """The quote once every insurer has ended."""
        async with asyncio.timeout(limit):
            while (state := await self.show(created))["status"] == "collecting":  # noqa: ASYNC110 - a person would poll
                await asyncio.sleep(0.02)
        return state

    async def rows(self, statement: sa.Select[Any]) -> list[Any]:
        async with self.database.reading() as connection:
            return list((await connection.execute(statement)).all())

    async def published(self, kind: type[Event]) -> list[Any]:
        """Events of one type in the outbox."""
        statement = sa.select(messaging.outbox.c.payload).where(messaging.outbox.c.type == kind.type_name())
        return [msgspec.json.decode(row.payload, type=kind) for row in await self.rows(statement)]

    @asynccontextmanager
    async def stream(self, created: Mapping[str, str], **headers: str) -> AsyncIterator["OpenStream"]:
        """An open live stream; leaving hangs up."""
        if not {"Authorization", "Cookie"} & set(headers):
            headers["Authorization"] = f"Bearer {created['access_token']}"
        stream = OpenStream(self.app, f"/api/v1/quotes/{created['id']}/events", headers)
        try:
            await stream.opened()
            yield stream
        finally:
            await stream.hang_up()


async def _run(loop: Background) -> None:
    await loop.run()


@dataclass(frozen=True)
class Heard:
    """One event of a stream as a browser gets it."""

    id: str
    event: str
    data: Any


def _read(block: str) -> Heard | None:
    """One event of a stream; None for a comment or a setting."""
    fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line)
    return Heard(fields["id"], fields["event"], msgspec.json.decode(fields["data"])) if "event" in fields else None


@dataclass
class OpenStream:
    """Speaks ASGI with the application, as httpx's transport waits for the whole body."""

    app: Litestar
    path: str
    headers: Mapping[str, str]
    status: int = 0
    answer_headers: dict[str, str] = field(default_factory=dict)
    raw: bytes = b""

    def __post_init__(self) -> None:
        self._chunks: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._started = asyncio.Event()
        self._gone = asyncio.Event()
        self._asked = False
        self._heard: list[Heard] = []
        path, _, query = self.path.partition("?")
        scope: Any = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": query.encode(),
            "headers": [(name.lower().encode(), value.encode()) for name, value in self.headers.items()],
            "server": ("test", 80),
            "client": ("127.0.0.1", 1),
            "extensions": {},
        }
        self._task = asyncio.create_task(self.app(scope, self._receive, self._send))
        self._task.add_done_callback(self._over)

    def _over(self, _: object) -> None:
        self._started.set()
        self._chunks.put_nowait(None)

    async def _receive(self) -> Any:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.answer_headers = {name.decode().lower(): value.decode() for name, value in message["headers"]}
            self._started.set()
        elif message["type"] == "http.response.body":
            self._chunks.put_nowait(message["body"])
            if not message.get("more_body"):
                self._chunks.put_nowait(None)

    async def opened(self) -> None:
        await asyncio.wait_for(self._started.wait(), 60)

    async def hang_up(self) -> None:
        self._gone.set()
        with suppress(asyncio.CancelledError):
            await asyncio.wait_for(self._task, 60)

    async def chunk(self, limit: float = 60.0) -> bytes | None:
        """The next piece as it was sent, or None at the end."""
        piece = await asyncio.wait_for(self._chunks.get(), limit)
        self.raw += piece or b""
        return piece

    async def next(self, limit: float = 60.0) -> Heard | None:
        """The next event, or None at the end."""
        while not self._heard:
            piece = await self.chunk(limit)
            if piece is None:
                return None
            self._heard += [heard for block in piece.decode().split("\n\n") if (heard := _read(block)) is not None]
        return self._heard.pop(0)

    async def rest(self, limit: float = 60.0) -> list[Heard]:
        """Every event until the stream ends."""
        heard = []
        while (event := await self.next(limit)) is not None:
            heard.append(event)
        return heard
