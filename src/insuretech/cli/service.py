"""``insuretech service``: one service in a process of its own, or some together."""

from typing import Annotated

import typer

from insuretech.cli.serve import serve_some


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
    serve_some(names)
