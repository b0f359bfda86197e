"""Several services in one process, and two of it: as where machines are few."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from sqlalchemy.engine import make_url

from insuretech.compose.database import create_database
from insuretech.compose.services import BUILDERS
from insuretech.kit.embedded_postgres import EmbeddedPostgres
from tests.system.answers import osago
from tests.system.apart import Town, town
from tests.system.buyer import PATIENCE, Buyer
from tests.system.sandbox import Sandbox

pytestmark = pytest.mark.single

TOGETHER = " ".join(name for name in BUILDERS if name != "sandbox")


@pytest.fixture(scope="module")
def running(postgres: EmbeddedPostgres, migrated: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """Two processes of all services of ours, each of which was told the address of each service alone."""
    folder = tmp_path_factory.mktemp("together")
    url = make_url(postgres.dsn(database="together"))
    asyncio.run(create_database(url, template=migrated))
    addresses = folder / "addresses"
    addresses.mkdir()
    for name in BUILDERS:
        own = url.set(drivername="postgresql", username=name)
        (addresses / name).write_text(own.render_as_string(hide_password=False), encoding="ascii")
    with town(url, folder, {TOGETHER: 2, "sandbox": 1}, database_urls=str(addresses)) as running:
        yield running


@pytest.fixture
async def at(running: Town) -> AsyncIterator[dict[int, Buyer]]:
    """The same buyer's way to the first and to the second process."""
    clients = {
        number: httpx.AsyncClient(
            base_url=running.base_url, timeout=PATIENCE, trust_env=False, headers={"X-Replica": str(number)}
        )
        for number in (1, 2)
    }
    await Sandbox(clients[1]).calm()
    yield {number: Buyer(client) for number, client in clients.items()}
    for client in clients.values():
        await client.aclose()


async def test_a_policy_is_bought_through_processes_that_hold_everything(at: dict[int, Buyer]) -> None:
    """Otherwise the smallest place that has two sites could not sell."""
    quote = await at[1].ask("osago", osago())
    await at[2].completed(quote)
    order = await at[1].order(quote, await at[2].offer_of(quote, "bystra"))
    await at[2].reaches(order, "awaiting_payment")
    await at[1].pay(order)
    await at[2].reaches(order, "issued")


async def test_each_address_has_the_pages_of_its_service(at: dict[int, Buyer]) -> None:
    """Otherwise staff who mistype an address would be sent shopping, and programs would be handed a page."""
    pages = {"Accept": "text/html", "Accept-Language": "en"}
    site = await at[1].http.get("/nothing/here", headers=pages)
    staff = await at[1].http.get("/staff/nothing/here", headers=pages)
    program = await at[1].http.get("/api/v1/nothing")
    assert {site.status_code, program.status_code} == {404}
    assert "text/html" in site.headers["content-type"]
    assert "data-toasts" in site.text
    assert staff.text != site.text
    assert program.headers["content-type"].startswith("application/problem+json")


def test_a_process_asks_no_more_of_the_database_than_its_services_may(running: Town) -> None:
    """Otherwise sharing a process would share a database role, and with it everybody's data."""
    for replica in running.replicas[TOGETHER]:
        ready = replica.probe("ready")
        assert ready is not None
        assert ready.json()["status"] == "ready"
        numbers = httpx.get(f"{replica.address}/metrics", trust_env=False).text
        used = {name for name in BUILDERS if f'insuretech_database_connections_limit{{service="{name}"}}' in numbers}
        assert used == set(BUILDERS) - {"sandbox", "storefront"}
