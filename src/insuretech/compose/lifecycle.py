"""Where a process is in its life, and what it therefore says to requests."""

from dataclasses import dataclass, field
from typing import Literal

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

_ALWAYS_ANSWERED = ("/healthz", "/metrics")


@dataclass
class Phase:
    """``starting`` until everything requests need has been there once; ``draining`` from the wish to stop on.

    ``reason`` says in a word or two what a start waits for.
    """

    now: Literal["starting", "working", "draining"] = "working"
    reason: str = ""
    begun: bool = field(init=False)
    """Whether everything has been there once."""

    def __post_init__(self) -> None:
        self.begun = self.now != "starting"

    def begin(self) -> None:
        """Requests can be carried out from now on."""
        self.begun = True
        if self.now == "starting":
            self.now, self.reason = "working", ""

    def drain(self) -> None:
        """Requests still come and are carried out, but none should be sent here any more."""
        self.now = "draining"


class Gate:
    """ASGI middleware for the outside of the application: holds requests to the phase of the process.

    While it starts, everything but probes gets 503: half of an answer would be a wrong one. While it drains, every
    answer to what is asked then closes its connection, so that the next request of that caller goes to another replica.
    """

    def __init__(self, app: ASGIApp, phase: Phase) -> None:
        self._app = app
        self._phase = phase

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
        elif not self._phase.begun and not scope["path"].startswith(_ALWAYS_ANSWERED):
            await _say_not_yet(send)
        elif self._phase.now == "draining":
            await self._app(scope, receive, _closing(send))
        else:
            await self._app(scope, receive, send)


def _closing(send: Send) -> Send:
    async def closing(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], (b"connection", b"close")]
        await send(message)

    return closing


async def _say_not_yet(send: Send) -> None:
    headers = [(b"content-length", b"0"), (b"retry-after", b"1"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
