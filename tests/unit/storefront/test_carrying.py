"""A visitor's next page knows of what they have just done."""

from collections.abc import AsyncIterator

import httpx
import pytest
from litestar import Litestar, get, post
from litestar.middleware import DefineMiddleware

from insuretech.kit.ids import new_id
from insuretech.kit.positions import HEADER
from insuretech.storefront.carrying import CarriedPositions
from insuretech.storefront.marketplace import HttpMarketplace

PLACED = f"orders.order.v1.placed/{new_id()}"
SEEN = f"orders.order/{new_id()}"
PAID = f"orders.order.v1.payment_captured/{new_id()}"


class Api:
    """The API, of which only the header is of interest."""

    def __init__(self) -> None:
        self.brought: list[str] = []
        self.position = ""

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.brought.append(request.headers.get(HEADER, ""))
        headers = {HEADER: self.position} if self.position else {}
        return httpx.Response(
            200, json={"items": [], "payment_id": "1", "confirmation_url": "http://pay"}, headers=headers
        )


@pytest.fixture
def api() -> Api:
    """Nothing has happened yet."""
    return Api()


@pytest.fixture
async def browser(api: Api) -> AsyncIterator[httpx.AsyncClient]:
    """Visits a site of two pages: one does something, the other reads."""
    async with httpx.AsyncClient(transport=httpx.MockTransport(api), base_url="http://api.test") as to_api:
        marketplace = HttpMarketplace(to_api, time_limit=1)

        @post("/pay", status_code=200)
        async def pay() -> None:
            await marketplace.start_payment(new_id(), "http://site/back", "card", "token", "key-1")

        @get("/orders")
        async def orders() -> None:
            await marketplace.orders("token")

        site = Litestar([pay, orders], middleware=[DefineMiddleware(CarriedPositions, secure=False)])
        transport = httpx.ASGITransport(site)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://site.test") as client:
            yield client


async def test_the_next_page_brings_along_what_was_done(browser: httpx.AsyncClient, api: Api) -> None:
    """Otherwise a buyer who has paid sees the order unpaid, and pays again."""
    api.position = f"{PLACED}, {PAID}"
    answer = await browser.post("/pay")
    (cookie,) = answer.headers.get_list("set-cookie")
    assert "httponly" in cookie.lower()
    assert "max-age=3600" in cookie.lower()
    await browser.get("/orders")
    assert api.brought == ["", f"{PLACED}, {PAID}"]


async def test_the_next_page_brings_along_what_was_seen(browser: httpx.AsyncClient, api: Api) -> None:
    """Otherwise a buyer's page says paid, and the next one, of another replica, not yet."""
    for api.position in (f"{SEEN}@4", f"{PLACED}, {SEEN}@6", f"{SEEN}@5"):
        await browser.get("/orders")
    await browser.get("/orders")
    assert api.brought == ["", f"{SEEN}@4", f"{PLACED}, {SEEN}@6", f"{PLACED}, {SEEN}@6"]


async def test_who_did_nothing_gets_no_cookie(browser: httpx.AsyncClient, api: Api) -> None:
    """Otherwise every page differs for every visitor, and none can be kept on the way."""
    answer = await browser.get("/orders")
    assert "set-cookie" not in answer.headers
    assert api.brought == [""]


@pytest.mark.parametrize("value", ["x\x00y", "a" * 2000, "ЙЦУ".encode().decode("latin-1"), "", '"; DROP'])
async def test_what_we_have_not_written_is_left_behind(browser: httpx.AsyncClient, api: Api, value: str) -> None:
    """Otherwise a cookie bent by somebody breaks our own requests to the API."""
    answer = await browser.get("/orders", headers={b"cookie": f"position={value}".encode("latin-1")})
    assert answer.status_code == 200
    assert api.brought == [""]
