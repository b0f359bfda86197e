"""What callers may take of a server, and that it loses no request that it has begun."""

import asyncio
from email.utils import parsedate_to_datetime
from typing import Any
from unittest.mock import Mock

import pytest

from insuretech.kit.http_server import ConnectionLimits, Corked, HttpServer, serving
from tests.ports import free_port

LIMITS = ConnectionLimits(connections=4, head_bytes=4096, head_seconds=0.3, idle_seconds=1)
HEAD = b"GET / HTTP/1.1\r\nHost: test\r\n"
ASKED = HEAD + b"\r\n"


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answers with what it was sent; slowly at ``/slow``."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message["body"], message["more_body"]
    if scope["path"] == "/slow":
        await asyncio.sleep(0.4)
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def told(port: int, *pieces: bytes, patience: float = 5) -> bytes:
    """Everything that comes back until the other side hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        return await asyncio.wait_for(reader.read(), patience)
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        pytest.param(b"nonsense\r\n\r\n", 400, id="no HTTP at all"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01", 400, id="TLS where none is spoken"),
        pytest.param(b"GET /\xd1\x8f HTTP/1.1\r\nHost: test\r\n\r\n", 400, id="an address that is not ASCII"),
        pytest.param(b"CONNECT test:443 HTTP/1.1\r\nHost: test\r\n\r\n", 400, id="asked to be a proxy"),
        pytest.param(
            HEAD + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
            id="two lengths of one body",
        ),
        pytest.param(HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nx", 400, id="one length, told twice"),
        pytest.param(HEAD + b"X: " + b"x" * 5000, 431, id="a head without end"),
        pytest.param(b"GET /" + b"x" * 5000, 431, id="an address without end"),
        pytest.param(HEAD, 408, id="a head that is never finished"),
    ],
)
async def test_what_is_no_request_is_refused_and_hung_up_on(sent: bytes, status: int) -> None:
    """Otherwise a few hundred connections that never ask anything keep everybody else out, or fill the memory."""
    port = free_port()
    async with serving(application, port, LIMITS):
        answer = await told(port, sent)
        assert answer.startswith(f"HTTP/1.1 {status} ".encode()), answer
        assert b"connection: close" in answer
        assert (await told(port, HEAD + b"Connection: close\r\n\r\n")).startswith(b"HTTP/1.1 200 ")


async def test_a_head_may_come_in_pieces_and_a_body_is_no_part_of_it() -> None:
    """Otherwise an upload larger than a head may be would be refused."""
    port = free_port()
    head = b"POST / HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Le"
    async with serving(application, port, LIMITS):
        answer = await told(port, head, b"ngth: 20000\r\n\r\n", b"x" * 10_000, b"x" * 10_000)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"x" * 20_000)


async def test_a_large_answer_arrives_whole_and_its_maker_waits_for_a_slow_reader() -> None:
    """Otherwise one download over a slow line fills the memory with what has not left yet."""
    piece, sent = b"x" * 100_000, 0

    async def download(_: Any, __: Any, send: Any) -> None:
        nonlocal sent
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"20000000")]})
        for _ in range(200):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            sent += 1
        await send({"type": "http.response.body", "body": b""})

    port = free_port()
    async with serving(download, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(ASKED)
        await asyncio.sleep(0.2)
        assert sent < 150
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(20_000_000) == piece * 200
        writer.close()


async def test_what_is_written_together_leaves_together() -> None:
    """Otherwise every answer costs two system calls, a fifth of all a process can answer."""
    written: list[bytes] = []
    transport = Mock(spec=asyncio.Transport, write=written.append, is_closing=lambda: False)
    corked = Corked(transport, asyncio.get_running_loop())
    corked.write(b"head ")
    corked.write(b"body ")
    assert written == []
    await asyncio.sleep(0)
    assert written == [b"head body "]
    corked.write(b"last")
    corked.close()
    assert written == [b"head body ", b"last"]
    transport.close.assert_called_once()


async def test_a_slow_answer_is_not_a_slow_head() -> None:
    """Otherwise whoever asks for something that takes long is hung up on."""
    port = free_port()
    async with serving(application, port, LIMITS):
        answer = await told(port, b"GET /slow HTTP/1.1\r\nHost: test\r\n\r\n" + HEAD + b"Connection: close\r\n\r\n")
    assert answer.count(b"HTTP/1.1 200 ") == 2


@pytest.mark.parametrize("sent", [b"", ASKED], ids=["never asked anything", "asked once"])
async def test_an_idle_connection_ends_after_its_time_and_not_before(sent: bytes) -> None:
    """Otherwise browsers that left the page open keep others out, or a proxy asks where we are about to hang up.

    Nothing is said: a proxy that asks at that moment would take it for the answer.
    """
    port = free_port()
    loop = asyncio.get_running_loop()
    async with serving(application, port, LIMITS):
        began = loop.time()
        answer = await told(port, sent)
    assert answer.count(b"HTTP/1.1 ") == (1 if sent else 0)
    assert loop.time() - began >= 0.9


async def test_one_connection_too_many_is_told_so() -> None:
    """Otherwise it waits for its answer without ever hearing why."""
    port = free_port()
    async with serving(application, port, LIMITS):
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(LIMITS.connections)]
        await asyncio.sleep(0.05)
        assert (await told(port)).startswith(b"HTTP/1.1 503 ")
        for _, writer in held:
            writer.close()
        await asyncio.sleep(0.05)
        assert (await told(port, HEAD + b"Connection: close\r\n\r\n")).startswith(b"HTTP/1.1 200 ")


async def test_a_stop_hangs_up_where_nothing_is_asked_and_answers_what_was() -> None:
    """Otherwise every deployment breaks off somebody's purchase."""
    port = free_port()
    server = HttpServer(application)
    await server.listen("127.0.0.1", port)
    idle, idle_writer = await asyncio.open_connection("127.0.0.1", port)
    busy, busy_writer = await asyncio.open_connection("127.0.0.1", port)
    busy_writer.write(b"GET /slow HTTP/1.1\r\nHost: test\r\n\r\n")
    await asyncio.sleep(0.1)
    server.close()
    assert await asyncio.wait_for(idle.read(), 0.2) == b""
    answer = await asyncio.wait_for(busy.read(), 5)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"connection: close" in answer
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
    for writer in (idle_writer, busy_writer):
        writer.close()


async def test_an_answer_says_when_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache in front cannot tell the age of what it keeps without."""
    monkeypatch.setattr("insuretech.kit.http_server._DATE_INTERVAL", 0.05)
    port = free_port()
    async with serving(application, port):
        first, second = [await _date(port, pause) for pause in (0, 1.1)]
    assert first < second


async def _date(port: int, pause: float) -> Any:
    await asyncio.sleep(pause)
    answer = (await told(port, HEAD + b"Connection: close\r\n\r\n")).decode()
    return parsedate_to_datetime(next(line[6:] for line in answer.split("\r\n") if line.startswith("date: ")))


async def test_an_address_that_is_taken_is_said_at_once() -> None:
    """Otherwise two processes would seem to serve, and one of them would never be asked."""
    port = free_port()
    async with serving(application, port):
        with pytest.raises(OSError, match="in use"):
            await HttpServer(application).listen("127.0.0.1", port)
