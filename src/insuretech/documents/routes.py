"""The document of a policy over HTTP."""

from litestar import Request, Response, Router, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath

from insuretech.documents.commands import DocumentLink, PolicyDocuments
from insuretech.documents.domain import content_disposition
from insuretech.kit.ids import buyer_of
from insuretech.kit.problems import NotFound, responses
from insuretech.kit.web import bearer_token

PDF = "application/pdf"
_THE_PDF = ResponseSpec(bytes, media_type=PDF, description="The PDF", generate_examples=False)

AnyRequest = Request[object, object, State]


@get(
    "/api/v1/policies/{number:str}/document",
    operation_id="policyDocument",
    summary="The policy as a PDF",
    description="The policy with the stamp of its early end, where it has ended early. Needs the quote's access token.",
    tags=["policies"],
    media_type=PDF,
    responses={200: _THE_PDF, **responses(404, 409, 410)},
)
async def policy_document(
    request: AnyRequest, number: FromPath[str], documents: NamedDependency[PolicyDocuments]
) -> Response[bytes]:
    """Give out a policy to whoever holds its token."""
    return _pdf(number, await documents.open_document(number, _owner(request)))


@post(
    "/api/v1/policies/{number:str}/document/link",
    operation_id="linkPolicyDocument",
    summary="A link to the policy's PDF",
    description=(
        "An address that opens the document as it is now without a token, for seven days: to print it at another "
        "machine, or to send it to a bank. Whoever has the link can read the document."
    ),
    tags=["policies"],
    responses=responses(404, 409),
)
async def link_document(
    request: AnyRequest, number: FromPath[str], documents: NamedDependency[PolicyDocuments]
) -> DocumentLink:
    """Make a link for whoever holds the token."""
    return await documents.link(number, _owner(request))


@get(
    "/api/v1/documents/{token:str}",
    operation_id="linkedDocument",
    summary="The document behind a link",
    description="Opens what a link leads to; 410 when its time is over.",
    tags=["policies"],
    media_type=PDF,
    responses={200: _THE_PDF, **responses(404, 409, 410)},
)
async def linked_document(token: FromPath[str], documents: NamedDependency[PolicyDocuments]) -> Response[bytes]:
    """Give out a document to whoever holds a link to it."""
    opened = await documents.open_link(token)
    return _pdf(opened.number, opened.content)


def _owner(request: AnyRequest) -> str:
    token = bearer_token(request)
    if token is None:
        raise NotFound
    return buyer_of(token)


def _pdf(number: str, content: bytes) -> Response[bytes]:
    headers = {
        "Content-Disposition": content_disposition(number),
        "Cache-Control": "private, no-store",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Robots-Tag": "noindex",
    }
    return Response(content, media_type=PDF, headers=headers)


def documents_router(documents: PolicyDocuments) -> Router:
    """The service's part of the API."""
    return Router(
        path="/",
        route_handlers=[policy_document, link_document, linked_document],
        dependencies={"documents": Provide(lambda: documents, sync_to_thread=False)},
    )
