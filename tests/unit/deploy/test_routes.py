"""The way in to the cluster leads where the services are."""

import re

import pytest
import yaml

from deploy import routes
from insuretech.compose.addresses import ADDRESSES, service_of

PATHS = [
    "/",
    "/ru/osago",
    "/api/v1/products",
    "/api/v1/products/osago/corridor",
    "/api/v1/consents/1",
    "/api/v1/quotes/1/events",
    "/api/v1/callbacks/insurers/bystra",
    "/api/v1/orders",
    "/api/v1/payments/notifications",
    "/api/v1/policies/1/document/link",
    "/api/v1/policies/1",
    "/api/v1/documents/1",
    "/api/v1/verify/1",
    "/staff/settlement",
    "/sandbox/yookassa/v3/payments",
    "/internal/v1/orders/policies/1",
]


def test_the_charts_routes_are_those_of_the_services() -> None:
    """A resource that was added would be the storefront's "not found" in the cluster alone."""
    assert routes.FILE.read_text(encoding="utf-8") == routes.document(), "run: python -m deploy.routes"


@pytest.mark.parametrize("path", PATHS)
def test_a_path_leads_where_it_leads_everywhere_else(path: str) -> None:
    """Traefik's rules are written in other words than ours."""
    table = yaml.safe_load(routes.document())

    assert next(one["service"] for one in table["routes"] if fits(one["rule"], path)) == service_of(path)


@pytest.mark.parametrize("path", ["/internal/v1/orders/policies/1", "/internal", "/healthz/ready", "/metrics"])
def test_what_is_for_programs_of_ours_is_refused_outside(path: str) -> None:
    """Anybody could read offers and policies, or our numbers."""
    table = yaml.safe_load(routes.document())

    assert fits(table["refused"], path)
    assert not any(fits(table["refused"], one.begins) for one in ADDRESSES if not one.begins.startswith("/internal"))


def fits(rule: str, path: str) -> bool:
    """What Traefik makes of the three kinds of rules that we use (matchers of its routers, version 3)."""
    for kind, value in re.findall(r"(\w+)\(`([^`]*)`\)", rule):
        if kind == "PathPrefix" and path.startswith(value):
            return True
        if kind == "Path" and path == value:
            return True
        if kind == "PathRegexp" and re.search(value, path):
            return True
    return False
