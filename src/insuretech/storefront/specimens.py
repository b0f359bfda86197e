"""Made-up contents for the /design page, so that every component is seen in use."""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from insuretech.contracts.money import Money
from insuretech.contracts.text import Text
from insuretech.storefront.domain.fields import Field, Option, Problemlet
from insuretech.storefront.narration import Milestone
from insuretech.storefront.offers import OfferCard
from insuretech.storefront.ports import ConsentView
from insuretech.storefront.wizard import StepMark


def design_context(now: datetime, say: Callable[[str], str]) -> dict[str, Any]:
    """One of everything."""
    purposes = (
        Option(value="personal", label=say("For myself"), hint=say("Trips to work, to the country, on holiday")),
        Option(value="taxi", label=say("As a taxi")),
    )
    certificate, no_day = say("It stands in the registration certificate."), say("There is no such day.")
    class_options = (Option(value="1", label="Москва"),)
    fields = [
        Field(name="/a", label=say("Number plate"), widget="plate", mask="plate", placeholder="А123ВС77"),
        Field(name="/b", label="VIN", widget="vin", mask="vin", example="XTA210990Y2765439"),
        Field(name="/c", label=say("Engine power"), widget="number", value="87", unit=say("hp"), hint=certificate),
        Field(name="/d", label=say("Date of birth"), widget="date", mask="date", value="31.02.1990", error=no_day),
        Field(name="/e", label=say("What the car is used for"), widget="choice", options=purposes, value="personal"),
        Field(name="/f", label=say("Region"), widget="select", options=class_options, optional=True),
    ]  # fmt: skip
    return {
        "fields": fields,
        "consent": ConsentView(
            code="sample",
            version="1",
            required=True,
            title=Text("Согласие на обработку данных", "Consent to data processing"),
        ),
        "steps": [
            StepMark(title=say("Car"), state="done"),
            StepMark(title=say("Drivers"), state="current"),
            StepMark(title=say("Check your answers"), state="todo"),
        ],
        "errors": [Problemlet(id="f-d", label=say("Date of birth"), text=no_day)],
        "offers": [
            _offer(1, "Северный щит", "7490.00", 6, now),
            _offer(2, "Полюс", "8697.22", 4, now),
        ],
        "timeline": [
            Milestone(title=say("Order"), state="done"),
            Milestone(title=say("Payment"), state="current", text=say("You need not wait here.")),
            Milestone(title=say("Policy"), state="todo"),
        ],
        "facts": [(say("Insurer"), Text("Полюс", "Polus")), (say("Price"), Money(Decimal("8697.22")))],
    }


def _offer(number: int, name: str, amount: str, days: int, now: datetime) -> OfferCard:
    return OfferCard(
        id=UUID(int=number),
        insurer=str(number),
        name=name,
        claims_days=days,
        premium=Money(Decimal(amount)),
        expires_at=now + timedelta(days=1),
        open=True,
        state_text=None,
    )
