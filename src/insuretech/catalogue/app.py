"""Wires the catalogue."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import date
from importlib.resources.abc import Traversable
from typing import Any

from insuretech.catalogue import queries
from insuretech.catalogue.commands import Loaded, ProductDesk
from insuretech.catalogue.osago.corridors import Corridors, load_corridors
from insuretech.catalogue.places import Places
from insuretech.catalogue.ports import OnSale
from insuretech.catalogue.product_files import read_products
from insuretech.catalogue.reactions import page_reaction
from insuretech.catalogue.ready_pages import ReadyPages
from insuretech.catalogue.repository import CatalogueRepository, PostgresPages, transaction_of
from insuretech.catalogue.routes import catalogue_router
from insuretech.catalogue.shelf import Shelf
from insuretech.catalogue.tables import messaging
from insuretech.contracts.insurers import InsurerDirectory
from insuretech.contracts.tariffs import Corridor, CorridorSource
from insuretech.contracts.text import Language
from insuretech.kit.db import Database
from insuretech.kit.platform import Background, Platform, Service


@dataclass(frozen=True)
class Catalogue:
    """The service, wired; ``corridor`` is what quotes hold OSAGO offers against."""

    service: Service
    corridor: CorridorSource
    load: Callable[[Traversable | None], Awaitable[list[Loaded]]]
    """Load the product files of a folder (the packaged ones by default), as ``products load`` does."""
    withdraw: Callable[[str], Awaitable[None]]
    products: Callable[[], Awaitable[list[OnSale]]]
    """Every product with its current version, as ``products list`` shows it."""


def build(platform: Platform, *, insurers: InsurerDirectory) -> Catalogue:
    """Wire the catalogue; reads the tariff tables, opens nothing else."""
    database = platform.database("catalogue")
    corridors = load_corridors()
    desk = ProductDesk(transaction_of(database), insurers, platform.clock)
    pages = ReadyPages(platform.hot, PostgresPages(database), platform.clock)
    shelf = Shelf(pages)

    async def load(folder: Traversable | None = None) -> list[Loaded]:
        loaded = await desk.load_products(read_products(folder, insurers=insurers.codes()))
        await desk.build_pages()  # also of what has not changed: this version may draw it in another way
        return loaded

    async def seed() -> None:
        """Sell what the package brings along."""
        await load()

    async def follow() -> None:
        """Hot storage follows the pages; what this process follows itself, it also shows at once."""
        await pages.projection.keep_true(healed=shelf.wake)

    return Catalogue(
        service=Service(
            name="catalogue",
            routes=[catalogue_router(shelf, corridors, Places(corridors.tariff, platform.clock))],
            reactions=[page_reaction(database, desk, CatalogueRepository, pages.projection.wake)],
            background=[Background("catalogue.shelf", shelf.keep_fresh), Background("catalogue.pages", follow)],
            seed=[seed],
            on_start=[shelf.refresh],
            database=database,
            serves_without_database=True,
            messaging=messaging,
            projections={"pages": desk.build_pages},
            hot=(pages.projection,),
        ),
        corridor=_corridor_source(corridors),
        load=load,
        withdraw=desk.withdraw_product,
        products=_product_list(database),
    )


def _corridor_source(corridors: Corridors) -> CorridorSource:
    async def corridor(concluded_on: date, answers: dict[str, Any], language: Language) -> Corridor:
        return corridors.corridor(concluded_on, answers, language=language)

    return corridor


def _product_list(database: Database) -> Callable[[], Awaitable[list[OnSale]]]:
    async def products() -> list[OnSale]:
        async with database.reading() as connection:
            return await queries.current_products(connection)

    return products
