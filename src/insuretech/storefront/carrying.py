"""What a visitor has done or seen shows on their next page, whichever replica answers it, and never as it was before.

The API's answers name what their reader knows (``kit.positions``). The browser keeps it for an hour in the cookie
``position``, and what is read for this visitor meanwhile brings it along.
"""

import re
from contextvars import ContextVar
from dataclasses import dataclass, field

from litestar.datastructures import Cookie
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from insuretech.kit.positions import header_of, positions_in

_AGE = 3600  # seconds since the last page that read anything of the visitor's own
_NAME = "position"
_READABLE = re.compile(r"[a-z0-9._/@|-]{1,1800}")
"""A cookie holds no commas: positions are parted by ``|`` in it."""


@dataclass
class _Carried:
    header: str
    heard: list[str] = field(default_factory=list)

    def all(self) -> str:
        """What the browser kept and the answers since have named, the newest of each."""
        return header_of(position for header in (self.header, *self.heard) for position in positions_in(header))


_carried: ContextVar[_Carried | None] = ContextVar("carried", default=None)


def carried_header() -> str:
    """The header to bring along with what is read for the visitor being served; empty when there is nothing to say."""
    carried = _carried.get()
    return carried.all() if carried else ""


def hear(header: str | None) -> None:
    """An answer of the API named a position."""
    carried = _carried.get()
    if carried is not None and header:
        carried.heard.append(header)


class CarriedPositions:
    """ASGI middleware of the site's pages; ``secure``: visitors come by https."""

    def __init__(self, app: ASGIApp, *, secure: bool) -> None:
        self._app = app
        self._secure = secure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        carried = _Carried(_kept_in(scope))

        async def with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start" and carried.heard:
                value = carried.all().replace(", ", "|")
                cookie = Cookie(
                    _NAME, value=value, max_age=_AGE, path="/", httponly=True, samesite="lax", secure=self._secure
                )
                message["headers"] = [*message["headers"], cookie.to_encoded_header()]
            await send(message)

        token = _carried.set(carried)
        try:
            await self._app(scope, receive, with_cookie)
        finally:
            _carried.reset(token)


def _kept_in(scope: Scope) -> str:
    """The header that the browser's cookie stands for; what we have not written is nothing."""
    cookies = dict(scope["headers"]).get(b"cookie", b"").decode("latin-1")
    for pair in cookies.split(";"):
        name, _, value = pair.strip().partition("=")
        value = value.strip('"')
        if name == _NAME and _READABLE.fullmatch(value):
            return value.replace("|", ", ")
    return ""
