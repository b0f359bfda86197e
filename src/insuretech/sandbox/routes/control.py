"""Setting the sandbox's behaviour and reading its books over HTTP."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from litestar import Request, Router, get, post, put
from litestar.openapi.spec import Operation, RequestBody
from litestar.params import FromPath, JSONBody, QueryParameter

from insuretech.kit.problems import responses
from insuretech.sandbox.calls import KEPT, Call
from insuretech.sandbox.commands.controls import Controls
from insuretech.sandbox.domain import InsurerDocument, ProviderBehaviour
from insuretech.sandbox.queries import WholeBooks

AnyRequest = Request[Any, Any, Any]

_TAKES_BODY = responses(413, 415, 422)


class Reset(msgspec.Struct, forbid_unknown_fields=True):
    """What to start over: behaviours and calls always, the books only if so asked."""

    books: bool = False


@dataclass
class BodyMayBeMissing(Operation):
    """Describes a body that may be left out; by itself the document would require it."""

    def __post_init__(self) -> None:
        if isinstance(self.request_body, RequestBody):
            self.request_body.required = False


def control_routes(controls: Controls, books: Callable[[], Awaitable[WholeBooks]]) -> Router:
    """Serves ``/sandbox/api``."""

    @get("/insurers", responses=responses(), summary="All insurers of the sandbox and how they behave")
    async def insurers() -> list[InsurerDocument]:
        return controls.all()

    @get("/insurers/{code:str}", responses=responses(), summary="How an insurer behaves")
    async def insurer(code: FromPath[str]) -> InsurerDocument:
        return controls.insurer(code)

    @put(
        "/insurers/{code:str}",
        responses=_TAKES_BODY,
        summary="Set how an insurer behaves",
        description="Fields that are left out stay as they are. What is set holds for the next call.",
    )
    async def set_insurer(request: AnyRequest, code: FromPath[str], data: JSONBody[InsurerDocument]) -> InsurerDocument:
        return await controls.set_insurer(code, data, await _given(request))

    @get("/payments", responses=responses(), summary="How the payment provider behaves")
    async def provider() -> ProviderBehaviour:
        return controls.provider()

    @put(
        "/payments",
        responses=_TAKES_BODY,
        summary="Set how the payment provider behaves",
        description="Fields that are left out stay as they are. What is set holds for the next call.",
    )
    async def set_provider(request: AnyRequest, data: JSONBody[ProviderBehaviour]) -> ProviderBehaviour:
        return await controls.set_provider(data, await _given(request))

    @post(
        "/reset",
        status_code=204,
        responses=_TAKES_BODY,
        operation_class=BodyMayBeMissing,
        summary="Everyone behaves by character again",
    )
    async def reset(data: JSONBody[Reset | None] = None) -> None:
        await controls.reset(books=data is not None and data.books)

    @get("/books", responses=responses(), summary="What the outside world believes: policies and payments")
    async def whole_books() -> WholeBooks:
        return await books()

    @get("/calls", responses=responses(), summary="The latest calls, newest first, without personal data")
    async def calls(
        insurer: Annotated[str | None, QueryParameter(description="A code, or `payments`")] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=KEPT)] = KEPT,
    ) -> list[Call]:
        return controls.calls.latest(insurer, limit)

    return Router(
        "/sandbox/api",
        route_handlers=[insurers, insurer, set_insurer, provider, set_provider, reset, whole_books, calls],
        tags=["sandbox"],
    )


async def _given(request: AnyRequest) -> set[str]:
    """The fields that the body names."""
    document = msgspec.json.decode(await request.body())
    return set(document) if isinstance(document, dict) else set()
