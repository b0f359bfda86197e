"""A policy as it is printed. Holds personal data: passed from hand to hand, never in an event or a log."""

from datetime import date, datetime
from uuid import UUID

import msgspec

from insuretech.contracts.insurers import Policyholder
from insuretech.contracts.money import Money
from insuretech.contracts.text import Text


class LabelledValue(msgspec.Struct, frozen=True, kw_only=True):
    """One line about what is insured: the question's label and the answer in words."""

    label: Text
    value: Text


class PolicyPaper(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the policy document shows. ``starts_on`` to ``ends_on`` inclusive."""

    policy_id: UUID
    order_id: UUID
    owner: str
    number: str
    product: str
    product_title: Text
    insurer_name: Text
    premium: Money
    starts_on: date
    ends_on: date
    issued_at: datetime
    policyholder: Policyholder
    insured: tuple[LabelledValue, ...]
    verification_code: str
