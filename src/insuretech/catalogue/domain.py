"""A product as it is written down and sold."""

from typing import Annotated, Any, Literal

import msgspec

from insuretech.contracts.money import Money
from insuretech.contracts.products import CancellationRule, Consent, ProductDefinition, Term
from insuretech.contracts.text import Text


class QuestionAndAnswer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of the questions people ask before they buy."""

    question: Text
    answer: Text


class Coverage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the product covers and what it does not, each a line."""

    included: tuple[Text, ...]
    excluded: tuple[Text, ...]


class Price(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What can be said of the price before anything is answered.

    ``legal``: the law sets limits, which the corridor computes. ``guidance``: insurers price; ``min`` and ``max`` are
    published averages a year and absent where no dependable ones were found. ``source`` is one text where it reads the
    same in both languages, such as an address.
    """

    kind: Literal["legal", "guidance"]
    text: Text
    factors: tuple[Text, ...]
    source: Text | str
    min: Money | None = None
    max: Money | None = None


class Step(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One page of the wizard: the answers asked for together, as JSON pointers."""

    id: str
    title: Text
    fields: tuple[str, ...]
    hint: Text | None = None


class ConsentAsked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A consent this product asks for; its text and version are in a file of its own."""

    code: str
    required: bool


class ConsentText(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A consent's text. A changed text is a new version: people agreed to the old one."""

    code: Annotated[str, msgspec.Meta(pattern="^[a-z][a-z0-9-]{0,63}$")]
    version: Annotated[str, msgspec.Meta(pattern="^[0-9A-Za-z][0-9A-Za-z.-]{0,31}$")]
    title: Text
    text: Text


class Product(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A product file; ``position`` is its place on the list, ``short_title`` a word for menus if the title is long."""

    code: Annotated[str, msgspec.Meta(pattern="^[a-z][a-z0-9-]{0,63}$")]
    version: Annotated[str, msgspec.Meta(pattern="^[0-9A-Za-z][0-9A-Za-z.-]{0,31}$")]
    position: int
    kind: Literal["compulsory", "voluntary"]
    title: Text
    short_title: Text | None = None
    summary: Text
    coverage: Coverage
    faq: tuple[QuestionAndAnswer, ...]
    documents: tuple[Text, ...]
    insurers: tuple[str, ...]
    consents: tuple[ConsentAsked, ...]
    cancellation: CancellationRule
    price: Price
    term: Term
    question_set: dict[str, Any]
    steps: tuple[Step, ...]


class Listed(msgspec.Struct, frozen=True):
    """A product together with the texts of its consents."""

    product: Product
    consents: tuple[ConsentText, ...]

    def definition(self) -> ProductDefinition:
        """What other services are told."""
        product, texts = self.product, {text.code: text for text in self.consents}
        return ProductDefinition(
            code=product.code,
            version=product.version,
            kind=product.kind,
            title=product.title,
            question_set=product.question_set,
            term=product.term,
            insurers=product.insurers,
            consents=tuple(_consent(asked, texts[asked.code]) for asked in product.consents),
            cancellation=product.cancellation,
        )


def _consent(asked: ConsentAsked, text: ConsentText) -> Consent:
    return Consent(code=text.code, version=text.version, required=asked.required, title=text.title, text=text.text)
