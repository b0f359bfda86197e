"""``insuretech projections …``: what is derived and can be derived again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from insuretech.cli.output import AsJson, show
from insuretech.cli.session import with_marketplace

if TYPE_CHECKING:
    from insuretech.compose.single import Composition

commands = typer.Typer(help="What is derived and can be derived again.", no_args_is_help=True)


@commands.callback()
def _group() -> None:
    """Keeps ``rebuild`` a subcommand although it is the only one."""


@commands.command()
def rebuild(
    name: Annotated[str, typer.Argument(help="Only this one, as service.projection.")] = "", *, as_json: AsJson = False
) -> None:
    """Build projections anew from their source."""
    rows = with_marketplace(lambda marketplace: _rebuild(marketplace, name))
    show(rows, title="Rebuilt", as_json=as_json)


async def _rebuild(marketplace: Composition, wanted: str) -> list[dict[str, object]]:
    known = {
        f"{service.name}.{name}": rebuild
        for service in marketplace.services
        for name, rebuild in service.projections.items()
    }
    if wanted and wanted not in known:
        raise typer.BadParameter(f"no such projection; there are {', '.join(known) or 'none'}", param_hint="NAME")
    return [
        {"projection": name, "entries": await rebuild()}
        for name, rebuild in known.items()
        if not wanted or name == wanted
    ]
