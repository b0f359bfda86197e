"""The public answers about products, rendered once per change and then given out as stored bytes."""

import gzip
from collections.abc import Iterable
from hashlib import sha256
from typing import Any, Literal

import msgspec

from insuretech.catalogue.domain import (
    ConsentText,
    Coverage,
    Listed,
    Price,
    QuestionAndAnswer,
    Step,
)
from insuretech.catalogue.ports import Page, ReadyPage
from insuretech.contracts.insurers import InsurerDirectory
from insuretech.contracts.money import Money
from insuretech.contracts.products import CancellationRule, Term
from insuretech.contracts.text import Text

CORRIDOR_HREF = "/api/v1/products/osago/corridor"


class PriceCorridor(msgspec.Struct, frozen=True, kw_only=True):
    """Between what and what the premium lies: by law (POST the answers to ``href``) or by published averages a year."""

    kind: Literal["legal", "guidance"]
    href: str | None = None
    min: Money | None = None
    max: Money | None = None


class ProductSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A product on the list; ``url`` leads to everything about it."""

    code: str
    version: str
    kind: Literal["compulsory", "voluntary"]
    title: Text
    short_title: Text
    summary: Text
    price: Price
    url: str


class ProductList(msgspec.Struct, frozen=True, kw_only=True):
    """What is sold, in the order to show it."""

    items: tuple[ProductSummary, ...]
    next_cursor: str | None = None


class InsurerShown(msgspec.Struct, frozen=True, kw_only=True):
    """An insurer of the product: average days until a claim is paid, and our share of the premium (0.10 is 10 %)."""

    code: str
    name: Text
    claims_days: int
    commission: str


class ConsentShown(msgspec.Struct, frozen=True, kw_only=True):
    """A consent the policyholder gives or not; ``url`` is its text's page on the site."""

    code: str
    version: str
    required: bool
    title: Text
    text: Text
    url: str


class ProductPage(msgspec.Struct, frozen=True, kw_only=True):
    """Everything needed to show a product, ask its questions and order it."""

    code: str
    version: str
    kind: Literal["compulsory", "voluntary"]
    title: Text
    short_title: Text
    summary: Text
    coverage: Coverage
    faq: tuple[QuestionAndAnswer, ...]
    documents: tuple[Text, ...]
    insurers: tuple[InsurerShown, ...]
    price: Price
    price_corridor: PriceCorridor
    consents: tuple[ConsentShown, ...]
    cancellation: CancellationRule
    term: Term
    question_set: dict[str, Any]
    steps: tuple[Step, ...]


def rendered_pages(listed: Iterable[Listed], consents: Iterable[ConsentText], insurers: InsurerDirectory) -> list[Page]:
    """The whole projection: the list, a page for every product, and every text anybody may have agreed to."""
    ordered = sorted(listed, key=lambda one: (one.product.position, one.product.code))
    return [
        page("products", msgspec.json.encode(ProductList(items=tuple(_summary(one) for one in ordered)))),
        *(page(f"products/{one.product.code}", msgspec.json.encode(_product(one, insurers))) for one in ordered),
        *(page(f"consents/{text.code}/{text.version}", msgspec.json.encode(text)) for text in consents),
    ]


def page(path: str, body: bytes) -> Page:
    """A stored answer; equal bytes have equal tags on every server."""
    return Page(path=path, body=body, etag=sha256(body).hexdigest()[:32])


def ready(page: Page) -> ReadyPage:
    """A page with its compressed form."""
    gzipped = gzip.compress(page.body, compresslevel=9, mtime=0)
    return ReadyPage(path=page.path, etag=page.etag, body=page.body, gzipped=gzipped)


def _summary(listed: Listed) -> ProductSummary:
    product = listed.product
    return ProductSummary(
        code=product.code,
        version=product.version,
        kind=product.kind,
        title=product.title,
        short_title=product.short_title or product.title,
        summary=product.summary,
        price=product.price,
        url=f"/api/v1/products/{product.code}",
    )


def _product(listed: Listed, insurers: InsurerDirectory) -> ProductPage:
    product, definition = listed.product, listed.definition()
    return ProductPage(
        code=product.code,
        version=product.version,
        kind=product.kind,
        title=product.title,
        short_title=product.short_title or product.title,
        summary=product.summary,
        coverage=product.coverage,
        faq=product.faq,
        documents=product.documents,
        insurers=tuple(_insurer(insurers, code) for code in product.insurers),
        price=product.price,
        price_corridor=PriceCorridor(
            kind=product.price.kind,
            href=CORRIDOR_HREF if product.price.kind == "legal" else None,
            min=product.price.min,
            max=product.price.max,
        ),
        consents=tuple(
            ConsentShown(
                code=consent.code,
                version=consent.version,
                required=consent.required,
                title=consent.title,
                text=consent.text,
                url=f"/consents/{consent.code}/{consent.version}",
            )
            for consent in definition.consents
        ),
        cancellation=product.cancellation,
        term=product.term,
        question_set=product.question_set,
        steps=product.steps,
    )


def _insurer(insurers: InsurerDirectory, code: str) -> InsurerShown:
    profile = insurers.profile(code)
    return InsurerShown(
        code=code, name=profile.name, claims_days=profile.claims_days, commission=str(profile.commission)
    )
