"""Wires the site: the only place that names how the marketplace is reached."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

from insuretech.kit.platform import Platform, Service
from insuretech.kit.problems import ProblemKind, problem_kinds
from insuretech.kit.settings import Settings
from insuretech.storefront.assets import shipped_assets
from insuretech.storefront.desk import Desk
from insuretech.storefront.marketplace import HttpMarketplace
from insuretech.storefront.ports import Marketplace
from insuretech.storefront.routes import page_of_failure, site_routes
from insuretech.storefront.views import Views

TIME_LIMIT = 30.0
"""Seconds the site waits for the API; opening a payment may wait for the insurer's price and for the provider."""
_PAYMENT_PAGES = "https://yoomoney.ru"


@dataclass(frozen=True)
class Storefront:
    """The built site."""

    service: Service


def build(
    platform: Platform,
    *,
    marketplace_transport: httpx.AsyncBaseTransport | None = None,
    marketplace: Marketplace | None = None,
    known_problems: Callable[[], Mapping[str, ProblemKind]] = problem_kinds,
) -> Storefront:
    """The site before the marketplace at ``settings.services_url`` (else ``base_url``), or behind what is given.

    ``known_problems`` are explained to people; by default those of the code in this process.
    """
    settings = platform.settings
    if marketplace is None:
        client = httpx.AsyncClient(
            base_url=settings.services_url or settings.base_url,
            transport=marketplace_transport or platform.http.wire,
            timeout=httpx.Timeout(TIME_LIMIT, connect=3),
            trust_env=False,
        )
        marketplace = HttpMarketplace(client, TIME_LIMIT)
    desk = Desk(
        marketplace=marketplace,
        views=Views(pay_hosts=pay_hosts(settings), rehearsal=settings.sandbox_enabled),
        clock=platform.clock,
        keyring=platform.keyring,
        public_url=settings.public_url.rstrip("/"),
        problem_kinds=known_problems,
    )
    routes = site_routes(desk, shipped_assets())
    return Storefront(Service(name="storefront", routes=routes, failure_page=page_of_failure(desk)))


def pay_hosts(settings: Settings) -> tuple[str, ...]:
    """Origins at which a buyer may have to pay."""
    found = [_origin(settings.base_url), _origin(settings.sandbox_base)]
    if settings.yookassa_url:
        found += [_origin(settings.yookassa_url), _PAYMENT_PAGES]
    return tuple(dict.fromkeys(found))


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
