"""The running marketplace that tests of this folder share, in its everyday mood unless a test changes it."""

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from tests.cluster.marketplace import ClusterMarketplace, running_cluster
from tests.system.buyer import PATIENCE, Buyer
from tests.system.running import RunningMarketplace

QUICK = {
    "INSURETECH_INSURER_TIME_LIMIT": "10",
    "INSURETECH_ISSUE_RECHECK": "0.3",
    "INSURETECH_BODY_TIME_LIMIT": "1",
}
"""Seconds that make a person wait in production and would make a test wait here."""


@pytest.fixture(scope="session")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningMarketplace]:
    """One marketplace for the whole run; stopped in good order at the end, which is a check in itself.

    Where ``CLUSTER_HOME`` names a running cluster, that is the marketplace.
    """
    if control := running_cluster():
        yield ClusterMarketplace.of(control)
        return
    market = RunningMarketplace(tmp_path_factory.mktemp("market") / "home", QUICK)
    with market:
        yield market
        market.stop()


@pytest.fixture
async def http(market: RunningMarketplace) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the marketplace."""
    limits = httpx.Limits(max_connections=64)
    async with httpx.AsyncClient(base_url=market.base_url, timeout=PATIENCE, limits=limits, trust_env=False) as client:
        yield client


@pytest.fixture
def buyer(http: httpx.AsyncClient) -> Buyer:
    """Someone who wants to be insured."""
    return Buyer(http)
