"""A settlement service for every test that asks for one."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from insuretech.kit.db import Database
from insuretech.kit.http import new_client
from tests.service.settlement.world import World


@pytest.fixture
async def world(database: Callable[[str], Database], tmp_path: Path) -> AsyncIterator[World]:
    """A service with empty books in October 2026."""
    async with new_client() as http:
        yield World(database("settlement"), tmp_path, http)
