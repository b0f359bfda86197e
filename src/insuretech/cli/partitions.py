"""``insuretech partitions …``: tables in partitions by time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from insuretech.cli.output import AsJson, show
from insuretech.cli.session import with_marketplace

if TYPE_CHECKING:
    from insuretech.compose.single import Composition
    from insuretech.kit.partition_keeper import Kept
    from insuretech.kit.partitions import Partition

commands = typer.Typer(help="Tables in partitions by time.", no_args_is_help=True)


@commands.command("list")
def list_partitions(*, as_json: AsJson = False) -> None:
    """Every partition with its time, its size and the database's estimate of its rows; default ones should be empty."""
    show(with_marketplace(_partitions), title="Partitions", as_json=as_json)


@commands.command()
def maintain(*, as_json: AsJson = False) -> None:
    """Make partitions ahead and drop those past their retention, as every process does now and again.

    The exit code is 1 when something was in the way and should be tried again.
    """
    kept = with_marketplace(_maintain)
    show(kept, title="Partitions", as_json=as_json)
    if any(one.postponed for one in kept):
        raise typer.Exit(1)


async def _partitions(marketplace: Composition) -> list[Partition]:
    return [part for keeper in marketplace.keepers for part in await keeper.list()]


async def _maintain(marketplace: Composition) -> list[Kept]:
    return [kept for keeper in marketplace.keepers for kept in await keeper.maintain()]
