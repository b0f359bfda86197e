"""``insuretech service``: one service in a process of its own."""

from typing import Annotated

import typer
from rich.console import Console

from insuretech.kit.logging import configure_logging
from insuretech.kit.settings import Settings, load_settings


def service(
    name: Annotated[str, typer.Argument(help="catalogue, quotes, orders, documents, storefront or sandbox.")],
) -> None:
    """Run one service in this process until Ctrl-C, as one of its replicas.

    Before the first: `insuretech migrate`, `insuretech keys create`, `insuretech products load`. Starts also while
    what it needs is away; /healthz/startup says what it waits for. Needs DATABASE_URL, INSURETECH_SERVICES_URL and
    INSURETECH_INTERNAL_SECRET; PUBLIC_URL is where people and callbacks reach the whole.
    """
    settings = load_settings()
    configure_logging(settings.log_level)
    from insuretech.compose.apart import serve_service
    from insuretech.compose.services import BUILDERS

    if name not in BUILDERS:
        raise typer.BadParameter(f"no such service; there are {', '.join(BUILDERS)}", param_hint="NAME")
    serve_service(name, settings, lambda known: _announce(name, known))


def _announce(name: str, settings: Settings) -> None:
    Console(highlight=False, soft_wrap=True).print(f"Listening: {name} at http://{settings.host}:{settings.port}")
