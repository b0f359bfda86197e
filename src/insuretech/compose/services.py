"""Each service as it is wired when it runs apart: it asks others over HTTP, and serves what others ask."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from litestar.types import ControllerRouterHandler

from insuretech.compose.internal import corridor_answers, offer_answers, policy_answers
from insuretech.compose.remote import RemoteOffers, RemotePolicies, asked_once, remote_corridor
from insuretech.compose.storage import open_storage
from insuretech.connectors.directory import open_directory
from insuretech.kit.platform import Background, Platform, Service

_SANDBOX_LAG = 0.15  # seconds


def _catalogue(platform: Platform) -> Service:
    from insuretech.catalogue.app import build

    built = build(platform, insurers=open_directory(platform))
    return _serving(built.service, [corridor_answers(built.corridor, platform.settings)])


def _quotes(platform: Platform) -> Service:
    from insuretech.quotes.app import build

    corridor = remote_corridor(platform.settings, platform.http)
    built = build(platform, insurers=open_directory(platform), corridor=corridor)
    return _serving(built.service, [offer_answers(built.offers, platform.settings)])


def _orders(platform: Platform) -> Service:
    from insuretech.orders.app import build

    offers = RemoteOffers(platform.settings, platform.http)
    built = build(platform, insurers=open_directory(platform), offers=offers)
    return _serving(built.service, [policy_answers(built.policies, platform.settings)])


def _documents(platform: Platform) -> Service:
    from insuretech.documents.app import build

    policies = RemotePolicies(platform.settings, platform.http)
    return build(platform, policies=policies, storage=open_storage(platform.settings)).service


def _settlement(platform: Platform) -> Service:
    from insuretech.settlement.app import build

    return build(platform, insurers=open_directory(platform), storage=open_storage(platform.settings)).service


def _storefront(platform: Platform) -> Service:
    from insuretech.compose.description import Description
    from insuretech.storefront.app import build

    whole = Description()
    service = build(platform, known_problems=whole.problems).service
    reading = Background("storefront.description", whole.keep)
    return replace(_serving(service, whole.routes()), background=[*service.background, reading])


def _sandbox(platform: Platform) -> Service:
    from insuretech.sandbox.app import build

    corridor = asked_once(remote_corridor(platform.settings, platform.http))
    return build(platform, corridor=corridor, replicas_lag=_SANDBOX_LAG).service


def _serving(service: Service, routes: Sequence[ControllerRouterHandler]) -> Service:
    return replace(service, routes=[*service.routes, *routes])


# Each imports its service when asked: a process holds in memory what it runs, and no other service.
BUILDERS: dict[str, Callable[[Platform], Service]] = {
    "catalogue": _catalogue,
    "quotes": _quotes,
    "orders": _orders,
    "documents": _documents,
    "settlement": _settlement,
    "storefront": _storefront,
    "sandbox": _sandbox,
}
"""Every service by name."""

SEALING = frozenset({"quotes", "orders", "documents", "settlement", "storefront"})
"""Services that encrypt personal data or keys of their own, and so need the keys their replicas have."""
