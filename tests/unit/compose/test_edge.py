"""HEAD requests, what is logged of requests that fail, and what a process holds in memory for nothing."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator

import httpx
import pytest
from litestar import Litestar, Response, get, post
from litestar.params import FromPath
from litestar.response import Stream
from structlog.testing import capture_logs

from insuretech.compose.edge import application
from insuretech.kit.problems import NotFound
from insuretech.kit.settings import Settings

closed: list[str] = []


@get("/page", include_in_schema=False)
async def page() -> Response[str]:
    """A page with a tag."""
    return Response("twelve bytes", headers={"ETag": '"v1"'})


@get("/stream", include_in_schema=False)
async def stream() -> Stream:
    """A stream that never ends by itself."""

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b": still here\n\n"
                await asyncio.sleep(0.01)
        finally:
            closed.append("stream")

    return Stream(endless(), media_type="text/event-stream")


@post("/form", include_in_schema=False)
async def form() -> None:
    """Takes something, gives nothing."""


@get("/gone", include_in_schema=False)
async def gone() -> None:
    """Something of ours that is not there any more."""
    raise NotFound


@get("/found/{token:str}", include_in_schema=False)
async def found(token: FromPath[str]) -> None:
    """Something that needs what is away."""
    raise ConnectionError(f"away, and looked at {len(token)} signs")


@get("/broken/{token:str}", include_in_schema=False)
async def broken(token: FromPath[str]) -> None:
    """A fault of ours."""
    raise RuntimeError(f"a bug at {len(token)} signs")


@pytest.fixture
def app() -> Litestar:
    """The edge that all services share, before these handlers."""
    return application([page, stream, form, found, broken], Settings())


def client(app: Litestar) -> httpx.AsyncClient:
    """Somebody who asks."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)  # type: ignore[arg-type]  # as elsewhere
    return httpx.AsyncClient(transport=transport, base_url="http://test")


async def test_head_is_get_without_the_body(app: Litestar) -> None:
    """Otherwise link checkers and monitors, which ask by HEAD, report every page as broken."""
    async with client(app) as ask:
        whole, head = await ask.get("/page"), await ask.head("/page")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["etag"] == whole.headers["etag"]
    assert head.headers["content-length"] == whole.headers["content-length"] == "12"


async def test_head_of_a_stream_ends(app: Litestar) -> None:
    """Otherwise each HEAD of a live stream holds a stream open until the process ends."""
    closed.clear()
    async with client(app) as ask, asyncio.timeout(60):
        head = await ask.head("/stream")
    assert (head.status_code, head.content) == (200, b"")
    assert closed in ([], ["stream"])  # never begun, or ended
    assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]


async def test_head_is_refused_where_get_is(app: Litestar) -> None:
    """Otherwise HEAD would say that there is something to get."""
    async with client(app) as ask:
        head, missing = await ask.head("/form"), await ask.head("/nowhere")
    assert (head.status_code, missing.status_code) == (405, 404)


async def test_who_is_taken_for_another_process_does_not_say_that_there_is_nothing() -> None:
    """Otherwise a balancer that is some seconds behind has a buyer read that their order does not exist."""

    def page_of_failure(_: object, error: Exception) -> Response[str]:
        return Response(f"a page about {type(error).__name__}", status_code=getattr(error, "status", 404))

    def elsewhere(path: str) -> bool:
        return path in {"/orders", "/orders/../etc"}

    app = application([page, gone], Settings(), failure_page=page_of_failure, elsewhere=elsewhere)
    async with client(app) as ask:
        misled, nothing = await ask.post("/orders"), await ask.get("/no-such-page")
        person = await ask.get("/orders", headers={"accept": "text/html"})
        ours, odd = await ask.get("/gone"), await ask.get("/orders/..%2fetc")
    assert (misled.status_code, misled.headers["connection"]) == (503, "close")
    assert int(misled.headers["retry-after"]) > 0
    assert (person.status_code, person.text) == (503, "a page about Unavailable")
    assert (nothing.status_code, ours.status_code, odd.status_code) == (404, 404, 404)


async def test_logs_name_the_route_and_not_what_stands_in_the_address(app: Litestar) -> None:
    """Otherwise whoever reads logs can open the purchase of everybody whose page failed."""
    with capture_logs() as logged:
        async with client(app) as ask:
            away = await ask.get("/found/a-secret-of-a-buyer")
            failed = await ask.get("/broken/a-secret-of-a-buyer")
    assert (away.status_code, failed.status_code) == (503, 500)
    assert [entry["route"] for entry in logged] == ["GET /found/{token}", "GET /broken/{token}"]
    assert "a-secret-of-a-buyer" not in str(logged)


def test_a_process_that_serves_holds_no_library_that_nothing_in_it_uses() -> None:
    """Otherwise each of a hundred processes keeps a dozen megabytes that an update of a library brought along."""
    program = """
import sys
from sqlalchemy.engine import make_url
from insuretech.cli.main import main
from insuretech.compose import serve
from insuretech.compose.single import build
from insuretech.kit.keyring import Keyring
def built(settings, announce):
    build(settings, make_url("postgresql+asyncpg://nobody@nowhere/none"), Keyring.generate())
serve.serve = built
sys.argv = ["insuretech", "serve"]
main()
print(*sorted({"typer", "pydantic", "openpyxl", "typst", "confluent_kafka", "redis"} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
