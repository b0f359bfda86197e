"""What a request may bring in: how much, how slowly, and in which shape.

Everything is decided before a handler runs, so a handler never meets a body that its description does not allow, and
the caller hears of all faults at once.
"""

import asyncio
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Protocol, runtime_checkable

import msgspec
from jsonschema_rs import Draft202012Validator
from litestar.enums import RequestEncodingType, ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, ReceiveMessage, Scope, Send
from litestar.typing import FieldDefinition

from insuretech.kit import problems
from insuretech.kit.problems import FieldError, Problem
from insuretech.kit.tracing import continue_trace, trace_id_of

_DEEPEST = 32
_UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
"""Characters that neither PostgreSQL (U+0000) nor XML 1.0 can hold, and nobody types."""
_THROWN_AWAY = 64
"""How many times the limit is still read of a body that is too large."""
_SWEPT = 2 * 1024 * 1024
_SWEEPING = 2.0
"""How much is read, and for how many seconds, of a body that an answer does not need."""
_CHARSETS = {"", "utf-8", "utf8", "us-ascii"}


BODY_LIMITS = "body_limits"
"""``opt`` of handlers that take files: their own bytes and seconds for a body, ``(size, seconds)``."""


class RequestGuard:
    """ASGI middleware: begins the trace, refuses bodies over ``size`` bytes, bodies slower than ``seconds``, and
    addresses that nothing can be stored under. A handler may have limits of its own (``BODY_LIMITS``).
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
        _check_address(scope)
        length = headers.get(b"content-length", b"0")
        opt = getattr(scope.get("route_handler"), "opt", {})
        size, seconds = opt.get(BODY_LIMITS, (self._size, self._seconds))
        if length.isdigit() and int(length) > size:
            raise await self._too_large(receive, asyncio.get_running_loop().time() + seconds, size)
        await self._app(scope, self._limited(receive, size, seconds), send)

    def _limited(self, receive: Receive, size: int, seconds: float) -> Receive:
        deadline = asyncio.get_running_loop().time() + seconds
        taken, whole = 0, False

        async def limited() -> ReceiveMessage:
            nonlocal taken, whole
            if whole:
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError as error:
                detail = f"Send the whole body within {seconds:g} seconds."
                raise problems.BodyTooSlow(detail, headers={"Connection": "close"}) from error
            if message["type"] == "http.request":
                taken += len(message["body"])
                whole = not message["more_body"]
            if taken > size:
                raise await self._too_large(receive, deadline, size, whole=whole)
            return message

        return limited

    async def _too_large(self, receive: Receive, deadline: float, size: int, *, whole: bool = False) -> Problem:
        """The refusal, once what is still coming was thrown away: a connection that is closed while the caller sends
        is reset, and the caller never reads the answer. Bounded, as a caller may send without end.
        """
        thrown = 0
        with suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                while not whole and thrown < _THROWN_AWAY * self._size:
                    message = await receive()
                    if message["type"] != "http.request":
                        break
                    thrown += len(message["body"])
                    whole = not message["more_body"]
        return problems.BodyTooLarge(f"At most {size} bytes.", headers={"Connection": "close"})


def reading_out(scope: HTTPScope, receive: Receive, send: Send, *, seconds: float = _SWEEPING) -> tuple[Receive, Send]:
    """Before an answer begins, throws away what is still coming of a body that nobody has read.

    A connection that closes while its caller still sends is reset, and the caller never reads why it was refused; one
    whose caller sends without end would never be free again. At most ``_SWEPT`` bytes in ``seconds``: of a body that
    is longer or slower, and of one that waits to be asked for (``Expect``), the caller is told that the connection
    closes, so that it sends no other request into it.
    """
    headers = dict(scope["headers"])
    whole = headers.get(b"content-length", b"0") == b"0" and b"transfer-encoding" not in headers

    async def noting() -> ReceiveMessage:
        nonlocal whole
        message = await receive()
        whole = whole or message["type"] != "http.request" or not message["more_body"]
        return message

    async def sweep() -> None:
        swept = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not whole and swept < _SWEPT:
                    message = await noting()
                    swept += len(message["body"]) if message["type"] == "http.request" else 0

    async def telling(message: Message) -> None:
        if message["type"] == "http.response.start" and not whole:
            closes = any(name.lower() == b"connection" and value == b"close" for name, value in message["headers"])
            if not closes and b"expect" not in headers:
                await sweep()
            if not whole:
                others = [(name, value) for name, value in message["headers"] if name.lower() != b"connection"]
                message["headers"] = [*others, (b"connection", b"close")]
        await send(message)

    return noting, telling


def _check_address(scope: Scope) -> None:
    path = scope["path"]
    if "\0" in path or (not path.isascii() and any("\ud800" <= letter <= "\udfff" for letter in path)):
        raise problems.NotFound
    if b"%00" in scope["query_string"] or b"\0" in scope["query_string"]:
        raise problems.BadRequest("The query holds the character U+0000.")


class JsonBodies:
    """ASGI middleware: of a handler that takes ``JSONBody``, reads the body and holds it against the handler's type.

    Raises 415 for another content type, 400 for what is not JSON, 422 with every wrong field for the rest.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        field = getattr(scope.get("route_handler"), "parsed_data_field", None)
        if not isinstance(field, FieldDefinition) or not _takes_json(field):
            await self._app(scope, receive, send)
            return
        body = await _whole(receive)
        headers = dict(scope["headers"])
        if body or not field.has_default:
            _check_content_type(headers.get(b"content-type", b""))
            check_json(body, field.annotation, headers.get(b"accept-language", b"").decode("latin-1"))
        await self._app(scope, _replayed(body, receive), send)


def _takes_json(field: FieldDefinition) -> bool:
    media_type = getattr(field.kwarg_definition, "media_type", RequestEncodingType.JSON)
    return bool(media_type == RequestEncodingType.JSON)


def _check_content_type(value: bytes) -> None:
    kind, _, parameters = value.decode("latin-1").lower().partition(";")
    charset = parameters.partition("charset=")[2].partition(";")[0].strip(' "')
    if kind.strip() != "application/json" or charset not in _CHARSETS:
        raise problems.UnsupportedMediaType


async def _whole(receive: Receive) -> bytes:
    pieces = []
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise problems.BadRequest("The body broke off.")
        pieces.append(message["body"])
        more = message["more_body"]
    return b"".join(pieces)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Give a body that was read once more; what comes after it is the server's."""
    given = False

    async def replay() -> ReceiveMessage:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


# ---------------------------------------------------------------- shapes


@runtime_checkable
class RuledBody(Protocol):
    """A type of bodies whose rules can be held against a document of another shape, too."""

    @staticmethod
    def rule_faults(document: object, accept_language: str) -> Iterator[FieldError]: ...


def check_json(body: bytes, expected: Any, accept_language: str = "") -> None:
    """Raise the problem of a body that is not JSON or not of the type ``expected``.

    Of a ``RuledBody`` what breaks its rules is told along with what breaks its shape; where the shape is right the
    rules are left to the handler.
    """
    try:
        document = msgspec.json.decode(body)
        faults = [*structure_errors(document), *schema_errors(_schema_of(expected), document)]
        if faults:
            if isinstance(expected, RuledBody):
                told = {fault.pointer for fault in faults}
                faults += [one for one in expected.rule_faults(document, accept_language) if one.pointer not in told]
            raise problems.Invalid(errors=faults)
        msgspec.convert(document, expected)
    except msgspec.ValidationError as error:
        raise problems.Invalid(errors=[_from_msgspec(str(error))]) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise problems.BadRequest("The body is not a JSON document (RFC 8259) that we can read.") from error
    except RecursionError as error:
        raise _too_deep() from error


def structure_errors(document: object) -> list[FieldError]:
    """Texts with characters that cannot be stored. Raises ``BadRequest`` for a document nested too deeply."""
    return [
        FieldError(pointer=pointer, code="character", detail="There is a control character in this text.")
        for pointer, text in _texts(document)
        if _UNWRITABLE.search(text)
    ]


def _texts(document: object) -> Iterator[tuple[str, str]]:
    """Every text of a document, names of fields too, with its pointer."""
    waiting: list[tuple[str, object, int]] = [("", document, 0)]
    while waiting:
        pointer, value, depth = waiting.pop()
        if depth > _DEEPEST:
            raise _too_deep()
        if isinstance(value, str):
            yield pointer, value
        elif isinstance(value, dict):
            for name, child in value.items():
                yield pointer, name
                waiting.append((f"{pointer}/{_escaped(name)}", child, depth + 1))
        elif isinstance(value, list):
            waiting += [(f"{pointer}/{index}", child, depth + 1) for index, child in enumerate(value)]


def _too_deep() -> Problem:
    return problems.BadRequest(f"The body is nested more than {_DEEPEST} levels deep.")


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
    pointer = prefix + "".join(f"/{_escaped(str(part))}" for part in error.instance_path)
    kind = error.kind
    code = str(error.schema_path[-1]) if error.schema_path else "schema"
    if code == "required":
        missing = f"{pointer}/{_escaped(kind.property)}"
        return [FieldError(pointer=missing, code="required", detail="This field is required.")]
    if code in {"additionalProperties", "unevaluatedProperties"}:
        return [
            FieldError(pointer=f"{pointer}/{_escaped(name)}", code="unknown", detail="There is no such field.")
            for name in kind.unexpected
        ]
    params = {code: str(getattr(kind, "limit", getattr(kind, "pattern", getattr(kind, "format", ""))))}
    return [FieldError(pointer=pointer, code=code, detail=str(error.message)[:300], params=params)]


def _from_msgspec(message: str) -> FieldError:
    """A field error from a message of msgspec, which ends in a path such as ``- at `$.customer.phone```."""
    text, _, path = message.partition(" - at `")
    pointer = path.removesuffix("`").removeprefix("$").replace("[", ".").replace("]", "").replace(".", "/")
    return FieldError(pointer=pointer, code="value", detail=text[:300])


def _escaped(part: str) -> str:
    """A part of a JSON pointer (RFC 6901)."""
    return part.replace("~", "~0").replace("/", "~1")
