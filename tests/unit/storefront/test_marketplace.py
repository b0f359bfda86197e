"""The adapter to the public API: what it sends, and what it makes of answers, good and bad."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import date
from decimal import Decimal
from uuid import UUID

import httpx
import msgspec
import pytest

from insuretech.contracts.money import Money
from insuretech.storefront.marketplace import HttpMarketplace
from insuretech.storefront.ports import FieldFault, Refused

ORDER = UUID(int=7)
Answer = Callable[[httpx.Request], httpx.Response]


class Wire:
    """Takes the adapter's requests and answers as the test says."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.answer: Answer = lambda _: httpx.Response(404)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self.answer(request)

    def problem(self, status: int, slug: str, **members: object) -> None:
        document = {"type": f"https://insure.example/problems/{slug}", "title": "No", "status": status, **members}
        self.answer = lambda _: httpx.Response(status, content=msgspec.json.encode(document))


@pytest.fixture
def wire() -> Wire:
    """A network of the test's own."""
    return Wire()


@pytest.fixture
async def marketplace(wire: Wire) -> AsyncIterator[HttpMarketplace]:
    """The adapter, its client ending in the wire."""
    async with httpx.AsyncClient(transport=httpx.MockTransport(wire), base_url="http://api.test") as client:
        yield HttpMarketplace(client, time_limit=0.2)


async def test_money_moves_under_the_forms_key_and_the_buyers_token(wire: Wire, marketplace: HttpMarketplace) -> None:
    """Without it a double click would pay twice, or the API would not know the buyer."""
    wire.answer = lambda _: httpx.Response(200, json={"payment_id": "1", "confirmation_url": "http://pay"})
    started = await marketplace.start_payment(ORDER, "http://site/back", "card", "token", "key-1")
    assert started.confirmation_url == "http://pay"
    request = wire.requests[0]
    assert request.url.path == f"/api/v1/orders/{ORDER}/payment"
    assert request.headers["authorization"] == "Bearer token"
    assert request.headers["idempotency-key"] == "key-1"
    assert msgspec.json.decode(request.content) == {"return_url": "http://site/back", "method": "card"}


async def test_money_is_sent_to_the_kopeck(wire: Wire, marketplace: HttpMarketplace) -> None:
    """Without it a consent could name another price than the one shown."""
    with pytest.raises(Refused):
        await marketplace.consent_to_price(ORDER, Money(Decimal("8697.20")), "token", "key-1")
    assert msgspec.json.decode(wire.requests[0].content) == {"premium": {"amount": "8697.20", "currency": "RUB"}}


async def test_a_problem_document_keeps_its_slug_and_its_fields(wire: Wire, marketplace: HttpMarketplace) -> None:
    """Without it pages could not tell a person which answer is wrong, and why."""
    error = {"pointer": "/answers/vehicle/power_hp", "code": "required", "detail": "Ответьте на этот вопрос."}
    wire.problem(422, "invalid", errors=[error])
    with pytest.raises(Refused) as caught:
        await marketplace.corridor({}, date(2026, 11, 22), "ru")
    assert (caught.value.status, caught.value.slug) == (422, "invalid")
    assert caught.value.faults == (
        FieldFault(pointer="/vehicle/power_hp", code="required", detail="Ответьте на этот вопрос."),
    )


@pytest.mark.parametrize("body", [b"<html>", b"", b"[]", b'{"type": 7}'])
async def test_an_answer_that_is_no_problem_document_is_a_refusal_too(
    wire: Wire, marketplace: HttpMarketplace, body: bytes
) -> None:
    """Without it a proxy's error page would break ours."""
    wire.answer = lambda _: httpx.Response(502, content=body)
    with pytest.raises(Refused) as caught:
        await marketplace.order(ORDER, "token")
    assert caught.value.status == 502


async def test_an_answer_of_another_shape_is_our_trouble_not_the_visitors(
    wire: Wire, marketplace: HttpMarketplace
) -> None:
    """Without it a half-understood order could be shown as if it were right."""
    wire.answer = lambda _: httpx.Response(200, json={"id": str(ORDER)})
    with pytest.raises(Refused) as caught:
        await marketplace.order(ORDER, "token")
    assert caught.value.status == 503


async def test_no_answer_is_told_as_unavailable(wire: Wire, marketplace: HttpMarketplace) -> None:
    """Without it a person would see a broken page instead of “try again in a minute”."""

    def nobody(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    wire.answer = nobody
    with pytest.raises(Refused) as caught:
        await marketplace.product("osago")
    assert (caught.value.status, caught.value.slug) == (503, "unavailable")


async def test_an_api_that_hangs_is_told_as_unavailable() -> None:
    """Without it a page would stay white for as long as the API hangs."""

    async def hang(_: httpx.Request) -> httpx.Response:
        await asyncio.sleep(60)
        raise AssertionError

    async with httpx.AsyncClient(transport=httpx.MockTransport(hang), base_url="http://api.test") as client:
        with pytest.raises(Refused) as caught:
            await HttpMarketplace(client, time_limit=0.01).product("osago")
    assert caught.value.status == 503


@pytest.mark.parametrize("code", ["a/b", "../orders", "x?y=1", "ХХХ 012", "%2e%2e", "..", "\x00"])
async def test_what_is_typed_into_an_address_stays_one_segment(
    wire: Wire, marketplace: HttpMarketplace, code: str
) -> None:
    """Without it an address of ours could be bent into another call of the API."""
    with pytest.raises(Refused):
        await marketplace.verification(code)
    raw = wire.requests[0].url.raw_path.decode()
    assert raw.startswith("/api/v1/verify/")
    assert "/" not in raw.removeprefix("/api/v1/verify/")
    assert "?" not in raw


async def test_products_are_asked_for_once_in_a_while(wire: Wire, marketplace: HttpMarketplace) -> None:
    """Without it every page of the site would ask the API for the same list."""
    product = {"code": "osago", "title": {"ru": "ОСАГО", "en": "OSAGO"}, "short_title": {"ru": "ОСАГО", "en": "OSAGO"}}
    wire.answer = lambda _: httpx.Response(200, json={"items": [product]})
    for _ in range(3):
        assert (await marketplace.products())[0].code == "osago"
    assert len(wire.requests) == 1
