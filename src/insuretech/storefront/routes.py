"""Addresses of the site. Every handler hands over to the page that knows; failures become pages, too."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import structlog
from litestar import Request, Response, Router, get, post
from litestar.exceptions import HTTPException
from litestar.middleware import DefineMiddleware
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect

from insuretech.kit.problems import Problem
from insuretech.pages.assets import Assets, static_files
from insuretech.storefront.carrying import CarriedPositions
from insuretech.storefront.desk import Desk
from insuretech.storefront.info import Info
from insuretech.storefront.offers import Offers
from insuretech.storefront.ports import Refused
from insuretech.storefront.purchase import Purchase
from insuretech.storefront.shop import Shop
from insuretech.storefront.visits import THEMES, YEAR
from insuretech.storefront.wizard import Wizard

AnyRequest = Request[Any, Any, Any]
Page = Response[Any]
log = structlog.get_logger(__name__)


def site_routes(desk: Desk, assets: Assets) -> list[Router]:
    """Everything under ``/`` that is made for people."""
    handlers = [
        *_shop(desk, Shop(desk)),
        *_wizard(desk, Wizard(desk)),
        *_offers(desk, Offers(desk)),
        *_purchase(desk, Purchase(desk)),
        *_orders(desk, Purchase(desk)),
        *_info(desk, Info(desk)),
        _preferences(desk),
    ]
    pages = Router(
        "/",
        route_handlers=handlers,
        include_in_schema=False,
        exception_handlers={Exception: page_of_failure(desk)},
        middleware=[DefineMiddleware(CarriedPositions, secure=desk.public_url.startswith("https:"))],
    )
    files = [static_files(assets), _favicon(assets)]
    return [pages, Router("/", route_handlers=files, include_in_schema=False)]


def page_of_failure(desk: Desk) -> Callable[[AnyRequest, Exception], Page]:
    """Turns whatever went wrong into a page for people."""
    info = Info(desk)

    def failed(request: AnyRequest, error: Exception) -> Page:
        status = _status(error)
        if status >= 500 and not isinstance(error, Refused):
            log.error("page.failed", path=request.scope["path_template"], exc_info=error)
        return info.failure(desk.visit(request), status, error.slug if isinstance(error, Refused) else "")

    return failed


def _status(error: Exception) -> int:
    """The status of an error page; what is malformed in an address is simply not there."""
    if isinstance(error, HTTPException):
        status = error.status_code
    else:
        status = error.status if isinstance(error, Refused | Problem) else 500
    return 404 if status in {400, 401, 405} else status


def _shop(desk: Desk, shop: Shop) -> list[Any]:
    @get("/")
    async def home(request: AnyRequest) -> Page:
        return await shop.home(desk.visit(request))

    @get("/products/{code:str}")
    async def product(request: AnyRequest, code: FromPath[str]) -> Page:
        return await shop.product(desk.visit(request), code)

    return [home, product]


def _wizard(desk: Desk, wizard: Wizard) -> list[Any]:
    @get("/products/{code:str}/start")
    async def show(
        request: AnyRequest, code: FromPath[str], step: FromQuery[str] = "", check: FromQuery[str] = ""
    ) -> Page:
        return await wizard.show(desk.visit(request), code, step, check == "1")

    @post("/products/{code:str}/start")
    async def take(request: AnyRequest, code: FromPath[str], step: FromQuery[str] = "") -> Page:
        return await wizard.take(desk.visit(request), code, step)

    @post("/products/{code:str}/corridor", status_code=200)
    async def corridor(request: AnyRequest, code: FromPath[str]) -> Page:
        return await wizard.corridor(desk.visit(request), code)

    return [show, take, corridor]


def _offers(desk: Desk, offers: Offers) -> list[Any]:
    @get("/quotes/{quote_id:uuid}")
    async def quote(request: AnyRequest, quote_id: FromPath[UUID], sort: FromQuery[str] = "price") -> Page:
        return await offers.page(desk.visit(request), quote_id, sort)

    @get("/quotes/{quote_id:uuid}/offers")
    async def board(request: AnyRequest, quote_id: FromPath[UUID], sort: FromQuery[str] = "price") -> Page:
        return await offers.board(desk.visit(request), quote_id, sort)

    @get("/quotes/{quote_id:uuid}/compare")
    async def compare(request: AnyRequest, quote_id: FromPath[UUID]) -> Page:
        chosen = [part for value in request.query_params.getall("offers", []) for part in value.split(",")]
        return await offers.compare(desk.visit(request), quote_id, chosen)

    return [quote, board, compare]


def _purchase(desk: Desk, purchase: Purchase) -> list[Any]:
    @get("/offers/{offer_id:uuid}/order")
    async def order_form(request: AnyRequest, offer_id: FromPath[UUID], quote: FromQuery[UUID]) -> Page:
        return await purchase.order_form(desk.visit(request), offer_id, quote)

    @post("/offers/{offer_id:uuid}/order")
    async def place(request: AnyRequest, offer_id: FromPath[UUID], quote: FromQuery[UUID]) -> Page:
        return await purchase.place(desk.visit(request), offer_id, quote)

    @post("/orders/{order_id:uuid}/price-consent")
    async def consent_to_price(request: AnyRequest, order_id: FromPath[UUID]) -> Page:
        return await purchase.consent_to_price(desk.visit(request), order_id)

    @post("/orders/{order_id:uuid}/payment")
    async def pay(request: AnyRequest, order_id: FromPath[UUID]) -> Page:
        return await purchase.pay(desk.visit(request), order_id)

    @get("/orders/{order_id:uuid}/cancellation")
    async def cancellation(request: AnyRequest, order_id: FromPath[UUID]) -> Page:
        return await purchase.cancellation(desk.visit(request), order_id)

    @post("/orders/{order_id:uuid}/cancellation", status_code=200)
    async def cancel(request: AnyRequest, order_id: FromPath[UUID]) -> Page:
        return await purchase.cancel(desk.visit(request), order_id)

    return [order_form, place, consent_to_price, pay, cancellation, cancel]


def _orders(desk: Desk, purchase: Purchase) -> list[Any]:
    @get("/orders")
    async def all_orders(request: AnyRequest) -> Page:
        return await purchase.all_orders(desk.visit(request))

    @get("/orders/{order_id:uuid}")
    async def order(request: AnyRequest, order_id: FromPath[UUID]) -> Page:
        return await purchase.order(desk.visit(request), order_id)

    @get("/orders/{order_id:uuid}/state")
    async def state(request: AnyRequest, order_id: FromPath[UUID], seen: FromQuery[str] = "") -> Page:
        return await purchase.state(desk.visit(request), order_id, seen)

    @get("/orders/{order_id:uuid}/policy.pdf")
    async def document(request: AnyRequest, order_id: FromPath[UUID]) -> Page:
        return await purchase.document(desk.visit(request), order_id)

    @get("/found/{token:str}")
    async def found(request: AnyRequest, token: FromPath[str]) -> Page:
        return await purchase.found(desk.visit(request), token)

    return [all_orders, order, state, document, found]


def _info(desk: Desk, info: Info) -> list[Any]:
    @get("/how-we-rank")
    async def how_we_rank(request: AnyRequest) -> Page:
        return await info.prose(desk.visit(request), "how-we-rank")

    @get("/privacy")
    async def privacy(request: AnyRequest) -> Page:
        return await info.prose(desk.visit(request), "privacy")

    @get("/about")
    async def about(request: AnyRequest) -> Page:
        return await info.prose(desk.visit(request), "about")

    @get("/design")
    async def design(request: AnyRequest) -> Page:
        return await info.design(desk.visit(request))

    @get("/consents/{code:str}/{version:str}")
    async def consent(request: AnyRequest, code: FromPath[str], version: FromPath[str]) -> Page:
        return await info.consent(desk.visit(request), code, version)

    @get("/verify/{code:str}")
    async def verify(request: AnyRequest, code: FromPath[str]) -> Page:
        return await info.verify(desk.visit(request), code)

    @get("/docs")
    async def api_reference(request: AnyRequest) -> Page:
        return await info.api_reference(desk.visit(request))

    @get("/problems")
    async def problems(request: AnyRequest) -> Page:
        return await info.problems(desk.visit(request))

    @get("/problems/{slug:str}")
    async def problem(request: AnyRequest, slug: FromPath[str]) -> Page:
        return await info.problem(desk.visit(request), slug)

    return [api_reference, how_we_rank, privacy, about, design, consent, verify, problems, problem]


def _preferences(desk: Desk) -> Any:
    @post("/preferences")
    async def preferences(request: AnyRequest) -> Page:
        """Language and colours: harmless, so the origin alone is checked and no page needs a token for it."""
        visit = desk.visit(request)
        visit.check_origin()
        form = await request.form()
        if form.get("theme") in THEMES:
            visit.keep("theme", form["theme"], YEAR)
        if form.get("lang") in {"ru", "en"}:
            visit.keep("lang", form["lang"], YEAR)
        back = str(form.get("next", "/"))
        inside = back.startswith("/") and not back.startswith(("//", "/\\")) and back.isprintable()
        return desk.views.away(visit, back if inside else "/")

    return preferences


def _favicon(assets: Assets) -> Any:
    """Browsers ask here on pages that name no icon, such as the sandbox's."""

    @get("/favicon.ico", sync_to_thread=False)
    def favicon() -> Redirect:
        return Redirect(assets.address("img/mark.svg"), status_code=302)

    return favicon
