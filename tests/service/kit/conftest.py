"""A town for every test that asks for one."""

from collections.abc import Callable

import pytest

from insuretech.kit.db import Database
from tests.service.kit.town import Town


@pytest.fixture
async def town(database: Callable[[str], Database]) -> Town:
    """Its tables stand in a schema of a real service, in a database of the test's own."""
    town = Town(database("documents"))
    await town.found()
    return town
