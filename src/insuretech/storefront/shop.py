"""The first page and the product pages."""

from datetime import date, timedelta
from typing import Any

from litestar import Response

from insuretech.contracts.answers import question_at
from insuretech.storefront.desk import Desk
from insuretech.storefront.ports import Corridor, Product, Refused
from insuretech.storefront.visits import Visit

# A case everyone can picture: a car for the town and someone who has driven it for years.
_SPECIMEN_DRIVER = {"birth_date": "1990-05-15", "licence_since": "2012-06-20", "kbm_class": "3"}


class Shop:
    """What is sold, and why trust it."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._specimen: tuple[date, str, Corridor] | None = None

    async def home(self, visit: Visit) -> Response[bytes]:
        products = await self._desk.shelf()
        with_plate = [product.code for product in products if await self._asks_plate(product.code)]
        context = {
            "products": products,
            "plate_product": with_plate[0] if with_plate else "",
            "specimen": await self._corridor(visit) if with_plate else None,
        }
        return await self._desk.page(visit, "home.html", context)

    async def product(self, visit: Visit, code: str) -> Response[bytes]:
        product = await self._desk.marketplace.product(code)
        insurers = sorted(product.insurers, key=lambda insurer: insurer.name.in_language(visit.language).lower())
        context = {"product": product, "insurers": insurers, "has_draft": bool(visit.draft(code))}
        return await self._desk.page(visit, "product.html", context)

    async def _asks_plate(self, code: str) -> bool:
        try:
            product: Product = await self._desk.marketplace.product(code)
        except Refused:
            return False
        return question_at(product.question_set, "/vehicle/plate") is not None

    async def _corridor(self, visit: Visit) -> Corridor | None:
        """The corridor of a well-known case, counted once a day; without it the page is still a page."""
        today = self._desk.today()
        if self._specimen is None or self._specimen[:2] != (today, visit.language):
            try:
                found = await self._desk.marketplace.corridor(_specimen_answers(today), today, visit.language)
            except Refused:
                return None
            self._specimen = (today, visit.language, found)
        return self._specimen[2]


def _specimen_answers(today: date) -> dict[str, Any]:
    return {
        "vehicle": {"category": "B", "power_hp": "87", "purpose": "personal", "trailer": False},
        "owner": {"kind": "individual", "region": "Москва", "territory": "Москва"},
        "drivers": {"limited": True, "list": [_SPECIMEN_DRIVER]},
        "use": {"starts_on": (today + timedelta(days=4)).isoformat(), "months": 12},
    }
