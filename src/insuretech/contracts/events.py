"""Events that services publish: versioned facts in the past tense, without personal data.

An event's ``type`` is its topic plus name; its key is the id of the aggregate it belongs to. Fields may be added with
a default; anything else is a new version (a test compares with ``events.lock.json``).
"""

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec

from insuretech.contracts.money import Money
from insuretech.contracts.products import ProductDefinition
from insuretech.kit.events import Event

Moment = Annotated[datetime, msgspec.Meta(tz=True)]
"""A time with its offset, RFC 3339 on the wire."""


class _ProductEvent(Event, frozen=True, kw_only=True):
    topic = "catalogue.product.v1"
    code: str

    @property
    def key(self) -> str:
        return self.code


class ProductPublished(_ProductEvent, frozen=True, kw_only=True):
    """A version of a product is on sale, for the first time or in place of the one before."""

    name = "published"
    definition: ProductDefinition


class ProductWithdrawn(_ProductEvent, frozen=True, kw_only=True):
    """A product is no longer sold; quotes already given stand."""

    name = "withdrawn"


class _QuoteEvent(Event, frozen=True, kw_only=True):
    topic = "quotes.quote.v1"
    quote_id: UUID

    @property
    def key(self) -> str:
        return str(self.quote_id)


class QuoteSubmitted(_QuoteEvent, frozen=True, kw_only=True):
    """Answers were accepted and insurers are being asked."""

    name = "submitted"
    owner: str
    product: str
    product_version: str
    insurers: tuple[str, ...]
    expires_at: Moment


class OfferReceived(_QuoteEvent, frozen=True, kw_only=True):
    """An insurer's offer may be chosen until ``expires_at``.

    ``starts_on`` and ``ends_on`` are the first and last day of cover asked for.
    """

    name = "offer_received"
    offer_id: UUID
    owner: str
    product: str
    product_version: str
    insurer: str
    offer_number: str
    premium: Money
    expires_at: Moment
    starts_on: date
    ends_on: date


class OfferRefused(_QuoteEvent, frozen=True, kw_only=True):
    """An OSAGO offer outside the legal corridor was not shown."""

    name = "offer_refused"
    insurer: str
    premium: Money
    corridor_min: Money
    corridor_max: Money


class InsurerGaveNoOffer(_QuoteEvent, frozen=True, kw_only=True):
    """An insurer ended without an offer."""

    name = "no_offer"
    insurer: str
    outcome: Literal["declined", "referred", "invalid", "timed_out", "unavailable"]
    reason: str


class QuoteCompleted(_QuoteEvent, frozen=True, kw_only=True):
    """Every insurer has reached an end state."""

    name = "completed"
    offers: int


class _OrderEvent(Event, frozen=True, kw_only=True):
    topic = "orders.order.v1"
    order_id: UUID

    @property
    def key(self) -> str:
        return str(self.order_id)


class OrderPlaced(_OrderEvent, frozen=True, kw_only=True):
    """A buyer chose an offer; it is reserved for this order."""

    name = "placed"
    offer_id: UUID
    quote_id: UUID
    owner: str
    product: str
    insurer: str
    premium: Money


class PriceChanged(_OrderEvent, frozen=True, kw_only=True):
    """The insurer changed the price before payment; the buyer is asked again."""

    name = "price_changed"
    previous: Money
    premium: Money


class OrderClosed(_OrderEvent, frozen=True, kw_only=True):
    """An order ended without a policy and its offer is free again (unless ``expired`` itself)."""

    name = "closed"
    offer_id: UUID
    quote_id: UUID
    status: Literal["expired", "cancelled", "refunded", "voided"]


class PaymentAuthorised(_OrderEvent, frozen=True, kw_only=True):
    """The premium is held (two-stage) or charged (one-stage) at the payment provider."""

    name = "payment_authorised"
    payment_id: UUID
    amount: Money
    charged: bool


class PaymentCaptured(_OrderEvent, frozen=True, kw_only=True):
    """The premium has been taken for good; ``provider_id`` is the payment's id in the provider's own books."""

    name = "payment_captured"
    payment_id: UUID
    amount: Money
    provider_id: str = ""


class PaymentRefunded(_OrderEvent, frozen=True, kw_only=True):
    """Money went back to the buyer, from the payment ``provider_id``; a released hold is ``voided``."""

    name = "payment_refunded"
    payment_id: UUID
    amount: Money
    voided: bool = False
    provider_id: str = ""


class PolicyIssued(_OrderEvent, frozen=True, kw_only=True):
    """The insurer concluded the contract."""

    name = "policy_issued"
    policy_id: UUID
    offer_id: UUID
    quote_id: UUID
    number: str
    owner: str
    product: str
    insurer: str
    premium: Money
    starts_on: date
    ends_on: date
    verification_code: str


class IssueFailed(_OrderEvent, frozen=True, kw_only=True):
    """The insurer refused to conclude the contract; the money goes back."""

    name = "issue_failed"
    reason: str


class PolicyCancelled(_OrderEvent, frozen=True, kw_only=True):
    """A policy ended early with ``refund`` of its premium."""

    name = "policy_cancelled"
    policy_id: UUID
    number: str
    refund: Money
    cancelled_on: date


class DocumentReady(Event, frozen=True, kw_only=True):
    """A document lies in storage under ``storage_key`` (which holds the hash of its content)."""

    topic = "documents.document.v1"
    name = "ready"
    document_id: UUID
    policy_id: UUID
    order_id: UUID
    kind: Literal["policy"]
    storage_key: str
    sha256: str
    size: int

    @property
    def key(self) -> str:
        return str(self.policy_id)


class _RegisterEvent(Event, frozen=True, kw_only=True):
    topic = "settlement.register.v1"
    register_id: UUID
    number: str
    insurer: str
    month: date

    @property
    def key(self) -> str:
        return str(self.register_id)


class RegisterClosed(_RegisterEvent, frozen=True, kw_only=True):
    """All that is between an insurer and us for a month (by its first day) is summed up and will not change.

    ``premium`` by contracts, ``collected`` by payments, ``commission`` and ``vat`` our fee, ``payable`` what we owe.
    """

    name = "closed"
    lines: int
    premium: Money
    collected: Money
    commission: Money
    vat: Money
    payable: Money


class RegisterSent(_RegisterEvent, frozen=True, kw_only=True):
    """The signed files of a register reached the insurer; ``manifest_sha256`` is the hash of what was signed."""

    name = "sent"
    channel: Literal["api", "mail"]
    manifest_sha256: str


class RegisterAcknowledged(_RegisterEvent, frozen=True, kw_only=True):
    """The insurer confirmed the register, except for ``disputed`` lines of it."""

    name = "acknowledged"
    disputed: int


EVENTS: dict[str, type[Event]] = {
    event.type_name(): event
    for event in (
        ProductPublished,
        ProductWithdrawn,
        QuoteSubmitted,
        OfferReceived,
        OfferRefused,
        InsurerGaveNoOffer,
        QuoteCompleted,
        OrderPlaced,
        PriceChanged,
        OrderClosed,
        PaymentAuthorised,
        PaymentCaptured,
        PaymentRefunded,
        PolicyIssued,
        IssueFailed,
        PolicyCancelled,
        DocumentReady,
        RegisterClosed,
        RegisterSent,
        RegisterAcknowledged,
    )
}


def event_schemas() -> dict[str, dict[str, Any]]:
    """JSON Schema of every event type, by type name; the source of the AsyncAPI page and of the compatibility test."""
    return {name: msgspec.json.schema(event) for name, event in EVENTS.items()}
