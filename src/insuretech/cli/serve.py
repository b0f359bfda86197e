"""``insuretech serve`` and ``insuretech migrate``."""

import asyncio

from rich.console import Console

from insuretech.cli.output import AsJson, tell
from insuretech.kit.logging import configure_logging
from insuretech.kit.settings import Settings, load_settings


def serve() -> None:
    """Run the whole marketplace in this process until Ctrl-C.

    PORT, HOST and INSURETECH_HOME say where; DATABASE_URL names a PostgreSQL to use in place of the embedded one.
    """
    settings = load_settings()
    configure_logging(settings.log_level)
    from insuretech.compose.serve import serve as serve_marketplace

    serve_marketplace(settings, _announce)


def migrate(*, as_json: AsJson = False) -> None:
    """Bring the schemas of all services up to date and set their roles' passwords; serve does so by itself."""
    from insuretech.compose.database import open_database, prepare
    from insuretech.compose.single import OWNERS

    settings = load_settings()
    with open_database(settings, join=True) as database:
        asyncio.run(prepare(database, OWNERS, settings.database_secret))
    tell(f"Up to date: {', '.join(OWNERS)}.", {"services": OWNERS}, as_json=as_json)


def _announce(settings: Settings) -> None:
    here = f"http://{settings.host}:{settings.port}"
    places = [("Site", here), ("API documentation", f"{here}/docs")]
    if settings.sandbox_enabled:
        places.append(("Sandbox controls", f"{here}/sandbox"))
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"Ready: {here}", style="bold")
    for name, address in places:
        console.print(f"  {name:<18} {address}")
    console.print(f"Ctrl-C stops it; the data stay in {settings.home}.")
