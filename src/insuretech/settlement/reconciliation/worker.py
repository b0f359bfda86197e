"""Reads files as they come, one after the other; any replica may take the next."""

import asyncio

import structlog

from insuretech.kit.files import StorageAway
from insuretech.settlement.reconciliation.commands import Reconciliation

log = structlog.get_logger(__name__)

_LOOK_AGAIN = 5.0  # seconds; a file that came to another replica is seen then at the latest


class StatementReader:
    """A loop that sleeps until a file comes."""

    def __init__(self, reconciliation: Reconciliation) -> None:
        self._reconciliation = reconciliation
        self._came = asyncio.Event()

    def wake(self) -> None:
        """Tell that a file has come."""
        self._came.set()

    async def run(self) -> None:
        while True:
            self._came.clear()
            try:
                while await self._reconciliation.read_next():
                    pass
            except StorageAway as error:
                log.warning("statement.storage_away", error=str(error))
            try:
                async with asyncio.timeout(_LOOK_AGAIN):
                    await self._came.wait()
            except TimeoutError:
                continue
