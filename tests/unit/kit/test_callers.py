"""How a request notices that nobody waits for its answer any more."""

import asyncio
from typing import Any

from insuretech.kit.callers import waiting
from insuretech.kit.http_server import serving
from tests.ports import free_port


async def test_who_hangs_up_has_gone_and_who_waits_has_not() -> None:
    """Work would be done for nobody, or refused to somebody who waits."""
    gone: dict[str, bool] = {}
    noted = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["more_body"]:
            continue
        with waiting(receive) as caller:
            for _ in range(50):
                await asyncio.sleep(0.02)
                if caller.has_gone():
                    break
            gone[scope["path"]] = caller.has_gone()
        if scope["path"] == "/leaves":
            noted.set()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    port = free_port()
    async with serving(app, port), asyncio.timeout(10):
        _, leaving = await _asked(port, "/leaves")
        reader, staying = await _asked(port, "/stays")
        leaving.close()
        await noted.wait()
        await reader.readuntil(b"\r\n\r\n")
        staying.close()
    assert gone == {"/leaves": True, "/stays": False}


async def _asked(port: int, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A request with a body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\n{{}}".encode())
    await writer.drain()
    return reader, writer
