"""The HTTP edge of every process: which problems, limits, compression and description all services share."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from litestar import Litestar, Request, Response
from litestar.config.compression import CompressionConfig
from litestar.enums import ScopeType
from litestar.exceptions import NotFoundException
from litestar.middleware import DefineMiddleware
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.plugins import PluginProtocol
from litestar.plugins.core import MsgspecDIPlugin
from litestar.types import ControllerRouterHandler

from insuretech import __version__
from insuretech.compose.addresses import service_of
from insuretech.kit.answered import counting
from insuretech.kit.bodies import JsonBodies, RequestGuard, reading_out
from insuretech.kit.heads import answer_head
from insuretech.kit.platform import Service
from insuretech.kit.positions import Positions
from insuretech.kit.problems import Unavailable, come_again
from insuretech.kit.settings import Settings
from insuretech.kit.web import UNCOMPRESSED, problem_handler

Lifespan = Callable[[Litestar], AbstractAsyncContextManager[None]]
FailureHandler = Callable[[Request[Any, Any, Any], Exception], Response[Any]]
_WITH_BODY = {"POST", "PUT", "PATCH", "DELETE"}
_FOR_PROGRAMS = ("/api/", "/staff/api/", "/partner/", "/sandbox/api/", "/schema", "/healthz", "/metrics")


def application(
    routes: Sequence[ControllerRouterHandler],
    settings: Settings,
    lifespan: Sequence[Lifespan] = (),
    failure_page: FailureHandler | None = None,
    *,
    described: bool = True,
    elsewhere: Callable[[str], bool] | None = None,
) -> Litestar:
    """An ASGI application of these routes; ``lifespan`` wraps the time it runs.

    ``failure_page`` answers people who open an address that is not there; programs get a problem document.
    ``described`` gives out the OpenAPI document of these routes. ``elsewhere`` says of a path whether another process
    answers for it.
    """
    failures = _failures(problem_handler(settings.base_url), failure_page)
    return _Edge(
        routes,
        lifespan=list(lifespan),
        exception_handlers={Exception: _misled(failures, elsewhere) if elsewhere else failures},
        middleware=[
            DefineMiddleware(RequestGuard, size=settings.body_limit, seconds=settings.body_time_limit),
            JsonBodies,
            Positions,
        ],
        compression_config=CompressionConfig(
            backend="gzip", gzip_compress_level=5, minimum_size=1024, exclude_opt_key=UNCOMPRESSED
        ),
        openapi_config=_description() if described else None,
        logging_config=None,
        request_max_body_size=None,
    )


def unwired() -> Litestar:
    """Stands for the application while what it is made of is being wired."""
    return _Edge([], logging_config=None)


class _Edge(Litestar):
    """Litestar knows GET without HEAD, which every resource that takes GET takes too (RFC 9110, 9.3.2).

    And it answers some requests without having read their bodies.
    """

    @staticmethod
    def _get_default_plugins(plugins: list[PluginProtocol]) -> list[PluginProtocol]:
        """Only what reads msgspec: Litestar also loads Pydantic where it finds it, eight megabytes used by nobody."""
        return [*plugins, MsgspecDIPlugin()]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # Litestar's own types are three unions
        if scope["type"] != ScopeType.HTTP:
            await super().__call__(scope, receive, send)
            return
        say = counting(scope, send)
        if scope["method"] == "HEAD":
            await answer_head(super().__call__, scope, receive, say)
        elif scope["method"] in _WITH_BODY:
            await super().__call__(scope, *reading_out(scope, receive, say))
        else:
            await super().__call__(scope, receive, say)


def failure_page_of(services: Sequence[Service]) -> FailureHandler | None:
    """The page of the service to which an address leads, as behind a load balancer; else the storefront's, or any."""
    pages = {service.name: service.failure_page for service in services if service.failure_page}
    if not pages:
        return None
    otherwise = pages.get("storefront") or next(iter(pages.values()))

    def failed(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
        return pages.get(service_of(request.url.path) or "", otherwise)(request, error)

    return failed


def _description() -> OpenAPIConfig:
    return OpenAPIConfig(
        title="InsureTech marketplace",
        version=__version__,
        description=(
            "Compare insurers' offers, buy a policy, keep the books. Errors are RFC 9457 documents. Whoever keeps the "
            "last `Insuretech-Position` an answer gave and sends it with each request sees what they did, whichever "
            "replica answers, and never anything in an earlier state than before."
        ),
        path="/schema",
        render_plugins=[JsonRenderPlugin()],
    )


def _failures(for_programs: FailureHandler, for_people: FailureHandler | None) -> FailureHandler:
    """Chooses by address and by what the caller says it understands."""
    if for_people is None:
        return for_programs

    def handle(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
        reads_pages = "text/html" in request.headers.get("accept", "")
        if reads_pages and not request.url.path.startswith(_FOR_PROGRAMS):
            return for_people(request, error)
        return for_programs(request, error)

    return handle


def _misled(handle: FailureHandler, elsewhere: Callable[[str], bool]) -> FailureHandler:
    """Says of what nobody has here and another process has, that it is to be asked for again.

    After a power cut addresses of pods move, and for some seconds a balancer may take us for those who had ours before.
    The connection is closed, so that the next request of that caller gets to whom it was meant for. Some balancers look
    at the path as it was sent, where a slash within a part is none, others at what it means: ours is what either leads
    to us.
    """

    def judged(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
        if isinstance(error, NotFoundException):
            sent = request.scope["raw_path"].decode("latin-1").partition("?")[0]
            if elsewhere(sent) and elsewhere(request.url.path):
                error = Unavailable(headers={**come_again(), "Connection": "close"})
        return handle(request, error)

    return judged
