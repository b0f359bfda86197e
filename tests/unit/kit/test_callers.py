"""How a request notices that nobody waits for its answer any more."""

import asyncio
import socket
from typing import Any

from granian.constants import Interfaces
from granian.server.embed import Server

from insuretech.kit.callers import waiting


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

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    server = Server(app, address="127.0.0.1", port=port, interface=Interfaces.ASGINL, log_enabled=False)
    serving = asyncio.create_task(server.serve())
    try:
        _, leaving = await _asked(port, "/leaves")
        reader, staying = await _asked(port, "/stays")
        leaving.close()
        async with asyncio.timeout(10):
            await noted.wait()
            await reader.readuntil(b"\r\n\r\n")
        staying.close()
    finally:
        server.stop()  # type: ignore[no-untyped-call]
        await asyncio.wait({serving}, timeout=5)
    assert gone == {"/leaves": True, "/stays": False}


async def _asked(port: int, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A request with a body, as soon as somebody listens there."""
    reader, writer = await _connected(port)
    writer.write(f"POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\n{{}}".encode())
    await writer.drain()
    return reader, writer


async def _connected(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    until = asyncio.get_running_loop().time() + 10
    while True:
        try:
            return await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            if asyncio.get_running_loop().time() > until:
                raise
            await asyncio.sleep(0.02)
