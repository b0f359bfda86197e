"""``insuretech products …``: what is sold."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from insuretech.cli.output import AsJson, show, tell
from insuretech.cli.session import with_marketplace

if TYPE_CHECKING:
    from insuretech.compose.single import Composition

commands = typer.Typer(help="What is sold.", no_args_is_help=True)


@commands.command("list")
def list_products(*, as_json: AsJson = False) -> None:
    """Every product with its current version."""
    show(with_marketplace(lambda marketplace: marketplace.catalogue.products()), title="Products", as_json=as_json)


@commands.command()
def load(
    folder: Annotated[
        Path | None, typer.Argument(help="With the folders products and consents; without it, what we bring along.")
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Put products on sale as their files say: all of them or, when anything is wrong, none.

    What is wrong is told with file and line. A running server shows the new pages by itself.
    """
    show(with_marketplace(lambda marketplace: marketplace.catalogue.load(folder)), title="Products", as_json=as_json)


@commands.command()
def withdraw(code: Annotated[str, typer.Argument(help="The product's code.")], *, as_json: AsJson = False) -> None:
    """Sell a product no longer, until a new version of it is loaded; quotes already given stand."""

    async def work(marketplace: Composition) -> None:
        await marketplace.catalogue.withdraw(code)

    with_marketplace(work)
    tell(f"{code} is no longer sold.", {"code": code}, as_json=as_json)
