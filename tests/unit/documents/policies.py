"""Policies to print, as tests need them."""

from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

import msgspec

from insuretech.contracts.insurers import Policyholder
from insuretech.contracts.money import Money
from insuretech.contracts.policies import LabelledValue, PolicyPaper
from insuretech.contracts.text import Text


def policy_paper(**changes: object) -> PolicyPaper:
    """An OSAGO policy of an invented person; ``changes`` replace fields."""
    paper = PolicyPaper(
        policy_id=UUID("0190b0a0-0000-7000-8000-000000000001"),
        order_id=UUID("0190b0a0-0000-7000-8000-000000000002"),
        owner="buyer:aa",
        number="ХХХ 0166171796",
        product="osago",
        product_title=Text("ОСАГО", "Compulsory motor third-party liability"),
        insurer_name=Text("Северный Маяк", "Northern Beacon"),
        premium=Money(Decimal("8697.22")),
        starts_on=date(2026, 12, 1),
        ends_on=date(2027, 11, 30),
        issued_at=datetime(2026, 11, 22, 21, 25, tzinfo=UTC),
        policyholder=holder(),
        insured=(line("Марка и модель", "Make and model", "Lada Vesta"), line("VIN", "VIN", "XTA210990Y2765439")),
        verification_code="k3JxQm9vT2a7Zs",
    )
    return msgspec.structs.replace(paper, **changes)


def holder(**changes: object) -> Policyholder:
    """Who the policy is made out to."""
    person = Policyholder(
        last_name="Константинопольская",
        first_name="Александра",
        middle_name="Владиславовна",
        birth_date=date(1988, 2, 29),
        email="a.konst@example.com",
        phone="79161234567",
        document_kind="passport",
        document_number="4509123456",
    )
    return msgspec.structs.replace(person, **changes)


def line(ru: str, en: str, value: str) -> LabelledValue:
    """One insured thing whose value reads the same in both languages."""
    return LabelledValue(label=Text(ru, en), value=Text(value, value))
