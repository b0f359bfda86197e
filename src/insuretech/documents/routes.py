"""The document of a policy over HTTP."""

from litestar import Request, Response, Router, get
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath

from insuretech.documents.commands import PolicyDocuments
from insuretech.documents.domain import content_disposition
from insuretech.kit.ids import buyer_of
from insuretech.kit.problems import NotFound, responses
from insuretech.kit.web import bearer_token

PDF = "application/pdf"


@get(
    "/api/v1/policies/{number:str}/document",
    operation_id="policyDocument",
    summary="The policy as a PDF",
    description="The policy with the stamp of its early end, where it has ended early. Needs the quote's access token.",
    tags=["policies"],
    media_type=PDF,
    responses={
        200: ResponseSpec(bytes, media_type=PDF, description="The PDF", generate_examples=False),
        **responses(404, 409, 410),
    },
)
async def policy_document(
    request: Request[object, object, State], number: FromPath[str], documents: NamedDependency[PolicyDocuments]
) -> Response[bytes]:
    """Give out a policy to whoever holds its token."""
    token = bearer_token(request)
    if token is None:
        raise NotFound
    content = await documents.open_document(number, buyer_of(token))
    headers = {
        "Content-Disposition": content_disposition(number),
        "Cache-Control": "private, no-store",
        "X-Content-Type-Options": "nosniff",
    }
    return Response(content, media_type=PDF, headers=headers)


def documents_router(documents: PolicyDocuments) -> Router:
    """The service's part of the API."""
    return Router(
        path="/",
        route_handlers=[policy_document],
        dependencies={"documents": Provide(lambda: documents, sync_to_thread=False)},
    )
