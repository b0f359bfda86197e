"""What is to be insured, read from a buyer's answers."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from insuretech.contracts.answers import REQUIRED, AnswerFault
from insuretech.contracts.dates import full_years
from insuretech.contracts.text import Text

NEW_DRIVER = "3"
LEAST_AGE = 16
POWERED = frozenset({"A", "A1", "M", "B1", "B", "BE"})
"""Categories whose premium may depend on power."""


@dataclass(frozen=True, slots=True)
class Driver:
    """A driver on the day the contract is concluded: full years of age and of experience, and the class of KBM."""

    age: int
    experience: int
    kbm_class: str
    class_given: bool


@dataclass(frozen=True, slots=True)
class Case:
    """Everything the tariff depends on. ``months`` or ``days`` is set, never both; ``power`` is hp, mass is kg."""

    category: str
    power: Decimal | None
    max_mass: int | None
    purpose: str
    trailer: bool
    registration: str
    unfriendly_state: bool | None
    owner: str
    region: str | None
    territory: str | None
    limited: bool
    drivers: tuple[Driver, ...]
    months: int | None
    days: int | None


def read_case(answers: Mapping[str, Any], on: date) -> tuple[Case, list[AnswerFault]]:
    """The case of answers that fit the schema, and what in them cannot be; with faults the case is not to be used."""
    vehicle, owner, drivers, use = (answers[name] for name in ("vehicle", "owner", "drivers", "use"))
    listed = drivers.get("list", []) if drivers["limited"] else []
    case = Case(
        category=vehicle["category"],
        power=Decimal(vehicle["power_hp"].replace(",", ".")) if "power_hp" in vehicle else None,
        max_mass=vehicle.get("max_mass_kg"),
        purpose=vehicle.get("purpose", "personal"),
        trailer=vehicle.get("trailer", False),
        registration=vehicle.get("registration", "russia"),
        unfriendly_state=vehicle.get("unfriendly_state"),
        owner=owner["kind"],
        region=owner.get("region"),
        territory=owner.get("territory"),
        limited=drivers["limited"],
        drivers=tuple(_driver(entry, on) for entry in listed),
        months=use.get("months"),
        days=use.get("days"),
    )
    faults = [*_vehicle_faults(case), *_owner_faults(case), *_use_faults(case)]
    if case.limited and not listed:
        text = Text("Назовите хотя бы одного водителя.", "Name at least one driver.")
        faults.append(AnswerFault("/drivers/list", "required", text))
    for index, entry in enumerate(listed):
        faults.extend(_driver_faults(entry, on, f"/drivers/list/{index}"))
    return case, faults


def _driver(entry: Mapping[str, str], on: date) -> Driver:
    return Driver(
        age=full_years(date.fromisoformat(entry["birth_date"]), on),
        experience=full_years(date.fromisoformat(entry["licence_since"]), on),
        kbm_class=entry.get("kbm_class", NEW_DRIVER),
        class_given="kbm_class" in entry,
    )


def _driver_faults(entry: Mapping[str, str], on: date, pointer: str) -> Iterator[AnswerFault]:
    born, since = date.fromisoformat(entry["birth_date"]), date.fromisoformat(entry["licence_since"])
    age = full_years(born, on)
    if age < LEAST_AGE:
        text = Text("На день договора водителю нет 16 лет.", "On the day of the contract the driver is not 16 yet.")
        yield AnswerFault(f"{pointer}/birth_date", "impossible", text)
    elif age > 110:
        text = Text("Проверьте год рождения.", "Check the year of birth.")
        yield AnswerFault(f"{pointer}/birth_date", "impossible", text)
    if since > on:
        text = Text("Права получены позже дня договора.", "The licence is younger than the contract.")
        yield AnswerFault(f"{pointer}/licence_since", "impossible", text)
    elif full_years(born, since) < LEAST_AGE:
        text = Text(
            "Права не могли быть получены раньше 16 лет: проверьте дату.",
            "A licence cannot have been obtained before the age of 16: check the date.",
        )
        yield AnswerFault(f"{pointer}/licence_since", "impossible", text)


def _vehicle_faults(case: Case) -> Iterator[AnswerFault]:
    if case.category in POWERED and case.power is None:
        yield AnswerFault("/vehicle/power_hp", "required", REQUIRED)
    if case.power is not None and case.power <= 0:
        text = Text("Мощность больше нуля.", "Power is more than zero.")
        yield AnswerFault("/vehicle/power_hp", "minimum", text)
    if case.category in {"C", "CE"} and case.max_mass is None:
        yield AnswerFault("/vehicle/max_mass_kg", "required", REQUIRED)
    fitting = {"taxi": {"B", "BE"}, "regular_route": {"D", "DE", "D1", "D1E"}}.get(case.purpose)
    if fitting is not None and case.category not in fitting:
        text = Text(
            "Такое использование не подходит к категории ТС.", "This use does not fit the category of the vehicle."
        )
        yield AnswerFault("/vehicle/purpose", "impossible", text)


def _owner_faults(case: Case) -> Iterator[AnswerFault]:
    if case.registration == "russia":
        for name, given in (("region", case.region), ("territory", case.territory)):
            if not given:
                yield AnswerFault(f"/owner/{name}", "required", REQUIRED)


def _use_faults(case: Case) -> Iterator[AnswerFault]:
    if case.months is not None and case.days is not None:
        text = Text("Укажите срок либо в днях, либо в месяцах.", "State the period either in days or in months.")
        yield AnswerFault("/use/days", "impossible", text)
