"""``insuretech database …``: how services reach the database."""

from __future__ import annotations

from typing import Annotated

import typer

from insuretech.cli.output import AsJson, tell
from insuretech.kit.settings import load_settings

commands = typer.Typer(help="How services reach the database.", no_args_is_help=True)


@commands.callback()
def _group() -> None:
    """Keeps ``address`` a subcommand although it is the only one."""


@commands.command()
def address(service: Annotated[str, typer.Argument(help="Whose, say orders.")], *, as_json: AsJson = False) -> None:
    """The DATABASE_URL of one service alone, with its password: so that its processes need know no other secret.

    Follows from the administrator's DATABASE_URL and INSURETECH_DATABASE_SECRET, as `insuretech migrate` does.
    """
    from insuretech.compose.database import database_address
    from insuretech.compose.single import OWNERS
    from insuretech.kit.roles import service_url
    from insuretech.kit.settings import SettingsInvalid

    settings = load_settings()
    if service not in OWNERS:
        raise typer.BadParameter(f"no such service; there are {', '.join(OWNERS)}", param_hint="SERVICE")
    if not settings.database_url:
        raise SettingsInvalid("DATABASE_URL is needed: the embedded database has no passwords.")
    url = service_url(database_address(settings.database_url), service, settings.database_secret)
    told = url.set(drivername="postgresql").render_as_string(hide_password=False)
    tell(told, {"service": service, "database_url": told}, as_json=as_json)
