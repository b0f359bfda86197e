"""Two replicas of everything on one database: what one has begun, the other goes on with."""

import asyncio
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from sqlalchemy.engine import URL, make_url

from insuretech.compose.database import create_database
from insuretech.kit.embedded_postgres import EmbeddedPostgres
from tests.system.answers import osago, travel
from tests.system.apart import Replica, Town, town
from tests.system.buyer import PATIENCE, Buyer, Json, wanted
from tests.system.running import COMMAND
from tests.system.sandbox import Sandbox

pytestmark = pytest.mark.single

COUNT = {"catalogue": 2, "quotes": 2, "orders": 2, "documents": 2, "sandbox": 2, "storefront": 1}
CALLING_BACK = "zvonok"
"""An insurer whose answers come as callbacks."""


@pytest.fixture(scope="module")
def admin(postgres: EmbeddedPostgres, migrated: str) -> URL:
    """A migrated database for all tests of this file; it goes with the server."""
    url = make_url(postgres.dsn(database="apart"))
    asyncio.run(create_database(url, template=migrated))
    return url


@pytest.fixture(scope="module")
def running(admin: URL, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """The services, two of most."""
    with town(admin, tmp_path_factory.mktemp("apart"), COUNT) as running:
        yield running


@pytest.fixture
async def at(running: Town) -> AsyncIterator[dict[int, Buyer]]:
    """The same buyer's way to the first, to the second, and (0) to any replica."""
    clients = {
        number: httpx.AsyncClient(
            base_url=running.base_url,
            timeout=PATIENCE,
            trust_env=False,
            headers={"X-Replica": str(number)} if number else {},
        )
        for number in (0, 1, 2)
    }
    await Sandbox(clients[0]).calm()
    yield {number: Buyer(client) for number, client in clients.items()}
    running.balancer.pinned.clear()
    for client in clients.values():
        await client.aclose()


@pytest.fixture
def sandbox(at: dict[int, Buyer]) -> Sandbox:
    """The sandbox's controls, at any replica of it."""
    return Sandbox(at[0].http)


# ---------------------------------------------------------------- quotes


async def test_a_quote_of_one_replica_is_followed_at_another(at: dict[int, Buyer]) -> None:
    """Otherwise a browser that the balancer led elsewhere would wait for offers for ever."""
    quote = await at[1].ask("osago", osago())
    events = await at[2].events(quote)
    assert events[-1].name == "completed"
    assert [event.id for event in events] == [str(number) for number in range(1, len(events) + 1)]
    assert len((await at[1].quote(quote))["insurers"]) == len(events) - 1


async def test_a_stream_is_resumed_at_another_replica(at: dict[int, Buyer], sandbox: Sandbox) -> None:
    """Otherwise a replica that goes takes with it the offers its browsers have not seen."""
    await sandbox.behave("tihohod", delay_min_ms=2500, delay_max_ms=2500)
    quote = await at[1].ask("osago", osago())
    async with at[1].stream(quote) as stream:
        first = await anext(stream)
    rest = await at[2].events(quote, after=first.id)
    assert [int(event.id) for event in rest] == list(range(2, len(rest) + 2))
    assert rest[-1].name == "completed"


async def test_a_callback_that_comes_to_another_replica_is_heard(
    running: Town, at: dict[int, Buyer], sandbox: Sandbox
) -> None:
    """Otherwise two of three callbacks are lost, and their insurers answer half a minute late."""
    running.balancer.pinned["/api/v1/callbacks/"] = "2"
    await sandbox.behave(CALLING_BACK, outcome="pending", pending_ms=1500)
    quote = await at[1].ask("osago", osago())
    offer = await asyncio.wait_for(at[1].offer_of(quote, CALLING_BACK), 25)
    assert offer["premium"]["currency"] == "RUB"


# ---------------------------------------------------------------- orders


async def test_an_order_of_one_replica_is_paid_at_another(at: dict[int, Buyer], sandbox: Sandbox) -> None:
    """Otherwise a buyer whose next click is led elsewhere cannot pay."""
    quote = await at[1].ask("travel", travel())
    order = await at[1].order(quote, await at[2].offer_of(quote, "bystra"))
    payment = wanted(200, await at[2].ask_payment(order))
    again = wanted(200, await at[1].ask_payment(order))
    assert payment["payment_id"] == again["payment_id"]
    await at[1].press(payment, "pay")
    issued = await at[2].reaches(order, "issued")
    document = await at[0].until(lambda: at[1].state(order), lambda state: bool(state["policy"]["document_url"]))
    books = await sandbox.books()
    assert [policy["number"] for policy in books.policies_of(order.id)] == [issued["policy"]["number"]]
    assert str(books.captured(order.id)) == issued["premium"]["amount"]
    paper = await at[2].http.get(document["policy"]["document_url"], headers=order.headers, follow_redirects=True)
    assert paper.content.startswith(b"%PDF")


async def test_one_key_at_two_replicas_at_once_gives_one_order(at: dict[int, Buyer]) -> None:
    """Otherwise an impatient second click, led elsewhere, buys twice."""
    quote = await at[1].ask("travel", travel())
    offer = await at[1].offer_of(quote, "bystra")
    await at[1].consents_of(quote)
    await at[2].consents_of(quote)
    key = str(uuid4())
    answers = await asyncio.gather(*(at[1 + turn % 2].place(quote, offer, key=key) for turn in range(8)))
    taken = [answer for answer in answers if answer.status_code == 201]
    assert {answer.json()["id"] for answer in taken} == {taken[0].json()["id"]}
    assert {answer.status_code for answer in answers} <= {201, 409}
    orders = wanted(200, await at[0].http.get("/api/v1/orders", headers=quote.headers))["items"]
    assert [order["id"] for order in orders] == [taken[0].json()["id"]]


async def test_an_order_in_the_hands_of_a_killed_replica_is_taken_up_by_another(
    running: Town, at: dict[int, Buyer], sandbox: Sandbox
) -> None:
    """Otherwise orders wait until somebody brings the very process back that had them."""
    await sandbox.behave("bystra")
    quote = await at[0].ask("travel", travel())
    offer = await at[0].offer_of(quote, "bystra")
    await sandbox.behave("bystra", delay_min_ms=2000, delay_max_ms=2000)
    first = running.replicas["orders"][0]
    order = await at[1].order(quote, offer)
    await asyncio.sleep(0.5)
    first.kill()
    try:
        await sandbox.behave("bystra")
        await at[2].reaches(order, "awaiting_payment")
        await at[2].pay(order)
        await at[2].reaches(order, "issued")
    finally:
        first.start()
        running.until_ready(first)
    assert len((await sandbox.books()).policies_of(order.id)) == 1


# ---------------------------------------------------------------- commands beside running replicas


async def test_a_product_withdrawn_by_a_command_is_gone_at_every_replica(running: Town, at: dict[int, Buyer]) -> None:
    """Otherwise some buyers go on being shown what is not sold any more."""

    async def seen(buyer: Buyer) -> Json:
        return {"codes": [item["code"] for item in wanted(200, await buyer.http.get("/api/v1/products"))["items"]]}

    _command(running, "products", "withdraw", "mortgage")
    for buyer in (at[1], at[2]):
        await buyer.until(partial(seen, buyer), lambda state: "mortgage" not in state["codes"])


async def test_keys_are_changed_while_replicas_work(running: Town, at: dict[int, Buyer]) -> None:
    """Otherwise changing a key, which should be routine, makes data unreadable to replicas that have the old one."""
    quote = await at[1].ask("travel", travel())
    await at[1].completed(quote)
    _command(running, "keys", "rotate")
    order = await at[2].order(quote, await at[2].offer_of(quote, "bystra"))
    await at[1].reaches(order, "awaiting_payment")
    await at[1].pay(order)
    await at[2].reaches(order, "issued")


def _command(running: Town, *words: str) -> None:
    environment = running.replicas["catalogue"][0].environment
    done = subprocess.run([str(COMMAND), *words], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# ---------------------------------------------------------------- life of a process


async def test_no_request_fails_while_replicas_are_stopped_one_by_one(running: Town, at: dict[int, Buyer]) -> None:
    """Otherwise every deploy costs some buyers their purchase."""
    quote = await at[0].ask("travel", travel())
    outcomes: Counter[str] = Counter()
    going = asyncio.Event()
    going.set()

    async def insist(name: str, ask: Callable[[], Awaitable[httpx.Response]], pause: float) -> None:
        while going.is_set():
            try:
                answer = await ask()
                outcomes[f"{name} {answer.status_code}"] += 1
            except httpx.HTTPError as error:
                outcomes[f"{name} {type(error).__name__}"] += 1
            await asyncio.sleep(pause)

    http, body = at[0].http, {"product": "travel", "answers": travel()}
    people = [
        asyncio.create_task(insist("page", lambda: http.get("/api/v1/products/travel"), 0.02)),
        asyncio.create_task(insist("page", lambda: http.get("/api/v1/products"), 0.02)),
        asyncio.create_task(
            insist("quote", lambda: http.get(f"/api/v1/quotes/{quote.id}", headers=quote.headers), 0.02)
        ),
        asyncio.create_task(insist("ask", lambda: http.post("/api/v1/quotes", json=body), 0.3)),
        asyncio.create_task(insist("orders", lambda: http.get("/api/v1/orders", headers=quote.headers), 0.05)),
    ]
    codes = {}
    for service in ("catalogue", "quotes", "orders"):
        codes[service] = await asyncio.to_thread(_stopped, running.replicas[service][0])
    going.clear()
    await asyncio.gather(*people)
    for service in ("catalogue", "quotes", "orders"):
        running.replicas[service][0].start()
    await asyncio.to_thread(running.until_ready)
    assert codes == {"catalogue": 0, "quotes": 0, "orders": 0}
    assert set(outcomes) == {"page 200", "quote 200", "ask 201", "orders 200"}, outcomes
    assert outcomes["page 200"] > 50


def _stopped(replica: Replica) -> int:
    replica.ask_to_stop()
    return replica.ended(60)


async def test_a_replica_started_before_its_database_becomes_ready_by_itself(
    running: Town, at: dict[int, Buyer], postgres: EmbeddedPostgres, migrated: str, tmp_path: Path
) -> None:
    """Otherwise the order in which machines come back after a power cut decides whether we do."""
    url = make_url(postgres.dsn(database="late"))
    environment = {
        **running.replicas["catalogue"][0].environment,
        "DATABASE_URL": url.set(drivername="postgresql").render_as_string(hide_password=False),
    }
    late = Replica("catalogue", 9, environment, tmp_path / "late.log")
    late.start()
    try:
        await at[0].until(lambda: _said(late, "startup"), lambda said: 'database "late"' in str(said["failing"]))
        assert (await _answered(late, "live", 200)).json()["status"] == "live"
        page = await at[0].http.get(f"{late.address}/api/v1/products")
        assert (page.status_code, page.headers["retry-after"]) == (503, "1")
        await create_database(url, template=migrated)
        await _answered(late, "startup", 200)
        await _answered(late, "ready", 200)
    finally:
        late.kill()


async def _said(replica: Replica, probe: str) -> Json:
    """What a replica tells of itself, if anything yet."""
    answer = await asyncio.to_thread(replica.probe, probe)
    return {"failing": []} if answer is None else answer.json()


async def _answered(replica: Replica, probe: str, status: int) -> httpx.Response:
    """The answer to a probe once it has this status."""
    for _ in count():
        answer = await asyncio.to_thread(replica.probe, probe)
        if answer is not None and answer.status_code == status:
            return answer
        assert replica.process is not None
        assert replica.process.poll() is None, replica.log.read_text()
        await asyncio.sleep(0.1)
    raise AssertionError
