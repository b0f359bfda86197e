"""Runs everything in one process, from the first check of the surroundings to a clean stop."""

from insuretech.compose.database import OpenDatabase, open_database, prepare
from insuretech.compose.hosting import Announce, Stopping, host, run_until_signal, surroundings
from insuretech.compose.single import OWNERS, build
from insuretech.kit.keyring import Keyring
from insuretech.kit.settings import Settings


def serve(settings: Settings, announce: Announce) -> None:
    """Serve until SIGINT, SIGTERM or SIGHUP; ``announce`` is called once, when requests are answered.

    Must run in the main thread. Port 0 takes a free one; the settings given to ``announce`` tell which.
    """
    with surroundings(settings) as known, open_database(known) as database:
        run_until_signal(lambda stopping: _run(known, database, stopping, announce))


async def _run(settings: Settings, database: OpenDatabase, stopping: Stopping, announce: Announce) -> None:
    await prepare(database, OWNERS, settings.database_secret)
    composition = build(settings, database.admin, Keyring.open(settings.keyring_path))

    def trouble() -> str | None:
        ended = "The embedded database ended by itself; start again to continue with the same data."
        return None if database.alive() else ended

    await host(composition, settings, stopping, announce, trouble=trouble)
