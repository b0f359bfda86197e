"""A sandbox over a real socket for all tests of a module, calm before each."""

from collections.abc import AsyncIterator

import pytest_asyncio

from insuretech.kit.embedded_postgres import EmbeddedPostgres
from tests.service.sandbox.stage import RunningSandbox, sandbox_on_a_copy


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(postgres: EmbeddedPostgres, migrated: str) -> AsyncIterator[RunningSandbox]:
    """The sandbox that all tests of the module share."""
    async with sandbox_on_a_copy(postgres, migrated) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def sandbox(served: RunningSandbox) -> RunningSandbox:
    """The sandbox as new."""
    await served.calm()
    return served
