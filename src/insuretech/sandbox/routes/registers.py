"""Registers of the marketplace, as an insurer takes them over HTTP."""

import hmac
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Response, Router, get, post, put
from litestar.params import FromPath, QueryParameter

from insuretech.kit.clock import Clock
from insuretech.sandbox.behaviours import Behaviours
from insuretech.sandbox.commands.playing import admit
from insuretech.sandbox.registers import Answer, PartOutOfPlace, ReceivedRegister, RegisterDesk, RegisterUnknown
from insuretech.sandbox.routes.reception import HANDLERS, AnyRequest, Refused, known_insurer


class _Announcement(msgspec.Struct):
    register_id: UUID
    message_id: str
    manifest: bytes
    signature: bytes
    public_key: bytes


def register_routes(desk: RegisterDesk, behaviours: Behaviours, clock: Clock, secret: str) -> Router:
    """Serves every insurer of the sandbox under ``/sandbox/insurers/{code}/registers``; one that is down stays so."""

    def admitted(request: AnyRequest, code: str) -> None:
        known_insurer(behaviours, code)
        if not hmac.compare_digest(request.headers.get("x-api-key", "").encode(), secret.encode()):
            raise Refused(401, "the key is not right")
        outcome = behaviours[code].outcome
        admit(outcome if isinstance(outcome, str) else "ok")

    @post("/")
    async def told(request: AnyRequest, code: FromPath[str]) -> Response[bytes]:
        admitted(request, code)
        try:
            given = msgspec.json.decode(await request.body(), type=_Announcement)
            number = msgspec.json.decode(given.manifest)["number"]
        except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, TypeError) as error:
            raise Refused(400, "the body cannot be read") from error
        announced = ReceivedRegister(
            id=given.register_id,
            insurer=code,
            number=str(number),
            message_id=given.message_id,
            manifest=given.manifest,
            signature=given.signature,
            public_key=given.public_key,
            told_at=clock.now(),
        )
        return _answer(await desk.told(code, announced))

    @put("/{register_id:uuid}/files/{digest:str}")
    async def part(
        request: AnyRequest,
        code: FromPath[str],
        register_id: FromPath[UUID],
        digest: FromPath[str],
        offset: Annotated[int, QueryParameter(ge=0)],
    ) -> Response[bytes]:
        admitted(request, code)
        try:
            return _answer(await desk.part(code, register_id, digest, offset, await request.body()))
        except RegisterUnknown as error:
            raise Refused(404, "there is no such register") from error
        except PartOutOfPlace as error:
            raise Refused(409, "the part does not follow on what is there") from error

    @get("/{register_id:uuid}")
    async def answer(request: AnyRequest, code: FromPath[str], register_id: FromPath[UUID]) -> Response[bytes]:
        admitted(request, code)
        try:
            return _answer(await desk.answer(code, register_id))
        except RegisterUnknown as error:
            raise Refused(404, "there is no such register") from error

    return Router(
        "/sandbox/insurers/{code:str}/registers",
        route_handlers=[told, part, answer],
        exception_handlers=HANDLERS,
        include_in_schema=False,
    )


def _answer(answer: Answer) -> Response[bytes]:
    return Response(msgspec.json.encode(answer), media_type="application/json", status_code=200)
