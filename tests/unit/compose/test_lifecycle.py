"""What requests are told while a process starts and while it wishes to stop."""

import httpx
from litestar import Litestar, get

from insuretech.compose.lifecycle import Gate, Phase


@get("/page")
async def page() -> str:
    """Any page."""
    return "a page"


@get("/healthz/live")
async def live() -> str:
    """A probe."""
    return "live"


def client(phase: Phase) -> httpx.AsyncClient:
    """Somebody who asks a process in this phase."""
    app = Gate(Litestar([page, live], openapi_config=None, logging_config=None), phase)
    transport = httpx.ASGITransport(app)  # type: ignore[arg-type]  # the two name the same protocol differently
    return httpx.AsyncClient(transport=transport, base_url="http://test")


async def test_half_a_service_answers_nothing_but_probes() -> None:
    """Otherwise a catalogue that has not read its pages yet says that nothing is sold."""
    phase = Phase("starting")
    async with client(phase) as ask:
        early, probe = await ask.get("/page"), await ask.get("/healthz/live")
        phase.begin()
        later = await ask.get("/page")
    assert (early.status_code, early.headers["retry-after"]) == (503, "1")
    assert probe.status_code == later.status_code == 200


async def test_a_start_that_is_broken_off_answers_nothing_either() -> None:
    """Otherwise a process told to stop while it waits for its database says at last that nothing is sold."""
    phase = Phase("starting")
    phase.drain()
    async with client(phase) as ask:
        answer = await ask.get("/page")
    assert answer.status_code == 503


async def test_connections_are_closed_after_the_wish_to_stop() -> None:
    """Otherwise a kept connection leads the next request into a process that is going."""
    phase = Phase()
    async with client(phase) as ask:
        before = await ask.get("/page")
        phase.drain()
        after = await ask.get("/page")
    assert "connection" not in before.headers
    assert (after.status_code, after.headers["connection"]) == (200, "close")
