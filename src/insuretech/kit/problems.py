"""Errors as RFC 9457 problem documents.

An error of the application is a small class below ``Problem`` that carries its status, its slug (the last part of
``type``) and its sentences; one handler in ``kit.web`` renders them all.
"""

import secrets
from collections.abc import Sequence
from http import HTTPStatus
from typing import ClassVar

import msgspec
from litestar.openapi.datastructures import ResponseSpec

PROBLEM_JSON = "application/problem+json"
AGAIN_AFTER = range(2, 6)
"""Seconds after which whoever was refused for want of room may come again."""


class FieldError(msgspec.Struct, frozen=True, kw_only=True):
    """One thing wrong with one field; ``pointer`` is a JSON pointer (RFC 6901) into the body, ``code`` is stable."""

    pointer: str
    code: str
    detail: str
    params: dict[str, str] = {}


class ProblemDocument(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The body of every error answer under /api."""

    type: str
    title: str
    status: int
    trace_id: str
    detail: str | None = None
    instance: str | None = None
    errors: list[FieldError] | None = None


class Problem(Exception):
    """An error that a caller is told about."""

    status: ClassVar[int] = 400
    slug: ClassVar[str] = "bad-request"
    title: ClassVar[str] = "The request cannot be understood"

    def __init__(
        self,
        detail: str | None = None,
        *,
        errors: Sequence[FieldError] = (),
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail or self.title)
        self.detail = detail
        self.errors = list(errors)
        self.headers = headers or {}


class BadRequest(Problem):
    """The request as a whole cannot be used."""


class NotFound(Problem):
    """No such thing, or someone else's: the two look the same on purpose."""

    status = 404
    slug = "not-found"
    title = "There is no such thing here, or it is not yours"


class MethodNotAllowed(Problem):
    """The address exists and takes other methods."""

    status = 405
    slug = "method-not-allowed"
    title = "This address does not take that method"


class BodyTooSlow(Problem):
    """The body did not arrive within the time limit."""

    status = 408
    slug = "body-too-slow"
    title = "The body took too long to arrive"


class Conflict(Problem):
    """The state of the thing does not allow what was asked."""

    status = 409
    slug = "conflict"
    title = "The thing is in a state that does not allow this"


class BodyTooLarge(Problem):
    """The body is over the limit."""

    status = 413
    slug = "body-too-large"
    title = "The body is larger than we take"


class UnsupportedMediaType(Problem):
    """The body is not JSON."""

    status = 415
    slug = "unsupported-media-type"
    title = "Send the body as application/json"


class Invalid(Problem):
    """Fields of the body are wrong; ``errors`` names them all."""

    status = 422
    slug = "invalid"
    title = "Some fields are not right"


class IdempotencyKeyMissing(Problem):
    """A request that creates or moves money came without a key."""

    status = 400
    slug = "idempotency-key-missing"
    title = "This request needs an Idempotency-Key header"


class RequestInFlight(Problem):
    """Another request with this key has not ended yet."""

    status = 409
    slug = "request-in-flight"
    title = "The same request is being worked on; repeat it in a moment"


class IdempotencyKeyReused(Problem):
    """The key belongs to a request with another body."""

    status = 422
    slug = "idempotency-key-reused"
    title = "This Idempotency-Key was used with another body"


class Unavailable(Problem):
    """The database or another part is away for the moment."""

    status = 503
    slug = "unavailable"
    title = "A part we depend on does not answer; repeat the request later"


def come_again() -> dict[str, str]:
    """The header that says when: in two to five seconds, so that not everybody comes at the same moment."""
    return {"Retry-After": str(secrets.choice(AGAIN_AFTER))}


class InternalError(Problem):
    """A fault of ours; the transaction was rolled back."""

    status = 500
    slug = "internal-error"
    title = "Something broke on our side; nothing was half-done"


class ProblemKind(msgspec.Struct, frozen=True):
    """What is the same of all problems of one ``type``."""

    slug: str
    status: int
    title: str


def problem_kinds() -> dict[str, ProblemKind]:
    """Every kind of problem this process knows, by slug, for the pages that explain them."""
    return {slug: ProblemKind(slug, kind.status, kind.title) for slug, kind in all_problems().items()}


def all_problems(root: type[Problem] = Problem) -> dict[str, type[Problem]]:
    """Every problem by slug."""
    found = {root.slug: root}
    for child in root.__subclasses__():
        found |= all_problems(child)
    return found


def responses(*statuses: int) -> dict[int, ResponseSpec]:
    """The problem answers of a handler for its OpenAPI description."""
    return {
        status: ResponseSpec(
            ProblemDocument,
            description=HTTPStatus(status).phrase,
            media_type=PROBLEM_JSON,
            generate_examples=False,
        )
        for status in sorted({*statuses, 400, 404, 405, 500, 503})
    }
