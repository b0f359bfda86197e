"""The HTTP edge every service shares: problem documents, limits on bodies, trace ids, health and metrics."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import structlog
from jsonschema_rs import Draft202012Validator
from litestar import Request, Response
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException, SerializationException, ValidationException
from litestar.types import ASGIApp, Receive, ReceiveMessage, Scope, Send
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from insuretech.kit import problems
from insuretech.kit.problems import PROBLEM_JSON, FieldError, Problem, ProblemDocument
from insuretech.kit.tracing import continue_trace, current_trace_id, trace_id_of

log = structlog.get_logger(__name__)

UNCOMPRESSED = "uncompressed"
"""``opt`` of handlers whose answers must not be compressed on the way out: streams, and bytes stored compressed."""

_RECEIVED = "insuretech.received_body"
"""Where ``BodyLimits`` keeps the pieces of a body in the state of the request."""

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
    document = ProblemDocument(
        type=f"{base_url}/problems/{problem.slug}",
        title=problem.title,
        status=problem.status,
        detail=problem.detail,
        instance=path,
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
    if isinstance(error, ValidationException | SerializationException | RecursionError | UnicodeDecodeError):
        return _malformed(request, error)
    if isinstance(error, HTTPException):
        kind = _BY_STATUS.get(error.status_code)
        if kind is None:
            kind = problems.BadRequest if error.status_code < 500 else problems.InternalError
        return kind(headers=dict(error.headers or {}))
    if isinstance(error, PoolTimeout | InterfaceError | OSError) or _connection_lost(error):
        log.warning("database.unavailable", error=type(error).__name__)
        return problems.Unavailable(headers={"Retry-After": "1"})
    log.error("request.failed", path=request.url.path, exc_info=error)
    return problems.InternalError()


def _connection_lost(error: Exception) -> bool:
    return isinstance(error, DBAPIError) and error.connection_invalidated


def _malformed(request: AnyRequest, error: Exception) -> Problem:
    """A body or parameter that does not parse or has the wrong shape: name every field, not only the first."""
    expected = _body_type(request)
    if expected is not None and _RECEIVED in request.scope["state"]:
        problem = _fault_of_body(b"".join(request.scope["state"][_RECEIVED]), expected)
        if problem is not None:
            return problem
    extra = error.extra if isinstance(error, ValidationException) else None
    named = [f"{one.get('key')}: {one.get('message')}" for one in extra or () if isinstance(one, dict)]
    detail = "A path, query or header parameter has the wrong form."
    return problems.BadRequest(" ".join([detail, *named])[:1000])


def _fault_of_body(body: bytes, expected: Any) -> Problem | None:
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return problems.BadRequest("The body is not a JSON document (RFC 8259) that we can read.")
    errors = schema_errors(_schema_of(expected), document)
    if errors:
        return problems.Invalid(errors=errors)
    try:
        msgspec.convert(document, expected)
    except msgspec.ValidationError as found:
        return problems.Invalid(errors=[_from_msgspec(str(found))])
    except RecursionError:
        return problems.BadRequest("The body is nested too deeply.")
    return None


def _body_type(request: AnyRequest) -> Any:
    handler = request.scope.get("route_handler")
    field = getattr(handler, "parsed_data_field", None)
    return None if field is None else field.annotation


_SCHEMAS: dict[Any, dict[str, Any]] = {}


def _schema_of(expected: Any) -> dict[str, Any]:
    if expected not in _SCHEMAS:
        _SCHEMAS[expected] = msgspec.json.schema(expected)
    return _SCHEMAS[expected]


_VALIDATORS: dict[int, tuple[dict[str, Any], Draft202012Validator]] = {}


def schema_errors(schema: dict[str, Any], document: object, *, prefix: str = "", limit: int = 100) -> list[FieldError]:
    """Everything a JSON document breaks of a schema, at most ``limit``, each with its pointer and a stable code."""
    kept = _VALIDATORS.get(id(schema))
    if kept is None or kept[0] is not schema:
        kept = (schema, Draft202012Validator(schema, validate_formats=True))
        _VALIDATORS[id(schema)] = kept
        while len(_VALIDATORS) > 256:
            _VALIDATORS.pop(next(iter(_VALIDATORS)))
    found: list[FieldError] = []
    for error in kept[1].iter_errors(document):
        found.extend(_field_errors(error, prefix))
        if len(found) >= limit:
            break
    return found[:limit]


def _field_errors(error: Any, prefix: str) -> list[FieldError]:
    path = [str(part).replace("~", "~0").replace("/", "~1") for part in error.instance_path]
    pointer = prefix + "".join(f"/{part}" for part in path)
    kind = error.kind
    code = str(error.schema_path[-1]) if error.schema_path else "schema"
    if code == "required":
        return [FieldError(pointer=f"{pointer}/{kind.property}", code="required", detail="This field is required.")]
    if code in {"additionalProperties", "unevaluatedProperties"}:
        return [
            FieldError(pointer=f"{pointer}/{name}", code="unknown", detail="There is no such field.")
            for name in kind.unexpected
        ]
    params = {code: str(getattr(kind, "limit", getattr(kind, "pattern", getattr(kind, "format", ""))))}
    return [FieldError(pointer=pointer, code=code, detail=str(error.message)[:300], params=params)]


def _from_msgspec(message: str) -> FieldError:
    """A field error from a message of msgspec, which ends in a path such as ``- at `$.customer.phone```."""
    text, _, path = message.partition(" - at `")
    pointer = path.removesuffix("`").removeprefix("$").replace("[", ".").replace("]", "").replace(".", "/")
    return FieldError(pointer=pointer, code="value", detail=text[:300])


class BodyLimits:
    """ASGI middleware: begins the trace, refuses bodies over ``size`` bytes and bodies slower than ``seconds``.

    What arrived is kept with the request, so that all of its faults can be named when it turns out to be wrong.
    """

    def __init__(self, app: ASGIApp, *, size: int, seconds: float) -> None:
        self._app = app
        self._size = size
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        continue_trace(trace_id_of(headers.get(b"traceparent", b"").decode("latin-1")))
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > self._size:
            raise problems.BodyTooLarge(f"At most {self._size} bytes.", headers={"Connection": "close"})
        await self._app(scope, self._limited(scope, receive), send)

    def _limited(self, scope: Scope, receive: Receive) -> Receive:
        received: list[bytes] = scope.setdefault("state", {}).setdefault(_RECEIVED, [])
        deadline = asyncio.get_running_loop().time() + self._seconds
        taken, whole = 0, False

        async def limited() -> ReceiveMessage:
            nonlocal taken, whole
            if whole:
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError as error:
                raise problems.BodyTooSlow(f"Send the whole body within {self._seconds:g} seconds.") from error
            if message["type"] == "http.request":
                received.append(message["body"])
                taken += len(message["body"])
                whole = not message["more_body"]
            if taken > self._size:
                raise problems.BodyTooLarge(f"At most {self._size} bytes.", headers={"Connection": "close"})
            return message

        return limited


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
