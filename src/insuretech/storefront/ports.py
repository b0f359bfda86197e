"""What the site needs of the marketplace: the shapes its pages show, and the calls they make.

The shapes follow the public HTTP API; unknown fields are ignored, so the API may grow.
"""

from datetime import date, datetime
from decimal import Decimal
from typing import Any, Protocol
from uuid import UUID

import msgspec

from insuretech.contracts.money import Money
from insuretech.contracts.text import Language, Text


class View(msgspec.Struct, frozen=True, kw_only=True):
    """A shape the API answers with."""


class InsurerName(View, frozen=True):
    """An insurer as shown; ``claims_days`` is how long it takes to pay a claim, on average."""

    code: str
    name: Text
    claims_days: int | None = None
    commission: Decimal | None = None


class Price(View, frozen=True):
    """How a product is priced: by law within a corridor, or by each insurer; ``text`` says it in words."""

    kind: str = ""
    text: Text = Text("", "")
    factors: tuple[Text, ...] = ()
    source: Text | str = ""
    min: Money | None = None
    max: Money | None = None


class ProductSummary(View, frozen=True, kw_only=True):
    """A product on the list."""

    code: str
    title: Text
    short_title: Text
    kind: str = "voluntary"
    summary: Text = Text("", "")
    price: Price | None = None


class Coverage(View, frozen=True):
    """What is insured and what is not."""

    included: tuple[Text, ...] = ()
    excluded: tuple[Text, ...] = ()


class Answered(View, frozen=True):
    """A question people ask, with its answer."""

    question: Text
    answer: Text


class ConsentView(View, frozen=True):
    """A consent the policyholder is asked for."""

    code: str
    version: str
    title: Text
    required: bool = False
    text: Text = Text("", "")


class Step(View, frozen=True):
    """One page of the wizard: JSON pointers of the answers it asks for."""

    id: str
    title: Text
    fields: tuple[str, ...] = ()
    hint: Text | None = None


class Product(ProductSummary, frozen=True, kw_only=True):
    """Everything a product page and its wizard show."""

    version: str
    coverage: Coverage = Coverage()
    faq: tuple[Answered, ...] = ()
    documents: tuple[Text, ...] = ()
    insurers: tuple[InsurerName, ...] = ()
    consents: tuple[ConsentView, ...] = ()
    question_set: dict[str, Any] = {}
    steps: tuple[Step, ...] = ()

    @property
    def has_corridor(self) -> bool:
        """Whether the law limits the price, so that its corridor can be shown while answering."""
        return self.price is not None and self.price.kind == "legal"


class Factor(View, frozen=True):
    """One factor of an OSAGO premium; ``TB`` has ``min`` and ``max``, the others ``value``."""

    code: str
    value: str | None = None
    min: str | None = None
    max: str | None = None
    why: str = ""
    source: str = ""
    status: str | None = None


class Corridor(View, frozen=True):
    """The lowest and highest premium the law allows."""

    edition: str
    min: Money
    max: Money
    factors: tuple[Factor, ...] = ()


class NewQuote(View, frozen=True):
    """A quote just made; the token opens it and everything that follows from it."""

    id: UUID
    access_token: str
    status: str
    expires_at: datetime


class InsurerLine(View, frozen=True):
    """How one insurer stands with a quote; ``reason`` is a sentence where it ended without an offer."""

    code: str
    name: str
    outcome: str
    reason: str | None = None
    claims_days: int | None = None


class Offer(View, frozen=True):
    """An insurer's offer; ``commission`` is our share of the premium."""

    id: UUID
    insurer: str
    insurer_name: str
    premium: Money
    expires_at: datetime
    status: str = "active"
    claims_days: int | None = None
    commission: Decimal | None = None


class Insured(View, frozen=True):
    """One answer in words."""

    label: str
    value: str


class Quote(View, frozen=True):
    """A quote with every insurer's outcome."""

    id: UUID
    product: str
    status: str
    insured: tuple[Insured, ...] = ()
    insurers: tuple[InsurerLine, ...] = ()
    offers: tuple[Offer, ...] = ()
    expires_at: datetime | None = None


class Explanation(View, frozen=True):
    """Where an order stands: a stable code, what happened, what becomes of the money, the insurer's own sentence."""

    code: str = "unknown"
    what: Text = Text("", "")
    money: Text = Text("", "")
    detail: str | None = None


class PaymentView(View, frozen=True):
    """The payment of an order."""

    status: str
    confirmation_url: str | None = None


class PolicyView(View, frozen=True):
    """The policy of an order."""

    number: str
    status: str
    starts_on: date
    ends_on: date
    document_url: str | None = None
    verification_code: str | None = None


class Order(View, frozen=True):
    """An order and all that belongs to it."""

    id: UUID
    status: str
    premium: Money
    product: str
    insurer: InsurerName
    quote_id: UUID
    offer_id: UUID
    previous_premium: Money | None = None
    explanation: Explanation = Explanation()
    payment: PaymentView | None = None
    policy: PolicyView | None = None
    pay_until: datetime | None = None
    created_at: datetime | None = None


class PaymentStart(View, frozen=True):
    """Where the buyer pays."""

    payment_id: str
    confirmation_url: str


class CancellationPreview(View, frozen=True):
    """What ending a policy today would bring back, and by which rule."""

    id: UUID
    refund: Money
    retained: Money
    legal_ground: Text
    expires_at: datetime


class Verification(View, frozen=True):
    """What anyone who holds a policy's code may know of it: no personal data."""

    number: str
    insurer: Text
    product: Text
    starts_on: date
    ends_on: date
    status: str


class FieldFault(View, frozen=True):
    """One thing wrong with one field."""

    pointer: str
    code: str = ""
    detail: str = ""


class Refused(Exception):
    """The marketplace answered with a problem document; ``slug`` is the last part of its ``type``."""

    def __init__(self, status: int, slug: str, detail: str, faults: tuple[FieldFault, ...] = ()) -> None:
        super().__init__(f"{status} {slug}: {detail}")
        self.status = status
        self.slug = slug
        self.detail = detail
        self.faults = faults


class Marketplace(Protocol):
    """The public API, as the site calls it.

    ``token`` is the buyer's access token, ``key`` the idempotency key of the form that was sent. Every call raises
    ``Refused``: 404 for what does not exist or belongs to someone else, 503 when the API does not answer.
    """

    async def products(self) -> tuple[ProductSummary, ...]: ...

    async def product(self, code: str) -> Product: ...

    async def consent(self, code: str, version: str) -> ConsentView: ...

    async def places(self) -> dict[str, tuple[str, ...]]:
        """Towns whose OSAGO coefficient is known, by region."""
        ...

    async def corridor(self, answers: dict[str, Any], concluded_on: date, language: Language) -> Corridor: ...

    async def submit_quote(self, product: str, answers: dict[str, Any], key: str, language: Language) -> NewQuote: ...

    async def quote(self, quote_id: UUID, token: str, language: Language) -> Quote: ...

    async def place_order(self, body: dict[str, Any], token: str, key: str, language: Language) -> Order: ...

    async def order(self, order_id: UUID, token: str) -> Order: ...

    async def orders(self, token: str) -> tuple[Order, ...]: ...

    async def consent_to_price(self, order_id: UUID, premium: Money, token: str, key: str) -> Order: ...

    async def start_payment(self, order_id: UUID, return_url: str, method: str, token: str, key: str) -> PaymentStart:
        """``method``: ``card`` is held first, ``sbp`` charged at once."""
        ...

    async def preview_cancellation(self, order_id: UUID, token: str, key: str) -> CancellationPreview: ...

    async def confirm_cancellation(self, order_id: UUID, preview_id: UUID, token: str, key: str) -> None: ...

    async def policy_document(self, number: str, token: str) -> bytes: ...

    async def verification(self, code: str) -> Verification: ...

    async def description(self) -> dict[str, Any]:
        """The API's OpenAPI document."""
        ...
