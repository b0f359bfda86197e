"""The API of orders: who may see what, keys, faults named all at once, and hostile input."""

import asyncio
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
import sqlalchemy as sa

from insuretech.contracts.events import DocumentReady
from insuretech.kit.ids import buyer_of, new_id
from insuretech.orders.tables import policyholders
from tests.service.orders.world import CONSENTS, CUSTOMER, PREMIUM, TOKEN, World, product

ORDERS = "/api/v1/orders"


def slug(answer: Any) -> str:
    """Which problem it is."""
    return str(answer.json()["type"].rsplit("/", 1)[1])


def pointers(answer: Any) -> list[str]:
    """What the problem points at, in order."""
    return [error["pointer"] for error in answer.json()["errors"]]


# ---------------------------------------------------------------- placing


async def test_an_order_shows_what_was_ordered(world: World) -> None:
    """The page after ordering would have nothing to show."""
    offer = await world.offered()
    answer = await world.post(ORDERS, world.body(offer))
    assert answer.status_code == 201
    order = answer.json()
    assert order["premium"] == {"amount": "8697.22", "currency": "RUB"}
    assert order["insurer"] == {"code": "north", "name": {"ru": "Северный щит", "en": "Northern Shield"}}
    assert (order["offer_id"], order["quote_id"]) == (str(offer.offer_id), str(offer.quote_id))
    assert (order["payment"], order["policy"], order["status"]) == (None, None, "created")
    assert order["explanation"]["text"]["ru"].startswith("Страховщик подтверждает цену")


async def test_an_offer_whose_event_is_still_on_its_way_can_be_ordered(world: World) -> None:
    """A quick buyer would be told that the offer on the screen does not exist."""
    offer = world.offer()
    world.offers.offers[offer.offer_id] = offer
    assert (await world.post(ORDERS, world.body(offer))).status_code == 201
    assert await world.hear(offer)
    foreign = world.offer(owner=buyer_of("somebody else's"))
    world.offers.offers[foreign.offer_id] = foreign
    assert (await world.post(ORDERS, world.body(foreign))).status_code == 404


async def test_the_same_key_gives_the_same_order(world: World) -> None:
    """A repeated click or a retry after a lost answer would order twice."""
    body, key = world.body(await world.offered()), str(new_id())
    first = await world.post(ORDERS, body, key=key)
    again = await world.post(ORDERS, body, key=key)
    assert (again.status_code, again.content) == (201, first.content)
    other = await world.post(ORDERS, {**body, "consents": []}, key=key)
    assert (other.status_code, slug(other)) == (422, "idempotency-key-reused")
    missing = await world.post(ORDERS, body, key=None)
    assert (missing.status_code, slug(missing)) == (400, "idempotency-key-missing")
    assert await world.scalar("select count(*) from orders.orders") == 1


async def test_many_clicks_at_once_make_one_order(world: World) -> None:
    """A race between two requests would make two orders for one offer."""
    body = world.body(await world.offered())
    key = str(new_id())
    same = await asyncio.gather(*(world.post(ORDERS, body, key=key) for _ in range(4)))
    assert {answer.status_code for answer in same} <= {201, 409}
    assert len({answer.json()["id"] for answer in same if answer.status_code == 201}) == 1
    others = await asyncio.gather(*(world.post(ORDERS, body) for _ in range(4)))
    assert {(answer.status_code, slug(answer)) for answer in others} == {(409, "offer-taken")}
    order_id = next(answer.json()["id"] for answer in same if answer.status_code == 201)
    assert {answer.headers["location"] for answer in others} == {f"/api/v1/orders/{order_id}"}
    assert await world.scalar("select count(*) from orders.orders") == 1


async def test_offers_that_cannot_be_ordered(world: World) -> None:
    """A buyer would order what no insurer stands by, or see whether somebody else's offer exists."""
    expired = await world.post(ORDERS, world.body(await world.offered(hours=-0.1)))
    assert (expired.status_code, slug(expired)) == (409, "offer-expired")
    foreign = await world.post(ORDERS, world.body(await world.offered(owner=buyer_of("another"))))
    unknown = await world.post(ORDERS, world.body(world.offer()))
    nobody = await world.post(ORDERS, world.body(await world.offered()), token=None)
    assert {(answer.status_code, slug(answer)) for answer in (foreign, unknown, nobody)} == {(404, "not-found")}
    early = await world.post(ORDERS, world.body(await world.offered(code="travel")))
    assert (early.status_code, slug(early)) == (503, "product-not-known-yet")


async def test_consents_are_checked_against_the_texts_in_force(world: World) -> None:
    """A person would be bound to a text they were never shown (152-FZ)."""
    offer = await world.offered()
    given = [{"code": "personal-data", "version": "2020-01"}, {"code": "spam", "version": "1"}, CONSENTS[0]]
    wrong = await world.post(ORDERS, world.body(offer, consents=given))
    assert (wrong.status_code, slug(wrong)) == (422, "consents-not-given")
    assert pointers(wrong) == ["/consents/0/version", "/consents/1/code", "/consents/2", "/consents"]
    assert wrong.json()["errors"][0]["params"] == {"version": "2026-09"}
    world.clock.advance(timedelta(days=0.5))
    await world.publish_product(product(version="2", consents_version="2026-11"))
    old = await world.post(ORDERS, world.body(offer))
    assert pointers(old) == ["/consents/0/version"]
    fresh = [{"code": "personal-data", "version": "2026-11"}, CONSENTS[1], {"code": "news", "version": "1"}]
    assert (await world.post(ORDERS, world.body(offer, consents=fresh))).status_code == 201


async def test_everything_wrong_with_the_policyholder_is_named_at_once(world: World) -> None:
    """A person would mend one field after the other."""
    customer = {
        **CUSTOMER,
        "last_name": "R2-D2",
        "birth_date": "2015-01-01",
        "email": "anna@example",
        "phone": "+44 20 7946 0000",
        "document": {"kind": "passport", "number": "123"},
    }
    answer = await world.post(ORDERS, world.body(await world.offered(), customer=customer))
    assert (answer.status_code, slug(answer)) == (422, "customer-invalid")
    assert set(pointers(answer)) == {
        "/customer/last_name",
        "/customer/birth_date",
        "/customer/email",
        "/customer/phone",
        "/customer/document/number",
    }
    assert "десять цифр" in answer.text


async def test_a_wrong_shape_hides_no_wrong_value(world: World) -> None:
    """A caller would mend the date, and only then hear of the phone."""
    customer = {**CUSTOMER, "last_name": "", "birth_date": "2026-02-30", "phone": "1", "email": "anna@example"}
    del customer["first_name"]
    answer = await world.post(ORDERS, world.body(await world.offered(), customer=customer))
    assert (answer.status_code, slug(answer)) == (422, "invalid")
    assert sorted(pointers(answer)) == [
        "/customer/birth_date",
        "/customer/email",
        "/customer/first_name",
        "/customer/last_name",
        "/customer/phone",
    ]


async def test_a_missing_consent_is_told_beside_a_wrong_phone(world: World) -> None:
    """A caller would show the form three times."""
    body = world.body(await world.offered(), customer={**CUSTOMER, "phone": "1"}, consents=[])
    answer = await world.post(ORDERS, body)
    assert (answer.status_code, slug(answer)) == (422, "invalid")
    assert {"/customer/phone", "/consents"} == set(pointers(answer))


HOSTILE: list[Any] = [
    None,
    [],
    "text",
    {},
    {"offer_id": "not-a-uuid", "customer": {}, "consents": 7},
    {"offer_id": "0" * 32, "customer": {**CUSTOMER, "birth_date": "2026-02-30"}, "consents": CONSENTS},
    {"offer_id": "0" * 32, "customer": {**CUSTOMER, "last_name": "\x00"}, "consents": CONSENTS},
    {"offer_id": "0" * 32, "customer": {**CUSTOMER, "unknown": 1}, "consents": CONSENTS},
    {"offer_id": "0" * 32, "customer": CUSTOMER, "consents": [{"code": "\x00", "version": "1"}]},
    {"offer_id": "0" * 32, "customer": CUSTOMER, "consents": [{"code": "a", "version": "1"}] * 1000},
    {"offer_id": 10**400, "customer": CUSTOMER, "consents": CONSENTS},
]


@pytest.mark.parametrize("body", HOSTILE, ids=range(len(HOSTILE)))
async def test_a_hostile_order_is_refused_and_leaves_nothing(world: World, body: Any) -> None:
    """A strange body would be answered with a 500 or half written."""
    answer = await world.post(ORDERS, body)
    assert 400 <= answer.status_code < 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert await world.scalar("select count(*) from orders.orders") == 0
    assert await world.scalar("select count(*) from orders.idempotency_keys") == 0


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("price-consent", {"premium": {"amount": "1e999999999", "currency": "RUB"}}),
        ("price-consent", {"premium": {"amount": "NaN", "currency": "RUB"}}),
        ("price-consent", {"premium": {"amount": "1.005", "currency": "RUB"}}),
        ("price-consent", {"premium": {"amount": "1", "currency": "roubles"}}),
        ("price-consent", {}),
        ("payment", {"return_url": "javascript:alert(1)"}),
        ("payment", {"return_url": "//example.org"}),
        ("payment", {"return_url": "http://[::1"}),
        ("payment", {"return_url": "https://example.org:99999/"}),
        ("payment", {"return_url": "https://example.org/a b"}),
        ("payment", {"return_url": "https://example.org/", "method": "cash"}),
        ("cancellation", {"id": "x"}),
        ("cancellation", {"id": "0" * 32, "more": 1}),
    ],
)
async def test_hostile_requests_about_an_order_are_refused(world: World, path: str, body: Any) -> None:
    """A strange value would reach the payment provider or the database."""
    order_id = await world.priced()
    answer = await world.post(f"{ORDERS}/{order_id}/{path}", body)
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert (await world.order(order_id))["status"] == "awaiting_payment"
    assert await world.scalar("select count(*) from orders.payments") == 0


# ---------------------------------------------------------------- seeing


async def test_nobody_sees_what_is_not_theirs(world: World) -> None:
    """Somebody who guesses an id would read another person's order, or learn that it exists."""
    order_id = await world.issued()
    number = (await world.order(order_id))["policy"]["number"]
    for path in (f"{ORDERS}/{order_id}", f"{ORDERS}/{new_id()}", f"/api/v1/policies/{number}", ORDERS):
        for token in ("another's token", None, ""):
            answer = await world.get(path, token=token)
            if path == ORDERS and token == "another's token":
                assert answer.json() == {"items": [], "next_cursor": None}
            else:
                assert (answer.status_code, slug(answer)) == (404, "not-found")
    bodies = {
        "payment": {"return_url": "https://e.org/"},
        "cancellation": {},
        "price-consent": {"premium": msgspec.to_builtins(PREMIUM)},
    }
    for path, body in bodies.items():
        answer = await world.post(f"{ORDERS}/{order_id}/{path}", body, token="another's token")
        assert (answer.status_code, slug(answer)) == (404, "not-found")
    assert await world.scalar("select count(*) from orders.cancellations") == 0


async def test_a_list_of_orders_is_read_page_by_page(world: World) -> None:
    """A person with many orders would see the first ones only, or some twice."""
    ids = [await world.placed() for _ in range(5)]
    pages, cursor = [], ""
    while True:
        answer = (await world.get(f"{ORDERS}?limit=2{cursor}")).json()
        pages.append([order["id"] for order in answer["items"]])
        if answer["next_cursor"] is None:
            break
        cursor = f"&cursor={answer['next_cursor']}"
    assert pages == [[ids[4], ids[3]], [ids[2], ids[1]], [ids[0]]]
    for strange in ("cursor=%00", "cursor=!!", "cursor=AAAA", "limit=0", "limit=1000", "limit=x"):
        assert (await world.get(f"{ORDERS}?{strange}")).status_code == 400


async def test_a_policy_is_found_by_number_and_verified_by_code(world: World) -> None:
    """The QR code on a policy would show nothing, or show whom it insures."""
    order_id = await world.issued()
    order = await world.order(order_id)
    number, code = order["policy"]["number"], order["policy"]["verification_code"]
    policy = (await world.get(f"/api/v1/policies/{number}")).json()
    assert (policy["order_id"], policy["status"], policy["document_url"]) == (order_id, "issued", None)
    assert re.fullmatch(r"[2-9A-Z]{4}(-[2-9A-Z]{4}){3}", code)
    verified = await world.get(f"/api/v1/verify/{code}", token=None)
    assert verified.json() == {
        "number": number,
        "insurer": {"ru": "Северный щит", "en": "Northern Shield"},
        "product": {"ru": "ОСАГО", "en": "Motor liability"},
        "starts_on": "2026-12-01",
        "ends_on": "2027-11-30",
        "status": "not_started",
    }
    for strange in ("AAAA-AAAA-AAAA-AAAA", "%00", "x", "a" * 5000):
        assert (await world.get(f"/api/v1/verify/{strange}", token=None)).status_code == 404


async def test_a_printed_document_is_linked(world: World) -> None:
    """A bought policy could not be downloaded."""
    order_id = await world.issued()
    policy_id = await world.scalar("select id from orders.policies")
    ready = DocumentReady(
        document_id=new_id(),
        policy_id=policy_id,
        order_id=UUID(order_id),
        kind="policy",
        storage_key="k",
        sha256="0",
        size=1,
    )
    assert await world.hear(ready, event_id=UUID(int=1))
    assert await world.hear(ready, event_id=UUID(int=1))
    async with asyncio.timeout(60):
        while (url := (await world.order(order_id))["policy"]["document_url"]) is None:  # noqa: ASYNC110 - as a page
            await asyncio.sleep(0.01)
    assert url == "https://example.org/api/v1/policies/XXX%200000000001/document"
    assert not await world.hear(msgspec.structs.replace(ready, policy_id=new_id()))


async def test_the_paper_of_a_policy_names_its_person(world: World) -> None:
    """The printed policy would insure nobody."""
    order_id = await world.issued()
    number = (await world.order(order_id))["policy"]["number"]
    policy_id = await world.orders.policies.policy_id(number, buyer_of(TOKEN))
    assert policy_id is not None
    assert await world.orders.policies.policy_id(number, buyer_of("another")) is None
    paper = await world.orders.policies.paper(policy_id)
    assert paper is not None
    assert (paper.policyholder.last_name, paper.policyholder.phone) == ("Ромашкина", "79123456789")
    assert (paper.product_title.ru, paper.insurer_name.en, paper.number) == ("ОСАГО", "Northern Shield", number)
    assert [line.label.ru for line in paper.insured] == ["Квота"]
    assert await world.orders.policies.paper(new_id()) is None


# ---------------------------------------------------------------- paying


async def test_paying_twice_gives_the_same_payment(world: World) -> None:
    """A second tab would open a second payment, and both could be paid."""
    order_id, key = await world.priced(), str(new_id())
    first = await world.pay(order_id, key=key)
    same = await world.pay(order_id, key=key)
    other = await world.pay(order_id)
    assert {answer.status_code for answer in (first, same, other)} == {200}
    assert len({answer.json()["payment_id"] for answer in (first, same, other)}) == 1
    at_once = await asyncio.gather(*(world.pay(order_id) for _ in range(5)))
    assert {answer.json()["payment_id"] for answer in at_once} == {first.json()["payment_id"]}
    assert len(world.provider.payments) == 1
    assert (
        await world.post(f"{ORDERS}/{order_id}/payment", {"return_url": "https://e.org"}, key=None)
    ).status_code == 400


async def test_paying_waits_for_the_price(world: World) -> None:
    """A buyer who presses «pay» a moment early would be sent away."""
    order_id = await world.placed()
    paying = asyncio.create_task(world.pay(order_id))
    await asyncio.sleep(0.2)
    assert not paying.done()
    await world.work()
    answer = await paying
    assert answer.status_code == 200, answer.text


async def test_paying_does_not_wait_for_ever(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request would hang for as long as the insurer does."""
    monkeypatch.setattr("insuretech.orders.commands.PRICE_WAIT", 0.2)
    answer = await world.pay(await world.placed())
    assert (answer.status_code, slug(answer)) == (409, "price-not-confirmed")
    assert answer.headers["retry-after"] == "2"
    assert await world.scalar("select count(*) from orders.idempotency_keys where route like '%payment'") == 0


async def test_a_provider_that_is_away_is_told_and_the_key_stays_usable(world: World) -> None:
    """A buyer would be stuck with a key that never works again."""
    order_id, key = await world.priced(), str(new_id())
    for fault in ("unavailable", "silent", "lost"):
        world.provider.script.then("create", fault)
        answer = await world.pay(order_id, key=key)
        assert (answer.status_code, slug(answer)) == (503, "payment-provider-away")
    assert (await world.pay(order_id, key=key)).status_code == 200
    assert len(world.provider.payments) == 1


async def test_a_finished_order_takes_no_payment(world: World) -> None:
    """A second payment would be taken for a policy already bought."""
    order_id = await world.issued()
    answer = await world.pay(order_id)
    assert (answer.status_code, slug(answer)) == (409, "nothing-to-pay")


# ---------------------------------------------------------------- notifications


async def test_notifications_are_never_believed(world: World) -> None:
    """Anybody could send «paid» and get a policy."""
    order_id, provider_id = await world.paying()
    assert (await world.notify(provider_id, "payment.succeeded")).status_code == 200
    await world.work()
    assert (await world.order(order_id))["status"] == "awaiting_payment"
    assert world.provider.script.calls == ["create", "get"]


async def test_repeated_and_strange_notifications_do_nothing(world: World) -> None:
    """A flood of notifications would become a flood of calls, or rows without end."""
    order_id, provider_id = await world.paying()
    for _ in range(5):
        await world.notify(provider_id)
    await world.work()
    assert world.provider.script.calls.count("get") == 1
    for payment, event in (("unknown", "payment.succeeded"), (provider_id, "made.up"), ("\x00", "payment.succeeded")):
        assert (await world.notify(payment, event)).status_code in {200, 400}
    assert await world.scalar("select count(*) from orders.notifications") == 1
    async with world.client(None) as client:
        for body in (b"", b"{}", b"\xff", b"[" * 10_000):
            answer = await client.post("/api/v1/payments/notifications", content=body)
            assert 400 <= answer.status_code < 500
    assert (await world.order(order_id))["status"] == "awaiting_payment"


# ---------------------------------------------------------------- personal data


def _secrets() -> Iterator[str]:
    for secret in (*CUSTOMER.values(), *CUSTOMER["document"].values(), "79123456789", "4509123456"):
        if isinstance(secret, str) and len(secret) > 4 and secret != "passport":
            yield secret


async def test_personal_data_lie_encrypted_and_travel_nowhere(world: World) -> None:
    """A stolen dump, an event or a log would tell who insured what."""
    await world.issued()
    tables = ("orders", "policyholders", "payments", "policies", "outbox", "idempotency_keys", "inbox", "offers")
    for table in tables:
        dump = str(await world.scalar(f"select string_agg(t::text, ' ') from orders.{table} t"))  # noqa: S608 - our names
        raw = str(await world.scalar("select string_agg(encode(payload, 'escape'), ' ') from orders.outbox"))
        for secret in _secrets():
            assert secret not in dump
            assert secret.encode().hex() not in dump
            assert secret not in raw


async def test_a_new_key_takes_over_every_policyholder(world: World) -> None:
    """After a leaked key the old ciphertexts would stay readable with it."""
    order_id = await world.issued()
    await world.placed()
    world.keyring = world.keyring.with_new_key()
    world.restart()
    reencrypt = world.orders.service.reencrypt
    assert reencrypt is not None
    assert await reencrypt() == 2
    assert await reencrypt() == 0
    async with world.database.reading() as connection:
        rows = (await connection.execute(sa.select(policyholders.c.key_id, policyholders.c.sealed))).all()
    assert {row.key_id for row in rows} == {world.keyring.key_id(row.sealed) for row in rows} == {"k2"}
    number = (await world.order(order_id))["policy"]["number"]
    policy_id = await world.orders.policies.policy_id(number, buyer_of(TOKEN))
    assert policy_id is not None
    paper = await world.orders.policies.paper(policy_id)
    assert paper is not None
    assert paper.policyholder.last_name == "Ромашкина"
