"""Whatever is sent, the answer is a 4xx with a problem document, and nothing is half-written."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from datetime import date, timedelta
from uuid import uuid4

import httpx
import pytest

from tests.system import hostile
from tests.system.answers import ANSWERS
from tests.system.buyer import CUSTOMER, PATIENCE, Buyer, Json, keyed, wanted
from tests.system.running import RunningMarketplace, strain

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
SLOWEST_CLIENTS_PATIENCE = 8.0  # seconds; the server's own limit is set to one


@pytest.fixture
async def schema(http: httpx.AsyncClient) -> Json:
    """The API's own description."""
    return wanted(200, await http.get("/schema/openapi.json"))


def operations(schema: Json, *methods: str) -> Iterator[tuple[str, str]]:
    """Every described operation with a made-up id in its address."""
    for path, operation in schema["paths"].items():
        for method in operation:
            if method.upper() in methods:
                yield method.upper(), filled(path)


def operations_that_read(schema: Json) -> Iterator[tuple[str, str]]:
    """Operations with a JSON body. Others answer without reading, or refuse a stranger first (the desk of the staff),
    and hang up on whoever sends without end.
    """
    for path, operation in schema["paths"].items():
        for method, described in operation.items():
            if "application/json" in described.get("requestBody", {}).get("content", {}):
                yield method.upper(), filled(path)


def filled(path: str) -> str:
    """The address with a made-up id in place of each parameter."""
    parts = [str(uuid4()) if part.startswith("{") else part for part in path.split("/")]
    return "/".join(parts)


def report(findings: list[str]) -> None:
    """Fail with everything found, not only the first."""
    assert not findings, f"{len(findings)} findings:\n" + "\n".join(findings[:40])


async def test_rubbish_instead_of_a_body_is_told_so_everywhere(http: httpx.AsyncClient, schema: Json) -> None:
    """Otherwise a broken client gets a stack trace, and an attacker a way to make us work or fall over."""
    found = []
    for method, path in operations(schema, "POST", "PUT", "PATCH"):
        for name, body in hostile.BODIES.items():
            headers = {"Content-Type": "application/json", **keyed({"Authorization": "Bearer x"}, None)}
            response = await http.request(method, path, content=body, headers=headers)
            if path.startswith("/sandbox") and response.status_code < 300:
                continue  # there an empty body may mean: everything as it is
            found += [f"{method} {path} with {name}: {fault}" for fault in hostile.faults_of(response)]
    report(found)


async def test_other_content_types_are_refused(http: httpx.AsyncClient, schema: Json) -> None:
    """Otherwise a form on a foreign page can place an order in the buyer's name."""
    found = []
    for method, path in operations(schema, "POST", "PUT", "PATCH"):
        if path.startswith(("/sandbox", "/callbacks")):
            continue
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "x", ""):
            headers = {"Content-Type": kind, **keyed({"Authorization": "Bearer x"}, None)}
            response = await http.request(method, path, content=b'{"product": "osago"}', headers=headers)
            found += [f"{method} {path} as {kind!r}: {fault}" for fault in hostile.faults_of(response)]
    report(found)


async def test_ten_megabytes_are_too_large(http: httpx.AsyncClient, schema: Json) -> None:
    """Otherwise a few requests fill the memory of the machine."""
    found = []

    async def trickle() -> AsyncIterator[bytes]:
        for _ in range(hostile.TOO_LARGE // 65536):
            yield b" " * 65536

    for method, path in operations_that_read(schema):
        headers = {"Content-Type": "application/json", **keyed({"Authorization": "Bearer x"}, None)}
        for name, content in (("told", b" " * hostile.TOO_LARGE), ("untold", trickle())):
            try:
                response = await http.request(method, path, content=content, headers=headers)
            except httpx.TransportError as error:
                found.append(f"{method} {path}, length {name}: {error!r}")
                continue
            faults = hostile.faults_of(response) or ([] if response.status_code == 413 else [response.text])
            found += [f"{method} {path}, length {name}: {fault}" for fault in faults]
    report(found)


async def test_a_body_nobody_reads_does_not_cost_the_answer(http: httpx.AsyncClient, schema: Json) -> None:
    """Otherwise someone who uploads a file after their time at the desk ran out sees a broken connection."""
    found = []

    async def steadily() -> AsyncIterator[bytes]:
        for _ in range(16):
            await asyncio.sleep(0.001)
            yield b" " * 65536

    for method, path in operations(schema, "POST", "PUT"):
        headers = {"Content-Type": "application/octet-stream", **keyed({"Authorization": "Bearer x"}, None)}
        try:
            response = await http.request(method, path, content=steadily(), headers=headers)
        except httpx.TransportError as error:
            found.append(f"{method} {path}: {error!r}")
            continue
        found += [f"{method} {path}: {fault}" for fault in hostile.faults_of(response)]
    report(found)


async def test_a_body_that_does_not_come_ends_with_408(market: RunningMarketplace, schema: Json) -> None:
    """Otherwise a handful of slow clients hold all connections for ever."""

    async def slowly(method: str, path: str) -> str | None:
        reader, writer = await asyncio.open_connection("127.0.0.1", market.port)
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n"
        writer.write(f"{head}Idempotency-Key: {uuid4()}\r\n\r\n{{".encode())
        try:
            answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), SLOWEST_CLIENTS_PATIENCE * strain())
        except (TimeoutError, asyncio.IncompleteReadError) as error:
            return f"{method} {path}: {type(error).__name__}"
        finally:
            writer.close()
        good = answer.startswith(b"HTTP/1.1 408 ") and b"application/problem+json" in answer
        return None if good else f"{method} {path}: {answer!r}"

    outcomes = await asyncio.gather(*(slowly(*at) for at in operations_that_read(schema)))
    report([outcome for outcome in outcomes if outcome])


async def test_methods_that_an_address_does_not_take(http: httpx.AsyncClient, schema: Json) -> None:
    """Otherwise a client cannot tell a wrong method from a fault of ours."""
    found = []
    for path, described in schema["paths"].items():
        for method in METHODS:
            if method.lower() in described:
                continue
            response = await http.request(method, filled(path))
            faults = hostile.faults_of(response) or ([] if response.status_code == 405 else [response.text])
            if not faults and "allow" not in response.headers:
                faults = ["no Allow header"]
            found += [f"{method} {path}: {fault}" for fault in faults]
    report(found)


async def test_odd_addresses_and_headers(http: httpx.AsyncClient, schema: Json) -> None:
    """Otherwise a mistyped link breaks instead of saying that nothing is there."""
    odd = ("%00", "%ff%fe", "..%2f..%2fetc%2fpasswd", "1", "'", "%F0%9F%92%A5", "x" * 2000, "%E2%80%AE", "null", "-1")
    found = []
    for path, described in schema["paths"].items():
        if "{" not in path:
            continue
        for value in odd:
            address = "/".join(value if part.startswith("{") else part for part in path.split("/"))
            for method in described:
                content = b"{}" if method in {"post", "put", "patch"} else None
                headers = {"Content-Type": "application/json"} if content else {}
                response = await http.request(
                    method.upper(),
                    address,
                    content=content,
                    headers=keyed({"Authorization": "Bearer x"} | headers, None),
                )
                found += [f"{method} {address[:80]}: {fault}" for fault in hostile.faults_of(response)]
    report(found)


@pytest.mark.parametrize(
    "token", [b"", b"Bearer", b"Basic eDp5", b"Bearer \xff\xfe", b"Bearer " + b"x" * 5000, b"\xd0\x96"]
)
async def test_odd_tokens_open_nothing(http: httpx.AsyncClient, buyer: Buyer, token: bytes) -> None:
    """Otherwise a malformed header breaks the server or, worse, is taken for the owner's."""
    quote = await buyer.ask("osago", ANSWERS["osago"]())
    response = await http.get(f"/api/v1/quotes/{quote.id}", headers={b"Authorization": token})

    assert response.status_code in {400, 404, 431}
    if response.status_code != 431:
        report(hostile.problem_faults(response))


@pytest.mark.parametrize("key", [b"", b"x" * 256, b"x" * 5000, b"\xff\xfe", b'""', "ключ".encode()])
async def test_odd_idempotency_keys_are_refused(http: httpx.AsyncClient, key: bytes) -> None:
    """Otherwise an order is placed under a key that the client cannot repeat."""
    headers = {b"Idempotency-Key": key, b"Authorization": b"Bearer x"}
    response = await http.post("/api/v1/orders", json={}, headers=headers)

    report(hostile.faults_of(response))


async def test_every_field_with_something_else_in_it(market: RunningMarketplace, buyer: Buyer) -> None:
    """Otherwise one odd value in one field, such as 30 February or a NUL, is a fault of ours instead of theirs."""
    found, accepted = [], []
    quote = await buyer.ask("osago", ANSWERS["osago"]())
    state = await buyer.completed(quote)
    order_body = {
        "offer_id": state["offers"][0]["id"],
        "customer": CUSTOMER,
        "consents": await buyer.consents_of(quote),
    }
    tomorrow = (date.today() + timedelta(days=30)).isoformat()  # noqa: DTZ011 - any day soon will do
    cases: dict[str, Json] = {
        "/api/v1/products/osago/corridor": {"concluded_on": tomorrow, "answers": ANSWERS["osago"]()},
        "/api/v1/quotes": {"product": "travel", "answers": ANSWERS["travel"]()},
        "/api/v1/orders": order_body,
    }
    before = await row_counts(market)
    for path, good in cases.items():
        for name, body in hostile.mutants(good):
            content = json.dumps(body).encode()
            headers = {"Content-Type": "application/json", **keyed(quote.headers, None)}
            response = await buyer.http.post(path, content=content, headers=headers)
            if response.status_code < 300:
                accepted.append(f"{path} {name}")
                never = name.split(" at ")[0] in hostile.NEVER_RIGHT or name.startswith("unknown")
                found += [f"{path} took {name}"] if never else []
            else:
                found += [f"{path} with {name}: {fault}" for fault in hostile.faults_of(response)]
    report(found)
    after = await row_counts(market)
    placed = sum(line.startswith("/api/v1/orders") for line in accepted)
    assert after["orders.orders"] - before["orders.orders"] == placed
    asked = sum(line.startswith("/api/v1/quotes") for line in accepted)
    assert after["quotes.quotes"] - before["quotes.quotes"] == asked


async def test_refused_requests_leave_no_trace(
    market: RunningMarketplace, http: httpx.AsyncClient, schema: Json
) -> None:
    """Otherwise half an order, or a key that blocks the next try, stays behind a refused request."""
    await until_nothing_is_under_way(market)
    before = await row_counts(market)
    for method, path in operations(schema, "POST"):
        if path.startswith("/api/"):
            for body in (b"{", b"{}", b'{"product": "no such", "answers": {}}', b'{"offer_id": "' + b"0" * 32 + b'"}'):
                headers = {"Content-Type": "application/json", **keyed({"Authorization": "Bearer x"}, None)}
                response = await http.request(method, path, content=body, headers=headers)
                report(hostile.faults_of(response))
    assert await row_counts(market) == before


async def until_nothing_is_under_way(market: RunningMarketplace) -> None:
    """Wait for what earlier requests set going: insurers still asked, events still to be handed over, orders due."""
    async with asyncio.timeout(PATIENCE):
        while await waiting(market):  # noqa: ASYNC110 - what is waited for happens in another process
            await asyncio.sleep(0.1)


async def waiting(market: RunningMarketplace) -> int:
    """How many lines, events and orders still move by themselves within the next seconds."""
    ((number,),) = await market.rows(
        """select (select count(*) from quotes.lines where status in ('queued', 'sent', 'pending'))
                + (select count(*) from quotes.quotes where status = 'collecting')
                + (select count(*) from quotes.outbox where published_at is null)
                + (select count(*) from orders.outbox where published_at is null)
                + (select count(*) from documents.outbox where published_at is null)
                + (select count(*) from orders.orders where next_action_at < now() + interval '2 s')"""
    )
    return int(number)


async def row_counts(market: RunningMarketplace) -> dict[str, int]:
    """How many rows every table of ours has."""
    tables = await market.rows(
        """select table_schema || '.' || table_name from information_schema.tables
           where table_schema in ('catalogue', 'quotes', 'orders', 'documents') and table_type = 'BASE TABLE'"""
    )
    counts = {}
    for (table,) in tables:
        ((counts[table],),) = await market.rows(f"select count(*) from {table}")  # noqa: S608 - names from the database
    return counts
