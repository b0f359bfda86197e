"""Which service answers which address, for whatever stands in front of services that run apart.

A load balancer's configuration is made from ``ADDRESSES`` (first match counts), so that a new resource has one place
to be entered at. A test holds the table to the routes the services really have.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Address:
    """Paths that begin so lead to ``service``; with ``pattern``, only those it matches from their beginning."""

    begins: str
    service: str
    pattern: str = ""

    def leads(self, path: str) -> bool:
        """Whether a path leads there."""
        if self.pattern:
            return re.match(self.pattern, path) is not None
        return path == self.begins.rstrip("/") or path.startswith(self.begins)


ADDRESSES = (
    Address("/api/v1/products", "catalogue"),
    Address("/api/v1/consents/", "catalogue"),
    Address("/api/v1/quotes", "quotes"),
    Address("/api/v1/callbacks/insurers/", "quotes"),
    Address("/api/v1/policies/", "documents", pattern=r"/api/v1/policies/[^/]+/document"),
    Address("/api/v1/documents/", "documents"),
    Address("/api/v1/orders", "orders"),
    Address("/api/v1/payments/notifications", "orders"),
    Address("/api/v1/policies/", "orders"),
    Address("/api/v1/verify/", "orders"),
    Address("/staff", "settlement"),
    Address("/settlement", "settlement"),
    Address("/sandbox", "sandbox"),
    Address("/internal/v1/catalogue/", "catalogue"),
    Address("/internal/v1/quotes/", "quotes"),
    Address("/internal/v1/orders/", "orders"),
    Address("/", "storefront"),
)

INSIDE = "/internal/"
"""Refused to everybody who comes from outside."""
OF_EACH_PROCESS = ("/healthz/", "/metrics")
"""Asked of a process itself, never through a load balancer."""


def service_of(path: str) -> str | None:
    """Where a path leads; None for what no balancer passes on."""
    if path.startswith(OF_EACH_PROCESS):
        return None
    return next((address.service for address in ADDRESSES if address.leads(path)), None)
