"""Whether projections equal their source, asked by a marketplace that is wired once and stays beside the load."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from time import monotonic

from insuretech.compose.database import open_database
from insuretech.compose.single import Composition, build
from insuretech.kit.hot import HotAway
from insuretech.kit.keyring import Keyring
from insuretech.kit.projections import Projection
from insuretech.kit.settings import load_settings


@dataclass(frozen=True)
class Agreement:
    """Compares on a loop of its own."""

    runner: asyncio.Runner
    marketplace: Composition

    def until_reached(self, since: datetime, limit: float) -> str:
        """Wait until what changed since then agrees; what still differs after ``limit`` seconds, else nothing."""
        until = monotonic() + limit
        while True:
            told = self.runner.run(self._differences(since, max(0.0, until - monotonic())))
            if not told or monotonic() >= until:
                return told

    async def _differences(self, since: datetime, patience: float) -> str:
        try:
            found = [await each.check(patience, since) for each in self._projections()]
        except HotAway as away:
            await asyncio.sleep(0.25)
            return f"Redis is away: {away}"
        return "\n".join(str(one) for checked in found for one in checked.differences)

    def _projections(self) -> list[Projection]:
        return [each for service in self.marketplace.services for each in service.hot if each.shared]


@contextmanager
def watched(environment: Mapping[str, str]) -> Iterator[Agreement]:
    """A marketplace in the surroundings of the cluster's services that serves nobody."""
    settings = load_settings(environment)
    with open_database(settings, join=True) as database, asyncio.Runner() as runner:
        marketplace = build(settings, database.admin, Keyring.open(settings.keyring_path))
        try:
            yield Agreement(runner, marketplace)
        finally:
            runner.run(marketplace.stop())
