"""What the three dialects have in common at the door: who is called, what cannot be read, and how trouble looks."""

from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException

from insuretech.kit.web import UNCOMPRESSED
from insuretech.sandbox.behaviours import Behaviours
from insuretech.sandbox.faults import FAULTS

AnyRequest = Request[Any, Any, Any]


class Refused(HTTPException):
    """A request that no insurer serves; nothing was done."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why, status_code=status)


def known_insurer(behaviours: Behaviours, code: str) -> str:
    """The code, if there is such an insurer."""
    if code not in behaviours.roster:
        raise Refused(403, "there is no such insurer in the sandbox")
    return code


async def body_of(request: AnyRequest) -> bytes:
    """The body, unless it holds U+0000, which no database can."""
    body = await request.body()
    if b"\0" in body or b"\\u0000" in body:
        raise Refused(400, "the body holds the character U+0000")
    return body


def _render(_: AnyRequest, refused: Refused) -> Response[bytes]:
    body = msgspec.json.encode({"error": refused.detail})
    return Response(body, status_code=refused.status_code, media_type="application/json")


HANDLERS: Any = {**FAULTS, Refused: _render}
"""``exception_handlers`` of every dialect."""
SHORT_ANSWERS: Any = {UNCOMPRESSED: True}
"""``opt`` of every dialect: making ready to compress costs more than the answers weigh."""
