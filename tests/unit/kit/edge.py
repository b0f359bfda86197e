"""A small application behind the very edge that every process has, and the means to ask it rudely."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

import httpx
import msgspec
from litestar import Litestar, Request, Response, get, post
from litestar.params import FromHeader, FromPath, FromQuery, JSONBody
from litestar.types import Message, Scope

from insuretech.compose.edge import application
from insuretech.contracts.money import Money
from insuretech.kit.problems import Conflict, FieldError, Invalid, responses
from insuretech.kit.settings import Settings


class Person(msgspec.Struct, forbid_unknown_fields=True):
    """Someone."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=50)]
    birth_date: date
    phone: Annotated[str, msgspec.Meta(pattern=r"^7\d{10}$")] | None = None


class Thing(msgspec.Struct, forbid_unknown_fields=True):
    """A body with one of every kind of field."""

    id: UUID
    owner: Person
    price: Money
    share: Decimal
    count: Annotated[int, msgspec.Meta(ge=0, le=1000)]
    at: datetime
    tags: Annotated[list[str], msgspec.Meta(max_length=3)] = []
    answers: dict[str, Any] = {}


class AlreadyThere(Conflict):
    """Raised by a handler."""

    slug = "already-there"


@post("/things", responses=responses(409, 413, 415, 422))
async def make_thing(data: JSONBody[Thing]) -> Thing:
    """Gives back what it got."""
    if data.owner.name == "conflict":
        raise AlreadyThere("There is one.", headers={"Retry-After": "3"})
    if data.owner.name == "fields":
        raise Invalid(errors=[FieldError(pointer="/owner/name", code="taken", detail="Choose another.")])
    return data


@get("/things/{thing_id:uuid}", responses=responses(404))
async def one_thing(
    thing_id: FromPath[UUID],
    limit: FromQuery[Annotated[int, msgspec.Meta(ge=1, le=50)]] = 10,
    day: FromQuery[date | None] = None,
    version: FromHeader[int | None] = None,
) -> dict[str, str]:
    """Has a parameter of every place."""
    return {"id": str(thing_id), "limit": str(limit), "day": str(day), "version": str(version)}


@post("/raw", status_code=200)
async def raw(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Takes any bytes, as callbacks do."""
    return Response(str(len(await request.body())).encode(), media_type="text/plain")


@get("/broken/{how:str}")
async def broken(how: FromPath[str]) -> None:
    """Fails as code fails."""
    raise {"bug": ZeroDivisionError("a secret"), "storage": OSError("/secret/path")}[how]


THING: dict[str, Any] = {
    "id": "0190b0a0-0000-7000-8000-000000000001",
    "owner": {"name": "Анна", "birth_date": "1988-02-29"},
    "price": {"amount": "8697.22", "currency": "RUB"},
    "share": "0.77",
    "count": 3,
    "at": "2026-11-22T12:00:00+03:00",
}


def edge(**settings: Any) -> Litestar:
    """The application."""
    return application([make_thing, one_thing, raw, broken], Settings(public_url="https://example.org", **settings))


@asynccontextmanager
async def client(**settings: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A well-behaved client of it."""
    transport = httpx.ASGITransport(edge(**settings))  # type: ignore[arg-type]  # the two name one protocol differently
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as one:
        yield one


@dataclass
class Answer:
    """What a raw request got."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


async def ask_raw(
    app: Litestar,
    path: str,
    pieces: Sequence[bytes],
    *,
    method: str = "POST",
    headers: Sequence[tuple[bytes, bytes]] = ((b"content-type", b"application/json"),),
    pause: float = 0,
    query: bytes = b"",
) -> Answer:
    """Speak ASGI as a server does for a client that sends its body in pieces, ``pause`` seconds apart.

    After the last piece there is silence, as on an open connection.
    """
    scope: Any = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode("utf-8", "surrogateescape"),
        "query_string": query,
        "root_path": "",
        "headers": list(headers),
        "client": ("127.0.0.1", 1),
        "server": ("test", 80),
        "extensions": {},
    }
    waiting = list(pieces)
    sent: list[Any] = []

    async def receive() -> Any:
        await asyncio.sleep(pause)
        if not waiting:
            await asyncio.sleep(60)
        return {"type": "http.request", "body": waiting.pop(0), "more_body": bool(waiting)}

    async def send(message: Message) -> None:
        sent.append(message)

    typed: Scope = scope
    await app(typed, receive, send)
    start = next(message for message in sent if message["type"] == "http.response.start")
    body = b"".join(message.get("body", b"") for message in sent if message["type"] == "http.response.body")
    return Answer(start["status"], {name.decode(): value.decode() for name, value in start["headers"]}, body)
