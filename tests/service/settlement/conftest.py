"""A settlement service for every test that asks for one."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from insuretech.kit.clock import FixedClock
from insuretech.kit.db import Database
from insuretech.kit.http import new_client
from tests.service.settlement.office import Office, opened
from tests.service.settlement.world import World


@pytest.fixture
async def world(database: Callable[[str], Database], tmp_path: Path) -> AsyncIterator[World]:
    """A service with empty books in October 2026."""
    async with new_client() as http:
        yield World(database("settlement"), tmp_path, http)


@pytest.fixture
def clock() -> FixedClock:
    """The morning after October."""
    return FixedClock(datetime(2026, 11, 1, 6, tzinfo=UTC))


@pytest.fixture
def office(database: Callable[[str], Database], clock: FixedClock, tmp_path: Path) -> Office:
    """A reconciliation of the test's own."""
    return opened(database("settlement"), tmp_path, clock)
