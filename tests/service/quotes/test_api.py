"""Quotes over HTTP against a real database: what buyers see, and what strangers and broken requests get."""

import asyncio
from datetime import timedelta
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from insuretech.contracts.events import (
    InsurerGaveNoOffer,
    OfferReceived,
    OfferRefused,
    ProductWithdrawn,
    QuoteCompleted,
    QuoteSubmitted,
)
from insuretech.contracts.insurers import Declined, InsurerUnavailable
from insuretech.kit.ids import new_id
from insuretech.kit.positions import HEADER
from insuretech.quotes.tables import lines, offers, quotes
from tests.service.quotes.conftest import MakeWorld
from tests.service.quotes.world import World, today_answers
from tests.unit.quotes.scripted import ScriptedInsurer
from tests.unit.quotes.specimens import offered

FAR = timedelta(days=3650)


def offer(amount: str = "5000.00", number: str = "N-1") -> ScriptedInsurer:
    """An insurer that offers at once."""
    return ScriptedInsurer(offered(amount, number, ttl=FAR))


@pytest.fixture
async def world(make_world: MakeWorld) -> World:
    """Three insurers, of which one refuses and one cannot be reached."""
    world: World = make_world(
        one=offer(),
        refusing=ScriptedInsurer(Declined(reason="Не берём такси")),
        down=ScriptedInsurer(offered(), script=[InsurerUnavailable()] * 99, takes=False),
    )
    await world.sell()
    return world


async def test_a_quote_from_answers_to_offers(world: World) -> None:
    """The first thing anyone does here would not work."""
    answer = await world.submit()
    assert answer.status_code == 201
    created = answer.json()
    assert set(created) == {"id", "access_token", "status", "expires_at"}
    assert answer.headers["location"] == f"/api/v1/quotes/{created['id']}"
    state = await world.completed(created)
    assert state["status"] == "completed"
    assert state["product"] == "osago"
    assert state["corridor"]["max"] == {"amount": "9000.00", "currency": "RUB"}
    outcomes = {line["code"]: (line["outcome"], line["reason"]) for line in state["insurers"]}
    assert outcomes["one"] == ("offered", None)
    assert outcomes["refusing"] == ("declined", "Не берём такси")
    assert outcomes["down"][0] == "unavailable"
    assert [line["code"] for line in state["insurers"]] == ["one", "refusing", "down"]
    [made] = state["offers"]
    assert made["premium"] == {"amount": "5000.00", "currency": "RUB"}
    assert (made["insurer"], made["insurer_name"], made["status"]) == ("one", "Страховая one", "active")
    assert made["claims_days"] == 7


async def test_texts_follow_the_language_asked_for(world: World) -> None:
    """An English reader would see Russian names and sentences."""
    created = (await world.submit()).json()
    await world.completed(created)
    state = await world.show(created, **{"Accept-Language": "en-GB,en;q=0.9,ru;q=0.5"})
    assert state["insurers"][0]["name"] == "Insurer one"
    assert state["insurers"][2]["reason"] == "The insurer cannot be reached at the moment."
    assert state["insured"][0] == {"label": "Plate", "value": "А123ВС77"}


async def test_events_tell_the_same_story(world: World) -> None:
    """Orders, settlement and the console would see another quote than the buyer."""
    created = (await world.submit()).json()
    state = await world.completed(created)
    [submitted] = await world.published(QuoteSubmitted)
    assert str(submitted.quote_id) == created["id"]
    [received] = await world.published(OfferReceived)
    assert (str(received.offer_id), received.insurer) == (state["offers"][0]["id"], "one")
    gave_none = {event.insurer: event.outcome for event in await world.published(InsurerGaveNoOffer)}
    assert gave_none == {"refusing": "declined", "down": "unavailable"}
    [completed] = await world.published(QuoteCompleted)
    assert completed.offers == 1
    assert await world.published(OfferRefused) == []


async def test_orders_get_the_offer_as_its_event_told_it(world: World) -> None:
    """An order placed before the event has arrived would be refused, or placed on other terms."""
    created = (await world.submit()).json()
    await world.completed(created)
    [received] = await world.published(OfferReceived)
    assert await world.quotes.offers.offer(received.offer_id) == received
    assert await world.quotes.offers.offer(new_id()) is None
    insured = await world.quotes.offers.insured(received.quote_id)
    assert insured[0].value.ru == "А123ВС77"
    assert await world.quotes.offers.insured(new_id()) == ()


@pytest.mark.parametrize(
    "header",
    [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic x"}, {"Authorization": "Bearer \u00e9"}],
    ids=["none", "wrong", "basic", "not ascii"],
)
async def test_a_quote_is_not_there_for_strangers(world: World, header: dict[str, str]) -> None:
    """Anyone who learns an id would see a stranger's plate and prices, or at least that the quote exists."""
    created = (await world.submit()).json()
    for path in (f"/api/v1/quotes/{created['id']}", f"/api/v1/quotes/{created['id']}/events"):
        raw = {name.encode(): value.encode("latin-1") for name, value in header.items()}
        answer = await world.client.get(path, headers=raw)
        unknown = await world.client.get(path.replace(created["id"], str(new_id())), headers=raw)
        assert answer.status_code == unknown.status_code == 404
        assert answer.json()["type"] == unknown.json()["type"] == "http://test/problems/not-found"


async def test_the_cookie_opens_only_the_stream(world: World) -> None:
    """Another site could read a quote through the buyer's browser."""
    created = (await world.submit()).json()
    cookie = {"Cookie": f"access_{created['id'].replace('-', '')}={created['access_token']}"}
    assert (await world.client.get(f"/api/v1/quotes/{created['id']}", headers=cookie)).status_code == 404
    async with world.stream(created, **cookie) as stream:
        assert stream.status == 200


async def test_nothing_personal_lies_in_the_database_in_the_clear(world: World) -> None:
    """A stolen dump would show who insures what."""
    created = (await world.submit(key="k1")).json()
    await world.completed(created)
    async with world.database.reading() as connection:
        for table in ("quotes", "lines", "offers", "quote_events", "outbox", "idempotency_keys"):
            statement = sa.text(f"select coalesce(string_agg(t::text, ' '), '') from quotes.{table} t")  # noqa: S608
            text = (await connection.execute(statement)).scalar_one()
            for secret in ("А123ВС77", "1990-05-05", created["access_token"]):
                assert secret not in text, f"{secret} in {table}"
                assert secret.encode().hex() not in text, f"{secret} in {table}"  # as PostgreSQL shows bytes


async def test_a_repeated_request_gets_the_first_answer_again(world: World) -> None:
    """A retry after a lost answer would start a second round with all insurers."""
    answers = today_answers()
    first, again = [await world.submit(answers, key="k1") for _ in range(2)]
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert HEADER in first.headers
    assert HEADER not in again.headers, "whoever brought it along would wait for an event that was never written"
    other = await world.submit(today_answers(plate="В321ОР77"), key="k1")
    assert other.status_code == 422
    assert other.json()["type"].endswith("/idempotency-key-reused")
    assert len(await world.rows(sa.select(quotes.c.id))) == 1


async def test_two_requests_with_one_key_at_once_make_one_quote(world: World) -> None:
    """A double click would make two quotes."""
    body = today_answers()
    both = await asyncio.gather(*(world.submit(body, key="k1") for _ in range(4)))
    assert {answer.status_code for answer in both} <= {201, 409}
    assert len({answer.json()["id"] for answer in both if answer.status_code == 201}) == 1
    assert len(await world.rows(sa.select(quotes.c.id))) == 1


BROKEN: list[tuple[bytes, set[int]]] = [
    (b"", {400}),
    (b"{", {400}),
    (b"[]", {422}),
    (b'{"product":"osago"}', {422}),
    (b'{"product":"osago","answers":[]}', {422}),
    (b'{"product":5,"answers":{}}', {422}),
    (b'{"product":"osago","answers":{}}', {422}),
    (b'{"product":"osago","answers":{},"more":1}', {422}),
    (b'{"product":"os\\u0000ago","answers":{}}', {422}),
    (b'{"product":"nope","answers":{}}', {422}),
    (b'{"product":"osago","answers":{"plate":"\\u0000","drivers":[],"use":{}}}', {422}),
    (b'{"product":"osago","answers":{"use":{"starts_on":"2026-02-30","months":1e308}}}', {422}),
    (b'{"product":"osago","answers":{"use":{"months":' + b"9" * 5000 + b"}}}", {422}),
    (b'{"product":"osago","answers":{"x":' + b"[" * 5000 + b"]" * 5000 + b"}}", {400}),
    (b'{"product":"osago","answers":{"x":' + b'{"a":' * 600 + b"1" + b"}" * 600 + b"}}", {400, 422}),
    (b'\xff\xfe{"product":"osago"}', {400}),
    (b'{"product":"osago","answers":{"plate":"\\ud800"}}', {400}),
]


async def test_broken_bodies_get_a_problem(world: World) -> None:
    """A hostile or careless client would get an error of ours instead of being told what is wrong."""
    for body, statuses in BROKEN:
        answer = await world.client.post("/api/v1/quotes", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code in statuses, (body[:80], answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert problem["trace_id"]
        assert (answer.status_code == 422) is bool(problem.get("errors")), body[:80]
    assert await world.rows(sa.select(quotes.c.id)) == []


async def test_every_wrong_answer_is_named_at_once(world: World) -> None:
    """A person would mend one field after another."""
    answer = await world.submit({"drivers": [{"birth_date": "x"}], "use": {"months": 13}})
    assert {error["pointer"] for error in answer.json()["errors"]} == {
        "/answers/plate",
        "/answers/drivers/0/birth_date",
        "/answers/drivers/0/licence_since",
        "/answers/use/starts_on",
        "/answers/use/months",
    }


async def test_callbacks_over_http(world: World) -> None:
    """Insurers that call back would be told that they are wrong, or strangers that they are right."""
    created = (await world.submit()).json()
    await world.completed(created)
    [row] = await world.rows(sa.select(lines.c.id).where(lines.c.insurer == "one"))
    url, body = "/api/v1/callbacks/insurers/one", str(row.id).encode()
    for _ in range(2):
        assert (await world.client.post(url, content=body, headers={"X-Signature": "genuine"})).status_code == 204
    forged = await world.client.post(url, content=body, headers={"X-Signature": "x"})
    assert (forged.status_code, forged.json()["type"]) == (400, "http://test/problems/callback-not-genuine")
    assert (await world.client.post(url, content=body)).status_code == 400
    nobody = await world.client.post("/api/v1/callbacks/insurers/nobody", content=body)
    assert nobody.status_code == 404


async def test_an_offer_past_its_time_is_shown_as_expired(make_world: MakeWorld) -> None:
    """A buyer would choose an offer that the insurer no longer stands by."""
    soon = timedelta(seconds=1)
    insurer = ScriptedInsurer(lambda: offered(ttl=FAR))
    world: World = make_world(one=insurer)
    insurer.answer = lambda: msgspec.structs.replace(offered(), expires_at=world.platform.clock.now() + soon)
    await world.sell()
    created = (await world.submit()).json()
    state = await world.completed(created)
    assert state["offers"][0]["status"] == "active"
    await asyncio.sleep(1.1)
    assert (await world.show(created))["offers"][0]["status"] == "expired"


async def test_a_state_takes_a_fixed_number_of_statements(make_world: MakeWorld) -> None:
    """A quote with many insurers would get slower with each of them."""
    counts = []
    for names in (["a"], [f"i{n}" for n in range(12)]):
        world: World = make_world(**{name: offer() for name in names})
        await world.sell()
        created = (await world.submit()).json()
        await world.completed(created)
        counts.append(await _statements(world, created))
    assert counts[0] == counts[1] == 2


async def _statements(world: World, created: dict[str, str]) -> int:
    seen: list[str] = []

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        if "quotes." in statement and statement.lstrip().lower().startswith("select"):
            seen.append(statement)

    engine = world.database.engine.sync_engine
    sa.event.listen(engine, "before_cursor_execute", note)
    try:
        await world.show(created)
    finally:
        sa.event.remove(engine, "before_cursor_execute", note)
    return len([statement for statement in seen if "claimed_by" not in statement])


async def test_the_description_of_the_api_names_every_answer(world: World) -> None:
    """A partner who writes a client from the OpenAPI document would meet answers it does not know."""
    paths = world.app.openapi_schema.to_schema()["paths"]
    submit = paths["/api/v1/quotes"]["post"]["responses"]
    assert {"201", "400", "409", "413", "415", "422"} <= set(submit)
    stream = paths["/api/v1/quotes/{quote_id}/events"]["get"]
    assert set(stream["responses"]["200"]["content"]) == {"text/event-stream"}
    assert {"204", "404"} <= set(stream["responses"])
    assert "204" in paths["/api/v1/callbacks/insurers/{insurer}"]["post"]["responses"]


async def test_a_withdrawn_product_is_not_quoted_and_old_quotes_stand(world: World) -> None:
    """A product taken off the shelf would still be sold, or quotes already given vanish."""
    created = (await world.submit()).json()
    await world.hear(ProductWithdrawn(code="osago"))
    assert (await world.submit()).status_code == 422
    assert (await world.completed(created))["insured"][0]["value"] == "А123ВС77"
    await world.sell(version="2")
    assert (await world.submit()).status_code == 201
    assert (await world.show(created))["insured"]
    assert len(await world.rows(sa.select(offers.c.id))) >= 1
