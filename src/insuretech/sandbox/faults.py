"""How trouble looks on the wire: a refusal before the work, or an answer that gets lost in one of three manners."""

import asyncio
from typing import Any

from litestar import Request, Response
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send

from insuretech.sandbox.domain import AnswerLost, Manner, Unavailable

LONGEST_HANG = 120.0
_HALF = b'<?xml version="1.0"?>{"state": "REA'

AnyRequest = Request[Any, Any, Any]


class _LostAnswer(ASGIResponse):
    """Never a whole answer; a hang ends when the caller gives up, or after two minutes with 504."""

    def __init__(self, manner: Manner) -> None:
        super().__init__(status_code=504 if manner == "hang" else 200, media_type="text/plain")
        self._manner = manner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._manner == "hang":
            if await _caller_gave_up(receive):
                return
            await super().__call__(scope, receive, send)
        elif self._manner == "broken":
            await self._send(send, _HALF, promised=len(_HALF))
        else:
            await self._send(send, _HALF[:8], promised=4096)

    async def _send(self, send: Send, body: bytes, *, promised: int) -> None:
        """With more promised than sent the server cuts the connection."""
        headers = [(b"content-type", b"text/plain"), (b"content-length", str(promised).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": promised > len(body)})


async def _caller_gave_up(receive: Receive) -> bool:
    try:
        async with asyncio.timeout(LONGEST_HANG):
            while (await receive())["type"] != "http.disconnect":
                continue
    except TimeoutError:
        return False
    return True


class LostAnswer(Response[bytes]):
    """Renders ``AnswerLost``."""

    def __init__(self, manner: Manner) -> None:
        super().__init__(b"")
        self._manner = manner

    def to_asgi_response(self, *_: Any, **__: Any) -> ASGIResponse:
        return _LostAnswer(self._manner)


def render_lost(_: AnyRequest, error: AnswerLost) -> Response[bytes]:
    """The exception handler of every address where an answer may get lost."""
    return LostAnswer(error.manner)


def render_unavailable(_: AnyRequest, __: Unavailable) -> Response[bytes]:
    """The exception handler of every address that may refuse: 503, nothing was done."""
    return Response(b"", status_code=503, media_type="text/plain", headers={"Retry-After": "5"})


FAULTS: Any = {AnswerLost: render_lost, Unavailable: render_unavailable}
"""For ``exception_handlers``."""
