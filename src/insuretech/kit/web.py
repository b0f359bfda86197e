"""The HTTP edge every service shares: problem documents, tokens, stored answers (see ``kit.bodies`` for requests)."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.types import Receive, Scope, Send
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from insuretech.kit import problems
from insuretech.kit.problems import PROBLEM_JSON, Problem, ProblemDocument
from insuretech.kit.tracing import current_trace_id

log = structlog.get_logger(__name__)

UNCOMPRESSED = "uncompressed"
"""``opt`` of handlers whose answers must not be compressed on the way out: streams, and bytes stored compressed."""

AnyRequest = Request[Any, Any, Any]

_BY_STATUS: dict[int, type[Problem]] = {
    404: problems.NotFound,
    405: problems.MethodNotAllowed,
    408: problems.BodyTooSlow,
    413: problems.BodyTooLarge,
    415: problems.UnsupportedMediaType,
    503: problems.Unavailable,
}


def render_problem(problem: Problem, *, base_url: str, path: str) -> Response[bytes]:
    """The RFC 9457 answer for a problem."""
    readable_path = path.encode("utf-8", "replace").decode()
    document = ProblemDocument(
        type=f"{base_url}/problems/{problem.slug}",
        title=problem.title,
        status=problem.status,
        detail=problem.detail,
        instance=readable_path,
        errors=problem.errors or None,
        trace_id=current_trace_id(),
    )
    return Response(
        msgspec.json.encode(document),
        status_code=problem.status,
        media_type=PROBLEM_JSON,
        headers={**problem.headers, "Cache-Control": "no-store"},
    )


def problem_handler(base_url: str) -> Callable[[AnyRequest, Exception], Response[bytes]]:
    """The one exception handler: turns whatever was raised into a problem document, and logs what is our fault.

    It must not be a coroutine function, as Litestar does not await handlers.
    """

    def handle(request: AnyRequest, error: Exception) -> Response[bytes]:
        return render_problem(as_problem(request, error), base_url=base_url, path=request.url.path)

    return handle


def as_problem(request: AnyRequest, error: Exception) -> Problem:
    """Which problem an exception is."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, ValidationException):
        return _wrong_parameters(error)
    if isinstance(error, HTTPException) and (error.status_code < 500 or error.status_code in _BY_STATUS):
        kind = _BY_STATUS.get(error.status_code, problems.BadRequest)
        detail = error.detail if kind is problems.BadRequest else None
        return kind(detail, headers=dict(error.headers or {}))
    if isinstance(error, PoolTimeout | InterfaceError | OSError) or _database_away(error):
        state = getattr(getattr(error, "orig", None), "sqlstate", None)
        log.warning("dependency.unavailable", route=route_of(request), error=type(error).__name__, sqlstate=state)
        return problems.Unavailable(headers=problems.come_again())
    log.error("request.failed", route=route_of(request), exc_info=error)
    return problems.InternalError()


def route_of(request: AnyRequest) -> str:
    """Which handler's address was asked for, for logs: what stands in its place holders may be a secret."""
    return f"{request.method} {request.scope.get('path_template', '')}"


def _database_away(error: Exception) -> bool:
    """Whether the same request may well succeed later: no connection, no room, a deadlock, an interrupted query."""
    if not isinstance(error, DBAPIError):
        return False
    state = getattr(error.orig, "sqlstate", None) or ""
    return error.connection_invalidated or state[:2] in {"08", "40", "53", "57"}


def _wrong_parameters(error: ValidationException) -> Problem:
    """Says which parameters are wrong; bodies have been checked before (``kit.bodies``)."""
    extra = error.extra if isinstance(error.extra, list) else []
    named = "; ".join(f"{one['key']}: {one['message']}" for one in extra if isinstance(one, dict) and "key" in one)
    detail = "A path, query or header parameter has the wrong form."
    return problems.BadRequest(f"{detail} {named}"[:1000].strip())


def bearer_token(request: AnyRequest) -> str | None:
    """The token of an ``Authorization: Bearer`` header, if any."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def stored_json(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response[bytes]:
    """An answer made of bytes that are JSON already."""
    return Response(body, status_code=status, media_type="application/json", headers=headers)


def matches_etag(request: AnyRequest, etag: str) -> bool:
    """Whether the caller already has this version (``If-None-Match``, weak comparison)."""
    known: Sequence[str] = [
        part.strip().removeprefix("W/") for part in request.headers.get("if-none-match", "").split(",")
    ]
    return etag.removeprefix("W/") in known or "*" in known


class ReadyAnswer:
    """A whole HTTP answer made beforehand; Litestar sends it as it is, at half the cost of a ``Response``."""

    __slots__ = ("_body", "_headers", "_status")

    def __init__(self, status: int, body: bytes, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self._status = status
        self._body = body
        self._headers = tuple(headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - the ASGI signature
        """Send the answer; the messages are made anew each time, as those in between may write into them."""
        await send({"type": "http.response.start", "status": self._status, "headers": list(self._headers)})
        await send({"type": "http.response.body", "body": self._body, "more_body": False})
