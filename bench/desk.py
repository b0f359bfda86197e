"""Only the side of the marketplace that answers requests: no relay, no process manager, nobody called meanwhile.

Run as ``python -m bench.desk <port> <home>`` beside a marketplace that stands still, on the same database. What the
requests leave to be done is done by that marketplace when it goes on, as another replica would.
"""

import asyncio
import sys
from pathlib import Path

import uvloop

from insuretech.compose.database import open_database
from insuretech.compose.hosting import spare_what_stays
from insuretech.compose.single import build
from insuretech.kit.http_server import serving
from insuretech.kit.keyring import Keyring
from insuretech.kit.settings import load_settings


async def serve(port: int, home: Path) -> None:
    """Serve until killed."""
    settings = load_settings({"PORT": str(port), "INSURETECH_HOME": str(home)})
    with open_database(settings, join=True) as database:
        composition = build(settings, database.admin, Keyring.open(settings.keyring_path))
        async with serving(composition.app, port):
            spare_what_stays()
            await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), Path(sys.argv[2])))
