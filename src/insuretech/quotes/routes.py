"""Quotes over HTTP: submit one, see its state, follow it live; and where insurers call back."""

from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Request, Response, Router, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, HeaderParameter, JSONBody, QueryParameter
from litestar.response import Stream

from insuretech.contracts.text import Language, preferred_language
from insuretech.kit.callers import waiting
from insuretech.kit.catching_up import CatchingUp
from insuretech.kit.clock import Clock
from insuretech.kit.idempotency import checked_key
from insuretech.kit.ids import buyer_of
from insuretech.kit.positions import DESCRIPTION, GIVEN_HEADERS, HEADER
from insuretech.kit.problems import NotFound, responses
from insuretech.kit.web import UNCOMPRESSED, bearer_token
from insuretech.quotes.commands import QuoteCreated, QuoteDesk, Submission
from insuretech.quotes.history import Histories
from insuretech.quotes.queries import QuoteQueries
from insuretech.quotes.streams import QuoteStreams
from insuretech.quotes.views import QuoteView, Views

EVENT_STREAM = "text/event-stream"
_NO_STORE = {"Cache-Control": "private, no-store", "Vary": "Accept-Language"}

AnyRequest = Request[object, object, State]


class NewQuoteRequest(msgspec.Struct, forbid_unknown_fields=True):
    """What to insure: a product's code and its question set filled in."""

    product: Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern="^[a-z0-9_-]+$")]
    answers: dict[str, Any]


class LiveEvent(msgspec.Struct):
    """One server-sent event by its fields. ``data`` is JSON: the offer, the insurer's line, or how the quote ended."""

    event: Literal["offer", "declined", "timed_out", "unavailable", "completed"]
    id: str
    data: str


@post(
    "/api/v1/quotes",
    operation_id="submitQuote",
    summary="Ask all insurers for offers",
    description=(
        "Answers are checked against the product's question set; everything wrong is named at once. The access token "
        "is told only here. Idempotency-Key is optional: with it, a repeated request gets the first answer again."
    ),
    tags=["quotes"],
    response_headers=GIVEN_HEADERS,
    responses=responses(409, 413, 415, 422),
)
async def submit_quote(
    request: AnyRequest,
    data: JSONBody[NewQuoteRequest],
    desk: NamedDependency[QuoteDesk],
    idempotency_key: Annotated[str | None, HeaderParameter(name="Idempotency-Key")] = None,
) -> Response[QuoteCreated]:
    """Take a request for a quote."""
    body = await request.body()
    with waiting(request.receive) as caller:
        submission = Submission(
            product=data.product,
            answers=data.answers,
            language=_language(request),
            body=body,
            key=checked_key(idempotency_key) if idempotency_key else None,
            abandoned=caller.has_gone,
        )
        created = await desk.submit_quote(submission)
    return Response(created, headers={**_NO_STORE, "Location": f"/api/v1/quotes/{created.id}"})


@get(
    "/api/v1/quotes/{quote_id:uuid}",
    operation_id="quote",
    summary="A quote, every insurer's outcome and the offers",
    description="Needs the quote's access token. Texts are in the language of Accept-Language, Russian by default.",
    tags=["quotes"],
    responses=responses(404),
)
async def show_quote(
    request: AnyRequest,
    quote_id: FromPath[UUID],
    queries: NamedDependency[QuoteQueries],
    views: NamedDependency[Views],
    clock: NamedDependency[Clock],
    catching_up: NamedDependency[CatchingUp],
    *,
    position: Annotated[str | None, HeaderParameter(name=HEADER, description=DESCRIPTION)] = None,
) -> Response[QuoteView]:
    """Show a quote to whoever holds its token."""
    await catching_up.with_position(position)
    state = await queries.state(quote_id, _owner(bearer_token(request)), clock.now())
    if state is None:
        raise NotFound
    return Response(views.quote(state, _language(request)), headers=_NO_STORE)


@get(
    "/api/v1/quotes/{quote_id:uuid}/events",
    operation_id="quoteEvents",
    summary="Follow a quote live",
    description=(
        "Server-sent events `offer`, `declined` (also for referred and invalid, see `outcome`), `timed_out`, "
        "`unavailable` and, as the last, `completed`, each with a number. Last-Event-ID (or `last_event_id`) resumes "
        "after that number without loss or repetition; 204 when nothing will follow. Needs the quote's access token, "
        "as a header or as cookie `access_<id in hex digits>`."
    ),
    tags=["quotes"],
    media_type=EVENT_STREAM,
    responses={
        200: ResponseSpec(
            LiveEvent, media_type=EVENT_STREAM, description="The stream of such events", generate_examples=False
        ),
        204: ResponseSpec(
            None, description="The quote is completed and everything was told before", generate_examples=False
        ),
        **responses(404),
    },
    opt={UNCOMPRESSED: True},
)
async def quote_events(
    request: AnyRequest,
    quote_id: FromPath[UUID],
    histories: NamedDependency[Histories],
    streams: NamedDependency[QuoteStreams],
    last_event: Annotated[str | None, HeaderParameter(name="Last-Event-ID")] = None,
    last_event_id: Annotated[str | None, QueryParameter()] = None,
) -> Stream | Response[None]:
    """Open a live stream for whoever holds the quote's token."""
    token = bearer_token(request) or request.cookies.get(f"access_{quote_id.hex}")
    seen = _sequence(last_event if last_event is not None else last_event_id)
    history = await histories.read(quote_id, seen)
    if history is None or history.owner != _owner(token):
        raise NotFound
    after = min(seen, history.last_event)
    if history.over and after == history.last_event:
        return Response(None, status_code=204, headers=_NO_STORE)
    return Stream(
        streams.stream(quote_id, after, _language(request)),
        media_type=EVENT_STREAM,
        headers={**_NO_STORE, "X-Accel-Buffering": "no"},
    )


@post(
    "/api/v1/callbacks/insurers/{insurer:str}",
    operation_id="insurerCallback",
    summary="Where insurers call back",
    description=(
        "A signed note that an answer is ready. Its content is not believed: the insurer is asked again. Genuine notes "
        "are always answered with 204, also repeated ones."
    ),
    tags=["callbacks"],
    status_code=204,
    responses=responses(404, 413),
)
async def insurer_callback(
    request: AnyRequest,
    insurer: FromPath[str],
    desk: NamedDependency[QuoteDesk],
    signature: Annotated[str | None, HeaderParameter(name="X-Signature")] = None,
) -> None:
    """Take a callback of an insurer."""
    await desk.hear_callback(insurer, await request.body(), signature or "")


def quotes_router(
    *,
    desk: QuoteDesk,
    queries: QuoteQueries,
    histories: Histories,
    views: Views,
    streams: QuoteStreams,
    clock: Clock,
    catching_up: CatchingUp,
) -> Router:
    """The service's part of the API."""
    given = {
        "desk": desk,
        "queries": queries,
        "histories": histories,
        "views": views,
        "streams": streams,
        "clock": clock,
        "catching_up": catching_up,
    }
    return Router(
        path="/",
        route_handlers=[submit_quote, show_quote, quote_events, insurer_callback],
        dependencies={name: _provide(what) for name, what in given.items()},
    )


def _provide(what: object) -> Provide:
    return Provide(lambda: what, sync_to_thread=False)


def _owner(token: str | None) -> str:
    """The owner a token stands for; without a token there is nothing to be found."""
    if token is None:
        raise NotFound
    return buyer_of(token)


def _language(request: AnyRequest) -> Language:
    return preferred_language(request.headers.get("accept-language", ""))


def _sequence(last_event_id: str | None) -> int:
    """The number a client saw last; what no stream of ours has said counts as nothing."""
    text = last_event_id or ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0
