"""``insuretech migrate``."""

import asyncio

from insuretech.cli.output import AsJson, tell
from insuretech.kit.settings import load_settings


def migrate(*, as_json: AsJson = False) -> None:
    """Bring the schemas of all services up to date and set their roles' passwords; serve does so by itself."""
    from insuretech.compose.database import open_database, prepare
    from insuretech.compose.single import OWNERS

    settings = load_settings()
    with open_database(settings, join=True) as database:
        asyncio.run(prepare(database, OWNERS, settings.database_secret))
    tell(f"Up to date: {', '.join(OWNERS)}.", {"services": OWNERS}, as_json=as_json)
