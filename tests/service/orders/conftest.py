"""Fixtures of the orders tests."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from insuretech.kit.db import Database
from tests.service.orders.world import World, product


@pytest.fixture
async def world(database: Callable[[str], Database], tmp_path: Path) -> AsyncIterator[World]:
    """The service with one product on sale."""
    world = World(database("orders"), tmp_path)
    await world.publish_product(product())
    yield world
    await world.http.aclose()
