"""A product as other services see it; the catalogue publishes it whole with every change."""

from typing import Any, Literal

import msgspec

from insuretech.contracts.text import Text

LIST_TAG = "products"
"""The tag (``Surrogate-Key``) of the list of products in shared caches."""


def page_tag(code: str) -> str:
    """The tag of a product's page in shared caches."""
    return f"product-{code}"


class Consent(msgspec.Struct, frozen=True, kw_only=True):
    """A consent asked of the policyholder: its own text under its own version (152-FZ)."""

    code: str
    version: str
    required: bool
    title: Text
    text: Text


class CancellationRule(msgspec.Struct, frozen=True, kw_only=True):
    """How a policy of this product may be ended early and what is refunded.

    ``kind``: ``osago_early_termination`` refunds premium × ``refundable_share`` × unused days / term days;
    ``cooling_off`` refunds all before the start and pro rata after it within ``days`` of conclusion, nothing later.
    """

    kind: Literal["osago_early_termination", "cooling_off"]
    refundable_share: str = "1"
    days: int = 0
    ground: Text
    source: str
    unverified: str | None = None


class Term(msgspec.Struct, frozen=True, kw_only=True):
    """Where the answers tell the term of cover, as JSON pointers.

    The last day is ``ends_on`` itself, or the day before ``starts_on`` plus as many months as ``months`` points to, or
    plus ``fixed_months``; exactly one of the three is set.
    """

    starts_on: str
    ends_on: str | None = None
    months: str | None = None
    fixed_months: int | None = None


class ProductDefinition(msgspec.Struct, frozen=True, kw_only=True):
    """What quotes, orders and documents need to know of a product.

    ``question_set`` is a JSON Schema 2020-12 document of the answers.
    """

    code: str
    version: str
    kind: Literal["compulsory", "voluntary"]
    title: Text
    question_set: dict[str, Any]
    term: Term
    insurers: tuple[str, ...]
    consents: tuple[Consent, ...]
    cancellation: CancellationRule
