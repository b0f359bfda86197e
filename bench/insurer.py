"""An insurer that needs no time at all: the callback dialect, answered from memory by a process of its own.

Run as ``python -m bench.insurer <port>``; any path prefix before ``/partner`` is an insurer of its own.
``PUT /control`` sets the behaviour (``Control``), ``POST /release`` lets held answers go at an even pace by signed
callbacks, and ``GET /moments`` tells when each was sent. Every offer has a premium of its own, one kopeck above the
last, by which the other side of the measurement recognises it.
"""

import asyncio
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from time import monotonic

import httpx
import msgspec
import uvloop

from insuretech.kit.signatures import signed

KOPECK = Decimal("0.01")


class Control(msgspec.Struct):
    """``base`` is the first premium; insurers named in ``holding`` answer only when released."""

    base: Decimal = Decimal(5000)
    holding: tuple[str, ...] = ()
    secret: str = ""


class Release(msgspec.Struct):
    """How many held answers to let go a second."""

    rate: float


class Command(msgspec.Struct):
    """What matters of a request for an offer or a reservation."""

    external_id: str
    callback_url: str = ""
    quote_number: str = ""


class Insurer:
    """All of them in one; answers are pure functions of what was asked before."""

    def __init__(self) -> None:
        self.control = Control()
        self.asked = 0
        self.offers: dict[str, bytes] = {}
        self.premiums: dict[str, str] = {}
        self.held: dict[str, str] = {}
        self.moments: dict[str, float] = {}
        self.releasing: asyncio.Task[None] | None = None

    def answer(self, method: str, path: str, body: bytes) -> bytes:
        """The body of the answer to one request."""
        if "/partner/" in path:
            prefix, _, rest = path.partition("/partner/")
            return self.partner(prefix.rpartition("/")[2], method, rest, body)
        match method, path:
            case "PUT", "/control":
                self.__init__()  # type: ignore[misc]  # a fresh insurer for every measurement
                self.control = msgspec.json.decode(body, type=Control)
            case "POST", "/release":
                self.releasing = asyncio.create_task(self.release(msgspec.json.decode(body, type=Release).rate))
            case "GET", "/moments":
                return msgspec.json.encode(self.moments)
        return msgspec.json.encode({"held": len(self.held), "offers": len(self.offers)})

    def partner(self, insurer: str, method: str, rest: str, body: bytes) -> bytes:
        if method == "GET":
            return self.offers.get(rest.rpartition("/")[2], b'{"status": "accepted", "look_again_in": 600}')
        command = msgspec.json.decode(body, type=Command)
        if rest == "reservations":
            return self.reservation(command.quote_number)
        if insurer in self.control.holding:
            self.held[command.external_id] = command.callback_url
            return b'{"status": "accepted", "look_again_in": 600}'
        return self.offer(command.external_id)

    def reservation(self, number: str) -> bytes:
        price = {"value": self.premiums[number], "currency": "RUB"}
        valid = datetime.now(UTC) + timedelta(days=1)
        return msgspec.json.encode({"status": "reserved", "premium": price, "valid_till": valid})

    def offer(self, reference: str) -> bytes:
        if reference not in self.offers:
            self.asked += 1
            self.premiums[f"Q{self.asked}"] = self.premium
            self.offers[reference] = msgspec.json.encode(
                {
                    "status": "calculated",
                    "quote_number": f"Q{self.asked}",
                    "premium": {"value": self.premium, "currency": "RUB"},
                    "valid_till": datetime.now(UTC) + timedelta(days=1),
                }
            )
        return self.offers[reference]

    @property
    def premium(self) -> str:
        return str(self.control.base + KOPECK * self.asked)

    async def release(self, rate: float) -> None:
        """Answer what was held, evenly; a moment is noted just before its callback leaves."""
        began = monotonic()
        limits = httpx.Limits(max_connections=64)
        async with (
            httpx.AsyncClient(limits=limits, trust_env=False, timeout=30) as client,
            asyncio.TaskGroup() as group,
        ):
            for number, (reference, callback) in enumerate(list(self.held.items())):
                await asyncio.sleep(max(0.0, began + number / rate - monotonic()))
                self.offer(reference)
                self.moments[self.premium] = monotonic()
                group.create_task(self.call_back(client, reference, callback))

    async def call_back(self, client: httpx.AsyncClient, reference: str, address: str) -> None:
        body = msgspec.json.encode({"event": "quote.ready", "external_id": reference})
        signature = signed(self.control.secret, body, datetime.now(UTC))
        headers = {"X-Signature": signature, "Content-Type": "application/json"}
        (await client.post(address, content=body, headers=headers)).raise_for_status()
        self.held.pop(reference, None)


class Connection(asyncio.Protocol):
    """Just enough HTTP/1.1 for keep-alive requests with a Content-Length."""

    def __init__(self, answer: Callable[[str, str, bytes], bytes]) -> None:
        self._answer = answer
        self._got = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._got += data
        while (head := self._got.find(b"\r\n\r\n")) >= 0:
            lines = self._got[:head].decode("latin-1").split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
            end = head + 4 + int(headers.get("content-length", "0"))
            if len(self._got) < end:
                return
            body, self._got = self._got[head + 4 : end], self._got[end:]
            method, path, _ = lines[0].split(" ")
            content = self._answer(method, path, body)
            self._transport.write(  # type: ignore[attr-defined]  # uvloop's own class of a write transport
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(content)
                + content
            )


async def main(port: int) -> None:
    """Serve until killed."""
    insurer = Insurer()
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(insurer.answer), "127.0.0.1", port, backlog=4096
    )
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
