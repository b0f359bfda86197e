"""``insuretech documents …``: files in object storage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from insuretech.cli.output import AsJson, print_json, show
from insuretech.cli.session import with_marketplace
from insuretech.kit.failures import Unusable

if TYPE_CHECKING:
    from insuretech.compose.single import Composition
    from insuretech.kit.files import Finding

commands = typer.Typer(help="Files in object storage: policies, registers.", no_args_is_help=True)


class StorageUnusable(Unusable):
    """The object storage cannot be looked into; the message says why."""


@commands.callback()
def _group() -> None:
    """Keeps ``check`` a subcommand although it is the only one."""


@commands.command()
def check(
    *,
    repair: Annotated[
        bool, typer.Option("--repair", help="Print again what can be, remove what nobody needs.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compare every file with what we noted of it; the exit code is 1 when something is wrong and stays so.

    Finds objects that are missing or altered, prints that do not get done, and objects that nothing points at.
    """
    found = with_marketplace(lambda marketplace: _check(marketplace, repair=repair))
    if as_json:
        print_json(found)
    else:
        columns = ("service", "fault", "id", "repaired", "detail", "storage_key")
        show(found, title="Files that are not as they should be", as_json=False, columns=columns)
    if any(not finding.repaired for finding in found):
        raise typer.Exit(1)


async def _check(marketplace: Composition, *, repair: bool) -> list[Finding]:
    from insuretech.kit.files import StorageAway

    try:
        return [
            finding
            for service in marketplace.services
            if service.check_files is not None
            async for finding in service.check_files(repair)
        ]
    except StorageAway as error:
        raise StorageUnusable(str(error)) from error
