"""The HTTP edge of every process: which problems, limits, compression and description all services share."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

from litestar import Litestar
from litestar.config.compression import CompressionConfig
from litestar.middleware import DefineMiddleware
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.types import ControllerRouterHandler

from insuretech import __version__
from insuretech.kit.bodies import JsonBodies, RequestGuard
from insuretech.kit.settings import Settings
from insuretech.kit.web import UNCOMPRESSED, problem_handler

Lifespan = Callable[[Litestar], AbstractAsyncContextManager[None]]


def application(
    routes: Sequence[ControllerRouterHandler], settings: Settings, lifespan: Sequence[Lifespan] = ()
) -> Litestar:
    """An ASGI application of these routes; ``lifespan`` wraps the time it runs."""
    return Litestar(
        routes,
        lifespan=list(lifespan),
        exception_handlers={Exception: problem_handler(settings.base_url)},
        middleware=[
            DefineMiddleware(RequestGuard, size=settings.body_limit, seconds=settings.body_time_limit),
            JsonBodies,
        ],
        compression_config=CompressionConfig(
            backend="gzip", gzip_compress_level=5, minimum_size=1024, exclude_opt_key=UNCOMPRESSED
        ),
        openapi_config=OpenAPIConfig(
            title="InsureTech marketplace",
            version=__version__,
            description="Compare insurers' offers, buy a policy, keep the books. Errors are RFC 9457 documents.",
            path="/schema",
            render_plugins=[JsonRenderPlugin()],
        ),
        logging_config=None,
        request_max_body_size=None,
    )
