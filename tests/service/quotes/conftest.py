"""A quotes service for each test that asks for one."""

from collections.abc import AsyncIterator, Callable

import pytest

from insuretech.kit.db import Database
from insuretech.kit.keyring import Keyring
from insuretech.quotes.engine import EngineSettings
from tests.service.quotes.world import QUICK, World
from tests.unit.quotes.scripted import ScriptedDirectory, ScriptedInsurer

MakeWorld = Callable[..., World]


@pytest.fixture
async def make_world(database: Callable[[str], Database]) -> AsyncIterator[MakeWorld]:
    """Starts processes of the service that share a database, a key and, where given, insurers."""
    keyring = Keyring.generate()
    worlds: list[World] = []

    def make(
        directory: ScriptedDirectory | None = None,
        *,
        engine: EngineSettings = QUICK,
        time_limit: float = 60.0,
        **insurers: ScriptedInsurer,
    ) -> World:
        world = World(
            database("quotes"),
            directory or ScriptedDirectory(time_limit, **insurers),
            keyring=keyring,
            engine=engine,
        )
        world.start()
        worlds.append(world)
        return world

    yield make
    for world in worlds:
        await world.stop()
