"""The catalogue over HTTP: products, texts of consents, and the legal corridor of OSAGO."""

from datetime import date
from typing import Any

import msgspec
from litestar import Request, Response, Router, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, JSONBody

from insuretech.catalogue.domain import ConsentText
from insuretech.catalogue.osago.corridors import Corridors
from insuretech.catalogue.pages import ProductList, ProductPage
from insuretech.catalogue.places import PlaceList, Places
from insuretech.catalogue.shelf import Shelf, Shelved
from insuretech.contracts.tariffs import Corridor
from insuretech.contracts.text import preferred_language
from insuretech.kit.problems import NotFound, responses
from insuretech.kit.web import UNCOMPRESSED, ReadyAnswer

AnyRequest = Request[object, object, State]

_STORED = {UNCOMPRESSED: True}
_NOT_MODIFIED = {304: ResponseSpec(None, description="You have this version already", generate_examples=False)}


class CorridorRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The day the contract is concluded, which chooses the edition of the tariff, and the OSAGO answers."""

    concluded_on: date
    answers: dict[str, Any]


@get(
    "/api/v1/products",
    operation_id="listProducts",
    summary="What is sold",
    tags=["products"],
    opt=_STORED,
    responses={
        200: ResponseSpec(ProductList, description="The products", generate_examples=False),
        **_NOT_MODIFIED,
        **responses(),
    },
)
async def list_products(request: AnyRequest, shelf: NamedDependency[Shelf]) -> ReadyAnswer:
    """Give out the list."""
    return stored(request, shelf.page("products"))


@get(
    "/api/v1/products/{code:str}",
    operation_id="product",
    summary="A product with its questions, consents and insurers",
    tags=["products"],
    opt=_STORED,
    responses={
        200: ResponseSpec(ProductPage, description="The product", generate_examples=False),
        **_NOT_MODIFIED,
        **responses(404),
    },
)
async def product_page(request: AnyRequest, code: FromPath[str], shelf: NamedDependency[Shelf]) -> ReadyAnswer:
    """Give out a product's page."""
    return stored(request, shelf.page(f"products/{code}"))


@get(
    "/api/v1/consents/{code:str}/{version:str}",
    operation_id="consentText",
    summary="The text of a consent, in any version anybody was ever asked for",
    tags=["products"],
    opt=_STORED,
    responses={
        200: ResponseSpec(ConsentText, description="The text", generate_examples=False),
        **_NOT_MODIFIED,
        **responses(404),
    },
)
async def consent_text(
    request: AnyRequest, code: FromPath[str], version: FromPath[str], shelf: NamedDependency[Shelf]
) -> ReadyAnswer:
    """Give out a consent's text."""
    return stored(request, shelf.page(f"consents/{code}/{version}"))


@get(
    "/api/v1/products/osago/territories",
    operation_id="osagoTerritories",
    summary="Regions and places whose OSAGO coefficient is known today",
    tags=["products"],
    opt=_STORED,
    responses={
        200: ResponseSpec(PlaceList, description="The places", generate_examples=False),
        **_NOT_MODIFIED,
        **responses(),
    },
)
async def osago_territories(request: AnyRequest, places: NamedDependency[Places]) -> ReadyAnswer:
    """Give out the places."""
    return stored(request, places.today())


@post(
    "/api/v1/products/osago/corridor",
    operation_id="osagoCorridor",
    summary="The lowest and the highest OSAGO premium the law allows",
    description=(
        "Every factor tells why it applies and where its number comes from, in the language of Accept-Language "
        "(Russian by default). A case the tariff data do not cover is refused (tariff-unavailable), never guessed."
    ),
    tags=["products"],
    status_code=200,
    responses=responses(408, 413, 415, 422),
)
async def osago_corridor(
    request: AnyRequest, data: JSONBody[CorridorRequest], corridors: NamedDependency[Corridors]
) -> Response[Corridor]:
    """Compute a corridor."""
    language = preferred_language(request.headers.get("accept-language", ""))
    corridor = corridors.corridor(data.concluded_on, data.answers, language=language, prefix="/answers")
    return Response(corridor, headers={"Cache-Control": "no-store", "Vary": "Accept-Language"})


def stored(request: AnyRequest, page: Shelved | None) -> ReadyAnswer:
    """A shelved page as an answer; raises ``NotFound``."""
    if page is None:
        raise NotFound
    return page.answer(request.scope["headers"])


def catalogue_router(shelf: Shelf, corridors: Corridors, places: Places) -> Router:
    """The service's part of the API."""
    return Router(
        path="/",
        route_handlers=[list_products, product_page, consent_text, osago_territories, osago_corridor],
        dependencies={
            "shelf": Provide(lambda: shelf, sync_to_thread=False),
            "corridors": Provide(lambda: corridors, sync_to_thread=False),
            "places": Provide(lambda: places, sync_to_thread=False),
        },
    )
