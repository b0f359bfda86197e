"""The policyholder's data as a buyer types them, and as an insurer takes them."""

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from functools import partial
from typing import Annotated, Any, Literal

import msgspec

from insuretech.contracts.dates import full_years
from insuretech.contracts.insurers import Policyholder
from insuretech.contracts.text import Language, Text
from insuretech.kit.problems import FieldError
from insuretech.orders.domain.problems import CustomerInvalid

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
_ADULT, _OLDEST = 18, 110
_SIGNS_IN_NAMES = frozenset(" -'’.,()")
_EMAIL = re.compile(r"[^@\s]{1,64}@(?:[^@\s.]{1,63}\.)+[^@\s.]{2,63}")


class IdentityDocument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An internal passport of the Russian Federation: series and number, ten digits however spaced."""

    kind: Literal["passport"]
    number: Annotated[str, msgspec.Meta(min_length=1, max_length=40, examples=["4509 123456"])]


class Customer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The policyholder. Personal data: kept encrypted, in no log, event or address."""

    last_name: Name
    first_name: Name
    middle_name: Annotated[str, msgspec.Meta(max_length=100)] | None = None
    birth_date: date
    email: Annotated[str, msgspec.Meta(min_length=3, max_length=254)]
    phone: Annotated[str, msgspec.Meta(min_length=1, max_length=40, examples=["+7 912 345-67-89"])]
    document: IdentityDocument


def policyholder(customer: Customer, today: date, language: Language) -> Policyholder:
    """The data in their canonical spelling: phone ``7XXXXXXXXXX``, passport ten digits.

    Raises ``CustomerInvalid`` with everything that is wrong, each with its pointer below ``/customer``.
    """
    if faults := list(customer_faults(msgspec.to_builtins(customer), today, language)):
        raise CustomerInvalid(errors=faults)
    return Policyholder(
        last_name=_tidy(customer.last_name),
        first_name=_tidy(customer.first_name),
        middle_name=_tidy(customer.middle_name or "") or None,
        birth_date=customer.birth_date,
        email=customer.email.strip(),
        phone=_phone(customer.phone),
        document_kind=customer.document.kind,
        document_number=_digits(customer.document.number),
    )


def customer_faults(customer: Mapping[str, Any], today: date, language: Language) -> Iterator[FieldError]:
    """What the rules find wrong in a customer as it was sent, of whatever shape: a text that is none is passed over,
    as the shape says that already.
    """
    document = customer.get("document")
    texts = {**customer, "document/number": document.get("number") if isinstance(document, Mapping) else None}
    for field, rule in _rules(today).items():
        value = texts.get(field)
        fault = rule(value) if isinstance(value, str) else None
        if fault:
            code, text = fault
            yield FieldError(pointer=f"/customer/{field}", code=code, detail=text.in_language(language))


_Rule = Callable[[str], tuple[str, Text] | None]


def _rules(today: date) -> dict[str, _Rule]:
    return {
        "last_name": _name_fault,
        "first_name": _name_fault,
        "middle_name": lambda value: _name_fault(value) if _tidy(value) else None,
        "birth_date": partial(_age_fault, today=today),
        "email": _email_fault,
        "phone": _phone_fault,
        "document/number": _passport_fault,
    }


def _name_fault(value: str) -> tuple[str, Text] | None:
    return None if _is_name(value) else ("name", _NAME)


def _age_fault(value: str, today: date) -> tuple[str, Text] | None:
    try:
        age = full_years(date.fromisoformat(value), today)
    except ValueError:
        return None
    if age < _ADULT:
        return "too-young", _TOO_YOUNG
    return ("too-old", _TOO_OLD) if age > _OLDEST else None


def _email_fault(value: str) -> tuple[str, Text] | None:
    right = value.isprintable() and _EMAIL.fullmatch(value.strip()) is not None
    return None if right else ("email", _BAD_EMAIL)


def _phone_fault(value: str) -> tuple[str, Text] | None:
    right = re.fullmatch(r"[\d\s()+.\-]+", value) and re.fullmatch(r"7[3489]\d{9}", _phone(value))
    return None if right else ("phone", _BAD_PHONE)


def _passport_fault(value: str) -> tuple[str, Text] | None:
    right = re.fullmatch(r"[\d\s№\-]+", value) and len(_digits(value)) == 10
    return None if right else ("passport", _BAD_PASSPORT)


def _is_name(value: str) -> bool:
    """Letters of any alphabet with the signs that occur in names, at least one letter."""
    return any(sign.isalpha() for sign in value) and all(
        sign.isalpha() or sign in _SIGNS_IN_NAMES or unicodedata.combining(sign) for sign in value.strip()
    )


def _tidy(name: str) -> str:
    return " ".join(unicodedata.normalize("NFC", name).split())


def _digits(text: str) -> str:
    return "".join(str(unicodedata.digit(sign)) for sign in text if sign.isdigit())


def _phone(text: str) -> str:
    digits = _digits(text)
    if len(digits) == 11 and digits[0] == "8":
        return "7" + digits[1:]
    return "7" + digits if len(digits) == 10 else digits


_NAME = Text("Имя пишется буквами, как в паспорте.", "Write the name in letters, as in the passport.")
_TOO_YOUNG = Text("Страхователю должно быть 18 лет.", "The policyholder must be 18 or older.")
_TOO_OLD = Text("Проверьте год рождения.", "Check the year of birth.")
_BAD_EMAIL = Text("Проверьте адрес почты, например anna@example.ru.", "Check the e-mail, such as anna@example.ru.")
_BAD_PHONE = Text("Укажите российский номер: +7 и ещё десять цифр.", "Give a Russian number: +7 and ten more digits.")
_BAD_PASSPORT = Text("Серия и номер паспорта — это десять цифр.", "Series and number of the passport are ten digits.")
