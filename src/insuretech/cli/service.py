"""``insuretech service``: one service in a process of its own, or some together."""

from typing import Annotated

import typer
from rich.console import Console

from insuretech.kit.logging import configure_logging
from insuretech.kit.settings import Settings, load_settings


def service(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME…", help="catalogue, quotes, orders, documents, settlement, storefront or sandbox."
        ),
    ],
) -> None:
    """Run one service, or some together, in this process until Ctrl-C, as one of its replicas.

    Before the first: `insuretech migrate`, `insuretech keys create`, `insuretech products load`. Starts also while
    what it needs is away; /healthz/startup says what it waits for. Needs DATABASE_URL, INSURETECH_SERVICES_URL and
    INSURETECH_INTERNAL_SECRET; PUBLIC_URL is where people and callbacks reach the whole.
    """
    settings = load_settings()
    configure_logging(settings.log_level)
    from insuretech.compose.apart import serve_services
    from insuretech.compose.services import BUILDERS

    if not set(names) <= BUILDERS.keys():
        raise typer.BadParameter(f"no such service; there are {', '.join(BUILDERS)}", param_hint="NAME")
    if len(set(names)) < len(names):
        raise typer.BadParameter("a service runs once in a process", param_hint="NAME")
    serve_services(names, settings, lambda known: _announce(", ".join(names), known))


def _announce(names: str, settings: Settings) -> None:
    Console(highlight=False, soft_wrap=True).print(f"Listening: {names} at http://{settings.host}:{settings.port}")
