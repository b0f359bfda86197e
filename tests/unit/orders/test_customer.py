"""The policyholder's data: what people type, and what insurers get."""

from datetime import date
from typing import Any

import msgspec
import pytest

from insuretech.orders.domain.customer import Customer, policyholder
from insuretech.orders.domain.problems import CustomerInvalid

TODAY = date(2026, 11, 22)
GOOD: dict[str, Any] = {
    "last_name": "Ромашкина",
    "first_name": "Анна",
    "birth_date": "1990-05-17",
    "email": "anna@example.ru",
    "phone": "+7 912 345-67-89",
    "document": {"kind": "passport", "number": "4509 123456"},
}


def typed(**changes: Any) -> Customer:
    """The data as they come in a request."""
    return msgspec.convert({**GOOD, **changes}, Customer)


@pytest.mark.parametrize(
    "phone", ["+7 (912) 345-67-89", "8 912 345 67 89", "79123456789", "9123456789", "8-912-345-67-89", "+7.912.3456789"]
)
def test_a_phone_is_one_number_however_written(phone: str) -> None:
    """An insurer would refuse the way people write their phone."""
    assert policyholder(typed(phone=phone), TODAY, "ru").phone == "79123456789"


@pytest.mark.parametrize("phone", ["+44 20 7946 0000", "123", "+7 912 345-67-8", "8 112 345 67 89", "912345678a", "☎"])
def test_a_phone_that_cannot_be_called_is_refused(phone: str) -> None:
    """A policyholder could not be reached about their policy."""
    assert _faults(phone=phone) == {"/customer/phone": "phone"}


@pytest.mark.parametrize("number", ["4509123456", "45 09 123456", "4509 № 123456", "45-09-123456"])
def test_a_passport_is_ten_digits_however_spaced(number: str) -> None:
    """The insurer would get a number it cannot look up."""
    person = policyholder(typed(document={"kind": "passport", "number": number}), TODAY, "ru")
    assert person.document_number == "4509123456"


@pytest.mark.parametrize("number", ["450912345", "45091234567", "4509 12345x", "IV-АБ 123456"])
def test_a_passport_of_another_length_is_refused(number: str) -> None:
    """A typing mistake would be found by the insurer only, after payment."""
    assert _faults(document={"kind": "passport", "number": number}) == {"/customer/document/number": "passport"}


@pytest.mark.parametrize("name", ["Иванова-Петрова", "О'Нил", "Д’Артаньян", "де ла Крус", "Müller", "Й", "Ким (Пак)"])
def test_names_of_people_are_taken(name: str) -> None:
    """A person with an unusual name could not be insured."""
    assert policyholder(typed(last_name=f"  {name} "), TODAY, "ru").last_name == name


@pytest.mark.parametrize("name", ["R2", "Иван\x00", "<b>Иван</b>", "-", " ", "Иван\n;", "😀"])
def test_what_is_no_name_is_refused(name: str) -> None:
    """Rubbish or markup would be printed on a policy."""
    assert _faults(first_name=name) == {"/customer/first_name": "name"}


@pytest.mark.parametrize(
    ("born", "fault"),
    [
        ("2008-11-22", None),
        ("2008-11-23", "too-young"),
        ("1916-11-22", None),
        ("1915-11-22", "too-old"),
        ("2030-01-01", "too-young"),
    ],
)
def test_a_policyholder_is_of_age(born: str, fault: str | None) -> None:
    """A child could conclude a contract, or a mistyped year pass."""
    assert _faults(birth_date=born) == ({} if fault is None else {"/customer/birth_date": fault})


@pytest.mark.parametrize(
    "email", ["anna", "anna@", "@example.ru", "a b@example.ru", "anna@example", "a@b.r", "a\x00@e.ru"]
)
def test_an_address_that_cannot_be_written_to_is_refused(email: str) -> None:
    """The policy would be sent to nobody."""
    assert _faults(email=email) == {"/customer/email": "email"}


def test_the_middle_name_may_be_missing() -> None:
    """People without a patronymic could not be insured."""
    assert policyholder(typed(), TODAY, "ru").middle_name is None
    assert policyholder(typed(middle_name=" "), TODAY, "ru").middle_name is None
    assert policyholder(typed(middle_name="Петровна"), TODAY, "ru").middle_name == "Петровна"


def test_faults_are_told_in_the_callers_language() -> None:
    """A person would read a fault in a language they do not know."""
    for language, word in (("ru", "цифр"), ("en", "digits")):
        with pytest.raises(CustomerInvalid) as refused:
            policyholder(typed(phone="1"), TODAY, language)  # type: ignore[arg-type]  # both are languages
        assert word in refused.value.errors[0].detail


def _faults(**changes: Any) -> dict[str, str]:
    try:
        policyholder(typed(**changes), TODAY, "en")
    except CustomerInvalid as refused:
        return {error.pointer: error.code for error in refused.errors}
    return {}
