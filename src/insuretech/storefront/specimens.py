"""Made-up contents for the /design page, so that every component is seen in use."""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from insuretech.contracts.money import Money
from insuretech.contracts.text import Text
from insuretech.storefront.domain import Field, Option, Problemlet
from insuretech.storefront.narration import Milestone
from insuretech.storefront.offers import OfferCard
from insuretech.storefront.ports import ConsentView, InsurerName
from insuretech.storefront.wizard import StepMark


def _(message: str) -> str:
    """Marks a message for the catalogue of translations."""
    return message


def design_context(now: datetime, say: Callable[[str], str]) -> dict[str, Any]:
    """One of everything."""
    purposes = (
        Option(value="personal", label=say(_("For myself")), hint=say(_("Trips to work, to the country, on holiday"))),
        Option(value="taxi", label=say(_("As a taxi"))),
    )
    fields = [
        Field(name="/a", label=say(_("Number plate")), widget="plate", mask="plate", placeholder="А123ВС77"),
        Field(name="/b", label="VIN", widget="vin", mask="vin", example="XTA210990Y2765439"),
        Field(name="/c", label=say(_("Engine power")), widget="number", value="87", unit=say(_("hp")), hint=say(_("It stands in the registration certificate."))),
        Field(name="/d", label=say(_("Date of birth")), widget="date", mask="date", value="31.02.1990", error=say(_("There is no such day."))),
        Field(name="/e", label=say(_("What the car is used for")), widget="choice", options=purposes, value="personal"),
        Field(name="/f", label=say(_("Region")), widget="select", options=(Option(value="1", label="Москва"),), optional=True),
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
            StepMark(title=say(_("Car")), state="done"),
            StepMark(title=say(_("Drivers")), state="current"),
            StepMark(title=say(_("Check your answers")), state="todo"),
        ],
        "errors": [Problemlet(id="f-d", label=say(_("Date of birth")), text=say(_("There is no such day.")))],
        "offers": [
            _offer(1, "Северный щит", "Northern Shield", "7490.00", 6, now),
            _offer(2, "Полюс", "Polus", "8697.22", 4, now),
        ],
        "timeline": [
            Milestone(title=say(_("Order")), state="done"),
            Milestone(title=say(_("Payment")), state="current", text=say(_("You need not wait here."))),
            Milestone(title=say(_("Policy")), state="todo"),
        ],
        "facts": [(say(_("Insurer")), Text("Полюс", "Polus")), (say(_("Price")), Money(Decimal("8697.22")))],
    }


def _offer(number: int, ru: str, en: str, amount: str, days: int, now: datetime) -> OfferCard:
    return OfferCard(
        id=UUID(int=number),
        insurer=InsurerName(code=en.lower(), name=Text(ru, en), claims_days=days),
        premium=Money(Decimal(amount)),
        expires_at=now + timedelta(days=1),
        open=True,
        state_text=None,
    )
