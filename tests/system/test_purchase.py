"""A policy is bought end to end over the public API, and every way in which that can go wrong ends well."""

import asyncio
import re
from collections.abc import AsyncIterator
from decimal import ROUND_HALF_UP, Decimal
from time import perf_counter
from uuid import uuid4

import httpx
import pytest

from tests.system.answers import ANSWERS
from tests.system.buyer import CUSTOMER, RETURN_URL, Buyer, Json, NotInTime, Order, Quote, keyed, wanted
from tests.system.running import RunningMarketplace, strain
from tests.system.sandbox import Sandbox, rubles

pytestmark = pytest.mark.usefixtures("sandbox")

PRODUCTS = ("osago", "mortgage", "travel")


@pytest.fixture
async def sandbox(http: httpx.AsyncClient) -> AsyncIterator[Sandbox]:
    """Insurers and the provider at their best, before and after."""
    sandbox = Sandbox(http)
    await sandbox.calm()
    yield sandbox
    await sandbox.calm()


async def offered(buyer: Buyer, product: str = "travel", insurer: str = "bystra") -> tuple[Quote, Json]:
    """A fresh quote with this insurer's offer."""
    quote = await buyer.ask(product, ANSWERS[product]())
    return quote, await buyer.offer_of(quote, insurer)


async def payable(buyer: Buyer, product: str = "travel", insurer: str = "bystra") -> Order:
    """An order whose buyer may pay now."""
    order = await buyer.order(*await offered(buyer, product, insurer))
    await buyer.reaches(order, "awaiting_payment")
    return order


async def books_agree(sandbox: Sandbox, order: Order, *, policies: int, captured: Decimal, refunded: Decimal) -> None:
    """The outside world and we tell the same story of an order."""
    books = await sandbox.books()
    assert len(books.policies_of(order.id)) == policies
    assert (books.captured(order.id), books.refunded(order.id)) == (captured, refunded)
    held = [payment for payment in books.payments_of(order.id) if payment["status"] == "waiting_for_capture"]
    assert not held


NOTHING = Decimal()


@pytest.mark.parametrize("product", PRODUCTS)
async def test_a_policy_is_bought(buyer: Buyer, sandbox: Sandbox, product: str) -> None:
    """Otherwise nobody can buy this product at all."""
    listed = wanted(200, await buyer.http.get("/api/v1/products"))
    assert product in [each["code"] for each in listed["items"]]

    order, state = await buyer.buy(product, ANSWERS[product](), "bystra")

    premium = rubles(state["premium"])
    await books_agree(sandbox, order, policies=1, captured=premium, refunded=NOTHING)
    number = state["policy"]["number"]
    assert (await sandbox.books()).policies_of(order.id)[0]["number"] == number
    policy = wanted(200, await buyer.http.get(f"/api/v1/policies/{number}", headers=order.headers))
    assert policy["number"] == number
    pdf = await document(buyer, order, number)
    assert pdf.startswith(b"%PDF-")
    assert pdf == await document(buyer, order, number)


async def document(buyer: Buyer, order: Order, number: str) -> bytes:
    """The policy's PDF as soon as it is printed."""
    for _ in range(200):
        response = await buyer.http.get(f"/api/v1/policies/{number}/document", headers=order.headers)
        if response.status_code == 200:
            assert response.headers["content-type"] == "application/pdf"
            return response.content
        assert response.status_code in {404, 409, 503}, response.text
        await asyncio.sleep(0.05)
    raise NotInTime("the PDF of the policy")


async def test_the_verification_page_shows_no_personal_data(buyer: Buyer) -> None:
    """Otherwise anyone who sees the QR code of a policy learns whose it is."""
    _, state = await buyer.buy("travel", ANSWERS["travel"](), "bystra")

    page = await buyer.http.get(f"/verify/{state['policy']['verification_code']}")

    assert page.status_code == 200
    assert state["policy"]["number"] in page.text
    for word in personal_words():
        assert word not in page.text


async def test_someone_elses_token_opens_nothing(buyer: Buyer) -> None:
    """Otherwise one buyer reads or moves another buyer's order."""
    order, state = await buyer.buy("travel", ANSWERS["travel"](), "bystra")
    stranger = await buyer.ask("travel", ANSWERS["travel"]())
    number = state["policy"]["number"]
    addresses: list[tuple[str, str, Json | None]] = [
        ("GET", f"/api/v1/quotes/{order.quote.id}", None),
        ("GET", f"/api/v1/quotes/{order.quote.id}/events", None),
        ("GET", f"/api/v1/orders/{order.id}", None),
        ("POST", f"/api/v1/orders/{order.id}/payment", {"return_url": RETURN_URL}),
        ("POST", f"/api/v1/orders/{order.id}/price-consent", {"premium": state["premium"]}),
        ("POST", f"/api/v1/orders/{order.id}/cancellation", {}),
        ("GET", f"/api/v1/policies/{number}", None),
        ("GET", f"/api/v1/policies/{number}/document", None),
    ]
    for method, path, body in addresses:
        for headers in (stranger.headers, {}, {"Authorization": "Bearer nonsense"}):
            response = await buyer.http.request(method, path, json=body, headers=keyed(headers, None))
            assert response.status_code == 404, f"{method} {path}: {response.status_code} {response.text[:200]}"
            assert response.headers["content-type"].startswith("application/problem+json")


# ---------------------------------------------------------------- the live stream


async def test_every_insurer_ends_with_an_event_of_its_own(buyer: Buyer, sandbox: Sandbox) -> None:
    """Otherwise a buyer waits for an insurer that will never say anything."""
    await sandbox.behave("otkazov", outcome="decline")
    await sandbox.behave("zavis", outcome="hang", lookup="hang")
    await sandbox.behave("molchun", outcome="down", lookup="down")
    quote = await buyer.ask("osago", ANSWERS["osago"]())

    events = await buyer.events(quote)
    state = await buyer.quote(quote)

    outcomes = {insurer["code"]: insurer["outcome"] for insurer in state["insurers"]}
    assert outcomes["otkazov"] == "declined"
    assert outcomes["zavis"] == "timed_out"
    assert outcomes["molchun"] in {"unavailable", "timed_out"}
    assert outcomes["bystra"] == "offered"
    assert len(events) == len(outcomes) + 1
    assert len({event.id for event in events}) == len(events)
    told = [event.data.get("insurer") or event.data["code"] for event in events[:-1]]
    assert sorted(told) == sorted(outcomes)
    assert all(insurer["reason"] for insurer in state["insurers"] if insurer["outcome"] != "offered")


async def test_a_hanging_insurer_costs_the_others_nothing(buyer: Buyer, sandbox: Sandbox) -> None:
    """Otherwise the slowest insurer decides how long everybody's offers take."""
    await sandbox.behave("zavis", outcome="hang", lookup="hang")
    others = set(await sandbox.insurers()) - {"zavis", "molchun"}  # the latter may still be left alone by its breaker
    quote = await buyer.ask("osago", ANSWERS["osago"]())

    def all_but_one(state: Json) -> bool:
        return others <= {offer["insurer"] for offer in state["offers"]}

    began = perf_counter()
    state = await buyer.until(lambda: buyer.quote(quote), all_but_one)
    assert state["status"] == "collecting"
    assert perf_counter() - began < 2.5 * strain()


async def test_the_stream_resumes_without_loss_or_repeat(buyer: Buyer) -> None:
    """Otherwise a phone that lost its connection misses offers or shows them twice."""
    quote = await buyer.ask("osago", ANSWERS["osago"]())
    whole = await buyer.events(quote)

    for index, event in enumerate(whole[:-1]):
        rest = await buyer.events(quote, after=event.id)
        assert [each.id for each in rest] == [each.id for each in whole[index + 1 :]]
        assert rest == whole[index + 1 :]


async def test_a_quote_and_its_stream_survive_a_kill(
    market: RunningMarketplace, buyer: Buyer, sandbox: Sandbox
) -> None:
    """Otherwise a restart in the middle of a quote leaves its buyer with half of the offers, or asks insurers twice."""
    await sandbox.behave("kabinet", outcome="pending", pending_ms=2000)
    await sandbox.behave("tihohod", delay_min_ms=1500, delay_max_ms=1500)
    quote = await buyer.ask("osago", ANSWERS["osago"]())
    seen = []
    async with buyer.stream(quote) as stream:
        async for event in stream:
            seen.append(event)
            if len(seen) == 3:
                break

    await asyncio.to_thread(market.restart_after_kill)
    seen += await buyer.events(quote, after=seen[-1].id)

    assert seen == await buyer.events(quote)
    state = await buyer.quote(quote)
    assert len(seen) == len(state["insurers"]) + 1


# ---------------------------------------------------------------- what goes wrong


async def test_a_declined_payment_may_be_tried_again(buyer: Buyer, sandbox: Sandbox) -> None:
    """Otherwise one wrong card number ends the purchase."""
    order = await payable(buyer)
    first = await buyer.pay(order, "decline")
    state = await buyer.until(lambda: buyer.state(order), lambda state: state["payment"]["status"] == "cancelled")
    assert state["status"] == "awaiting_payment"

    second = await buyer.pay(order)
    issued = await buyer.reaches(order, "issued")

    assert first["payment_id"] != second["payment_id"]
    await books_agree(sandbox, order, policies=1, captured=rubles(issued["premium"]), refunded=NOTHING)


async def test_an_insurer_that_refuses_to_issue_costs_the_buyer_nothing(buyer: Buyer, sandbox: Sandbox) -> None:
    """Otherwise money stays held or taken for a policy that does not exist."""
    await sandbox.behave("bystra", issue="refuse")
    order = await payable(buyer)
    await buyer.pay(order)

    state = await buyer.reaches(order, "voided", "refunded")

    assert state["explanation"]["code"]
    await books_agree(sandbox, order, policies=0, captured=NOTHING, refunded=NOTHING)
    again = await buyer.order(order.quote, await buyer.offer_of(order.quote, "bystra"))
    assert again.id != order.id


@pytest.mark.parametrize("insurer", ["bystra", "kabinet", "zvonok"])
async def test_an_unknown_issue_that_was_carried_out_ends_issued(buyer: Buyer, sandbox: Sandbox, insurer: str) -> None:
    """Otherwise a lost answer gives a second policy, or the money back for a policy that is in force."""
    await sandbox.behave(insurer, issue="unknown_issued", lookup_after_ms=500)
    order = await payable(buyer, insurer=insurer)
    await buyer.pay(order)

    state = await buyer.reaches(order, "issued")

    await books_agree(sandbox, order, policies=1, captured=rubles(state["premium"]), refunded=NOTHING)


@pytest.mark.parametrize("insurer", ["bystra", "kabinet", "zvonok"])
async def test_an_unknown_issue_that_never_arrived_is_sent_again(buyer: Buyer, sandbox: Sandbox, insurer: str) -> None:
    """Otherwise the buyer waits for ever for a policy nobody is writing."""
    await sandbox.behave(insurer, issue="unknown_not_issued")
    order = await payable(buyer, insurer=insurer)
    await buyer.pay(order)
    await buyer.until(
        lambda: buyer.state(order),
        lambda state: state["status"] in {"issuing", "issue_unknown"},
        wish="an unknown issue",
    )
    await sandbox.behave(insurer)

    state = await buyer.reaches(order, "issued")

    await books_agree(sandbox, order, policies=1, captured=rubles(state["premium"]), refunded=NOTHING)


async def test_a_changed_price_needs_a_new_consent(buyer: Buyer, sandbox: Sandbox) -> None:
    """Otherwise the buyer is charged a price never agreed to."""
    await sandbox.behave("bystra", confirm_change_percent=8.5)
    order = await buyer.order(*await offered(buyer))
    changed = await buyer.reaches(order, "price_changed")
    assert rubles(changed["premium"]) > rubles(changed["previous_premium"])
    assert (await buyer.ask_payment(order)).status_code == 409
    wrong = await buyer.consent_to_price(order, changed["previous_premium"])
    assert wrong.status_code in {409, 422}

    assert (await buyer.consent_to_price(order, changed["premium"])).status_code == 200
    await buyer.reaches(order, "awaiting_payment")
    await buyer.pay(order)
    issued = await buyer.reaches(order, "issued")

    assert issued["premium"] == changed["premium"]
    await books_agree(sandbox, order, policies=1, captured=rubles(changed["premium"]), refunded=NOTHING)


async def test_an_expired_offer_is_not_sold(buyer: Buyer, sandbox: Sandbox) -> None:
    """Otherwise the buyer pays for a price the insurer no longer stands by."""
    await sandbox.behave("bystra", offer_valid_s=1, reservation_valid_s=1)
    quote, offer = await offered(buyer)
    await buyer.until(
        lambda: buyer.quote(quote),
        lambda state: next(o for o in state["offers"] if o["id"] == offer["id"]).get("status") == "expired",
        wish="the offer to expire",
    )

    response = await buyer.place(quote, offer)

    assert response.status_code == 409
    assert response.json()["type"].endswith("offer-expired")


async def test_a_payment_after_expiry_goes_back(buyer: Buyer, sandbox: Sandbox) -> None:
    """Otherwise a buyer who paid a minute late loses the money."""
    await sandbox.behave("bystra", reservation_valid_s=round(min(2 * strain(), 60)))
    order = await buyer.order(*await offered(buyer))
    await buyer.reaches(order, "awaiting_payment")
    payment = wanted(200, await buyer.ask_payment(order))
    await buyer.reaches(order, "expired")

    await buyer.press(payment, "pay")

    async def gone() -> Json:
        books = await sandbox.books()
        return {"left": [each for each in books.payments_of(order.id) if each["status"] != "canceled"],
                "kept": str(books.captured(order.id) - books.refunded(order.id))}  # fmt: skip

    await buyer.until(gone, lambda state: not state["left"] or state["kept"] == "0.00", wish="the money to go back")
    await books_agree_no_policy(sandbox, order)


async def books_agree_no_policy(sandbox: Sandbox, order: Order) -> None:
    """Nobody has a policy and nobody has the money."""
    books = await sandbox.books()
    assert not books.policies_of(order.id)
    assert books.captured(order.id) == books.refunded(order.id)


@pytest.mark.parametrize("notifications", ["lost", "duplicated"])
async def test_notifications_of_the_provider_may_be_lost_or_come_twice(
    buyer: Buyer, sandbox: Sandbox, notifications: str
) -> None:
    """Otherwise a paid order waits for ever, or is issued twice."""
    await sandbox.provider(notifications=notifications)
    order = await payable(buyer)
    await buyer.pay(order)

    state = await buyer.reaches(order, "issued")

    await books_agree(sandbox, order, policies=1, captured=rubles(state["premium"]), refunded=NOTHING)


@pytest.mark.parametrize("callback", ["lost", "duplicated", "forged"])
async def test_callbacks_of_an_insurer_may_be_lost_doubled_or_forged(
    buyer: Buyer, sandbox: Sandbox, callback: str
) -> None:
    """Otherwise an offer or a policy never arrives, arrives twice, or comes from an impostor."""
    await sandbox.behave("zvonok", outcome="pending", pending_ms=300, issue="pending", callback=callback)
    order = await payable(buyer, insurer="zvonok")
    await buyer.pay(order)

    state = await buyer.reaches(order, "issued")

    await books_agree(sandbox, order, policies=1, captured=rubles(state["premium"]), refunded=NOTHING)


async def test_lost_answers_of_the_provider_cost_nothing(buyer: Buyer, sandbox: Sandbox) -> None:
    """Otherwise a broken connection to the provider charges twice or not at all."""
    await sandbox.provider(failure_rate=0.25, failures=["dropped", "broken"])
    order = await payable(buyer)
    key = str(uuid4())

    async def paid() -> Json:
        response = await buyer.ask_payment(order, key=key)
        return response.json() if response.status_code == 200 else {"status": response.status_code, **response.json()}

    payment = await buyer.until(paid, lambda state: "payment_id" in state, wish="a payment")
    await buyer.press(payment, "pay")

    state = await buyer.reaches(order, "issued")
    await books_agree(sandbox, order, policies=1, captured=rubles(state["premium"]), refunded=NOTHING)


async def test_a_lost_hold_or_refused_capture_is_told(buyer: Buyer, sandbox: Sandbox) -> None:
    """Otherwise an issued policy nobody paid for looks like any other."""
    await sandbox.provider(capture="refuse")
    order = await payable(buyer)
    await buyer.pay(order)

    state = await buyer.reaches(order, "issued", "voided", "refunded")

    books = await sandbox.books()
    assert books.captured(order.id) == NOTHING
    if state["status"] == "issued":
        assert state["explanation"]["code"] == "uncollected"


# ---------------------------------------------------------------- cancelling


async def test_a_policy_is_cancelled_within_the_cooling_off_period(buyer: Buyer, sandbox: Sandbox) -> None:
    """Otherwise the buyer cannot have the money back that the law grants."""
    order, state = await buyer.buy("travel", ANSWERS["travel"](), "bystra")
    preview = await previewed(buyer, order)
    assert rubles(preview["refund"]) == rubles(state["premium"])
    assert preview["legal_ground"]

    await confirmed(buyer, order, preview)
    ended = await buyer.until(
        lambda: buyer.state(order), lambda state: state["policy"]["status"] == "cancelled", wish="the policy to end"
    )

    assert ended["status"] == "issued"
    books = await sandbox.books()
    assert books.refunded(order.id) == rubles(preview["refund"])
    assert [policy["status"] for policy in books.policies_of(order.id)] == ["cancelled"]


async def test_osago_is_ended_by_its_own_rule(buyer: Buyer, sandbox: Sandbox) -> None:
    """Otherwise the refund of a sold car's policy is not the 77 % of the unused days that the law leaves."""
    order, state = await buyer.buy("osago", ANSWERS["osago"](), "bystra")

    preview = await previewed(buyer, order)

    premium = rubles(state["premium"])
    assert rubles(preview["refund"]) == (premium * Decimal("0.77")).quantize(Decimal("0.01"), ROUND_HALF_UP)
    assert rubles(preview["refund"]) + rubles(preview["retained"]) == rubles(state["premium"])
    await confirmed(buyer, order, preview)
    await buyer.until(lambda: buyer.state(order), lambda state: state["policy"]["status"] == "cancelled")
    assert (await sandbox.books()).refunded(order.id) == rubles(preview["refund"])


async def test_an_insurer_that_refuses_to_end_a_policy_leaves_it_in_force(buyer: Buyer, sandbox: Sandbox) -> None:
    """Otherwise the buyer is refunded for, or loses, a policy that goes on."""
    order, _ = await buyer.buy("travel", ANSWERS["travel"](), "bystra")
    await sandbox.behave("bystra", cancel="refuse")
    preview = await previewed(buyer, order)
    await confirmed(buyer, order, preview)

    state = await buyer.until(
        lambda: buyer.state(order),
        lambda state: state["policy"]["status"] == "issued" and bool(state["explanation"]),
        wish="the refusal",
    )

    assert state["explanation"]["code"]
    assert (await sandbox.books()).refunded(order.id) == NOTHING


async def previewed(buyer: Buyer, order: Order) -> Json:
    """What ending the policy would bring back."""
    path = f"/api/v1/orders/{order.id}/cancellation"
    return wanted(200, await buyer.http.post(path, json={}, headers=order.headers))


async def confirmed(buyer: Buyer, order: Order, preview: Json, key: str | None = None) -> Json:
    """End the policy as it was previewed."""
    path = f"/api/v1/orders/{order.id}/cancellation"
    body = {"id": preview["id"]}
    return wanted(200, await buyer.http.post(path, json=body, headers=keyed(order.headers, key)))


# ---------------------------------------------------------------- idempotency


async def money_requests(buyer: Buyer, sandbox: Sandbox) -> dict[str, tuple[Order | Quote, str, Json, Json]]:
    """Every POST that creates or moves money: who, where, the body, another body."""
    quote, offer = await offered(buyer)
    consents = await buyer.consents_of(quote)
    order_body = {"offer_id": offer["id"], "customer": CUSTOMER, "consents": consents}
    other_body = {**order_body, "customer": {**CUSTOMER, "first_name": "Марфа"}}
    to_pay = await payable(buyer)
    await sandbox.behave("kabinet", confirm_change_percent=8.5)
    dearer = await buyer.order(*await offered(buyer, insurer="kabinet"))
    premium = (await buyer.reaches(dearer, "price_changed"))["premium"]
    bought, _ = await buyer.buy("travel", ANSWERS["travel"](), "bystra")
    preview = await previewed(buyer, bought)
    return {
        "order": (quote, "/api/v1/orders", order_body, other_body),
        "payment": (
            to_pay,
            f"/api/v1/orders/{to_pay.id}/payment",
            {"return_url": RETURN_URL},
            {"return_url": f"{RETURN_URL}/2"},
        ),
        "price consent": (
            dearer,
            f"/api/v1/orders/{dearer.id}/price-consent",
            {"premium": premium},
            {"premium": {"amount": "1.00", "currency": "RUB"}},
        ),
        "cancellation": (
            bought,
            f"/api/v1/orders/{bought.id}/cancellation",
            {"id": preview["id"]},
            {"id": str(uuid4())},
        ),
    }


async def test_money_moves_once_however_often_it_is_asked(buyer: Buyer, sandbox: Sandbox) -> None:
    """Otherwise an impatient second click, or a retry after a lost answer, costs the buyer twice."""
    for name, (who, path, body, other) in (await money_requests(buyer, sandbox)).items():
        missing = await buyer.http.post(path, json=body, headers=who.headers)
        assert missing.status_code == 400, f"{name}: {missing.text}"
        assert missing.json()["type"].endswith("idempotency-key-missing")

        headers = keyed(who.headers, None)
        answers = await asyncio.gather(*(buyer.http.post(path, json=body, headers=headers) for _ in range(20)))
        good = [answer for answer in answers if answer.status_code != 409]
        assert good, f"{name}: {[answer.text for answer in answers]}"
        assert {(answer.status_code, answer.content) for answer in good} == {(good[0].status_code, good[0].content)}
        assert good[0].status_code < 300, f"{name}: {good[0].text}"
        assert all(answer.json()["type"].endswith("request-in-flight") for answer in answers if answer not in good)

        again = await buyer.http.post(path, json=body, headers=headers)
        assert (again.status_code, again.content) == (good[0].status_code, good[0].content), name

        reused = await buyer.http.post(path, json=other, headers=headers)
        assert reused.status_code == 422, f"{name}: {reused.text}"
        assert reused.json()["type"].endswith("idempotency-key-reused")


async def test_an_offer_is_sold_once_under_twenty_different_keys(buyer: Buyer, market: RunningMarketplace) -> None:
    """Otherwise two browsers of one buyer conclude two contracts for one car."""
    quote, offer = await offered(buyer)

    answers = await asyncio.gather(*(buyer.place(quote, offer) for _ in range(20)))

    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 19
    rows = await market.rows("select id from orders.orders where offer_id = $1", offer["id"])
    assert len(rows) == 1


# ---------------------------------------------------------------- personal data


def personal_words() -> list[str]:
    """What must not be found anywhere it does not belong."""
    document = CUSTOMER["document"]["number"]
    return [CUSTOMER["last_name"], CUSTOMER["first_name"], CUSTOMER["middle_name"], CUSTOMER["email"],
            CUSTOMER["phone"], CUSTOMER["phone"][1:], document]  # fmt: skip


async def test_personal_data_are_in_no_log_no_event_and_no_column(buyer: Buyer, market: RunningMarketplace) -> None:
    """Otherwise whoever reads a log, the event stream or a backup learns who bought what."""
    await buyer.buy("osago", ANSWERS["osago"](), "bystra")
    plate, vin = ANSWERS["osago"]()["vehicle"]["plate"], ANSWERS["osago"]()["vehicle"]["vin"]
    words = [*personal_words(), plate, vin]

    log = market.log.read_text(encoding="utf-8", errors="replace")
    postgres = market.database.log.read_text(encoding="utf-8", errors="replace")
    assert [word for word in words if word in log or word in postgres] == []

    found = []
    for schema in ("catalogue", "quotes", "orders", "documents"):
        tables = await market.rows(
            "select table_name from information_schema.tables where table_schema = $1 and table_type = 'BASE TABLE'",
            schema,
        )
        for (table,) in tables:
            for row in await market.rows(f"select t.* from {schema}.{table} t"):  # noqa: S608 - our own names
                cells = " ".join(as_text(value) for value in row.values())
                found += [f"{word} in {schema}.{table}" for word in words if word in cells]
    assert found == []


def as_text(value: object) -> str:
    """A cell as a search would see it; JSON may write Cyrillic as escapes."""
    text = value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)
    return re.sub(r"\\u([0-9a-f]{4})", lambda found: chr(int(found[1], 16)), text)
