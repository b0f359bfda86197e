"""The background loops of a process: kept running, and known for whether they do."""

import asyncio
from collections.abc import Iterable

import structlog

from insuretech.kit.platform import Background

log = structlog.get_logger(__name__)


class Loops:
    """Runs every loop until stopped. One that ends or fails is begun again after ``pause`` seconds.

    Such a loop counts as down until it has run for ``proof`` seconds, so that one failing over and over stays visible.
    """

    def __init__(self, *, pause: float = 1.0, proof: float = 5.0) -> None:
        self._pause = pause
        self._proof = proof
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._failed_at: dict[str, float] = {}

    def start(self, loops: Iterable[Background]) -> None:
        """Begin to run more loops; names are unique."""
        for loop in loops:
            self._tasks[loop.name] = asyncio.create_task(self._keep_running(loop), name=loop.name)

    def down(self) -> list[str]:
        """The names of the loops that are not running as they should."""
        now = asyncio.get_running_loop().time()
        return [
            name
            for name, task in self._tasks.items()
            if task.done() or now - self._failed_at.get(name, float("-inf")) < self._pause + self._proof
        ]

    async def stop(self) -> None:
        """Cancel all and wait for their end."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _keep_running(self, loop: Background) -> None:
        while True:
            try:
                await loop.run()
                log.error("background.ended", loop=loop.name)
            except Exception:
                log.exception("background.failed", loop=loop.name)
            self._failed_at[loop.name] = asyncio.get_running_loop().time()
            await asyncio.sleep(self._pause)
