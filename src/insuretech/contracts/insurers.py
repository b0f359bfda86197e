"""The port between the marketplace and an insurer.

A connector translates these calls into one insurer's dialect. ``reference`` is always ours (the id of the quote
line or of the order), constant over attempts, so that no insurer is asked twice for the same thing.
"""

from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal, Protocol
from uuid import UUID

import msgspec

from insuretech.contracts.money import Money
from insuretech.contracts.text import Text


class InsurerProfile(msgspec.Struct, frozen=True, kw_only=True):
    """How one insurer is reached and shown; a row of the directory file.

    ``time_limit`` and ``offer_ttl`` are seconds, ``claims_days`` the average days until a claim is paid,
    ``commission`` our share of the premium, ``secret`` the name of the setting holding the shared secret.
    """

    code: str
    name: Text
    dialect: Literal["json_polling", "json_callback", "xml_sync"]
    url: str
    claims_days: int
    commission: Decimal
    time_limit: float = 60.0
    concurrency: int = 64
    secret: str = "SANDBOX_SECRET"  # noqa: S105 - the name of a setting


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """Where callbacks of an insurer reach us."""

    callback_url: str


class OfferRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Asks an insurer to price ``answers`` (the product's question set filled in) by ``reference``."""

    reference: UUID
    product: str
    product_version: str
    answers: dict[str, Any]


class Offered(msgspec.Struct, frozen=True, kw_only=True, tag="offered"):
    """The insurer offers cover for ``premium`` until ``expires_at`` under its own ``offer_number``."""

    offer_number: str
    premium: Money
    expires_at: datetime


class Declined(msgspec.Struct, frozen=True, kw_only=True, tag="declined"):
    """The insurer does not want this risk; ``reason`` is its own sentence."""

    reason: str


class Referred(msgspec.Struct, frozen=True, kw_only=True, tag="referred"):
    """The insurer's underwriter must look first; no offer will come by itself."""

    reason: str


class Invalid(msgspec.Struct, frozen=True, kw_only=True, tag="invalid"):
    """The insurer cannot use the answers as given."""

    reason: str


class Pending(msgspec.Struct, frozen=True, kw_only=True, tag="pending"):
    """Accepted; ask again after ``retry_after`` seconds (or wait for the callback)."""

    retry_after: float = 1.0


class NotKnown(msgspec.Struct, frozen=True, kw_only=True, tag="not_known"):
    """The insurer states that it has never seen this reference."""


OfferAnswer = Offered | Declined | Referred | Invalid | Pending
OfferState = Offered | Declined | Referred | Invalid | Pending | NotKnown


class PriceConfirmed(msgspec.Struct, frozen=True, kw_only=True, tag="price_confirmed"):
    """The offer is reserved for this order at ``premium``; it may differ from the one offered."""

    premium: Money
    expires_at: datetime


class PriceRefused(msgspec.Struct, frozen=True, kw_only=True, tag="price_refused"):
    """The insurer no longer stands by its offer."""

    reason: str


class Policyholder(msgspec.Struct, frozen=True, kw_only=True):
    """The person the insurer contracts with. Personal data: never logged, never in an event."""

    last_name: str
    first_name: str
    middle_name: str | None
    birth_date: date
    email: str
    phone: str
    document_kind: str
    document_number: str


class IssueRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Asks the insurer to conclude the contract for the order ``reference``."""

    reference: UUID
    offer_number: str
    premium: Money
    policyholder: Policyholder


class Issued(msgspec.Struct, frozen=True, kw_only=True, tag="issued"):
    """The contract is concluded under ``policy_number``; cover runs from ``starts_on`` to ``ends_on`` inclusive."""

    policy_number: str
    premium: Money
    starts_on: date
    ends_on: date


class IssueRefused(msgspec.Struct, frozen=True, kw_only=True, tag="issue_refused"):
    """The insurer will not conclude the contract; final."""

    reason: str


IssueAnswer = Issued | IssueRefused | Pending
IssueState = Issued | IssueRefused | Pending | NotKnown


class PolicyEnded(msgspec.Struct, frozen=True, kw_only=True, tag="policy_ended"):
    """The insurer has ended the policy and agrees to ``refund``."""

    refund: Money


class EndRefused(msgspec.Struct, frozen=True, kw_only=True, tag="end_refused"):
    """The insurer refuses to end the policy."""

    reason: str


EndAnswer = PolicyEnded | EndRefused


class InsurerUnavailable(Exception):
    """The insurer did not take the request (refused, breaker open, 503 before work): sending again is safe."""


class OutcomeUnknown(Exception):
    """The request may have been carried out (time-out, broken answer): look up its state before anything else."""


class InsurerConnector(Protocol):
    """One insurer. Every method raises ``InsurerUnavailable`` or ``OutcomeUnknown``, nothing else."""

    async def request_offer(self, request: OfferRequest) -> OfferAnswer:
        """Ask for an offer; repeating the same reference gives the same offer."""
        ...

    async def offer_state(self, reference: UUID) -> OfferState:
        """What became of the request for an offer."""
        ...

    async def confirm_price(self, reference: UUID, offer_number: str) -> PriceConfirmed | PriceRefused:
        """Reserve the offer for the order ``reference`` at a binding price; safe to repeat."""
        ...

    async def issue(self, request: IssueRequest) -> IssueAnswer:
        """Conclude the contract; the insurer concludes at most one per reference."""
        ...

    async def issue_state(self, reference: UUID) -> IssueState:
        """What became of ``issue`` for this order."""
        ...

    async def end_policy(self, reference: UUID, policy_number: str, refund: Money) -> EndAnswer:
        """End the policy early; ``reference`` is the cancellation's id, safe to repeat."""
        ...

    def verify_callback(self, body: bytes, signature: str) -> UUID | None:
        """The reference a signed callback speaks of, or None when the signature or body is not genuine.

        Its content is not believed: the caller asks ``offer_state`` or ``issue_state`` again.
        """
        ...


class InsurerDirectory(Protocol):
    """All insurers we are connected with."""

    def profile(self, code: str) -> InsurerProfile: ...

    def connector(self, code: str) -> InsurerConnector: ...

    def codes(self) -> tuple[str, ...]: ...
