"""The policyholder's data as a buyer types them, and as an insurer takes them."""

import re
import unicodedata
from collections.abc import Iterator
from datetime import date
from typing import Annotated, Literal

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


class _Fault(msgspec.Struct, frozen=True):
    field: str
    code: str
    text: Text


def policyholder(customer: Customer, today: date, language: Language) -> Policyholder:
    """The data in their canonical spelling: phone ``7XXXXXXXXXX``, passport ten digits.

    Raises ``CustomerInvalid`` with everything that is wrong, each with its pointer below ``/customer``.
    """
    faults = list(_faults(customer, today))
    if faults:
        raise CustomerInvalid(
            errors=[
                FieldError(pointer=f"/customer/{fault.field}", code=fault.code, detail=fault.text.in_language(language))
                for fault in faults
            ]
        )
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


def _faults(customer: Customer, today: date) -> Iterator[_Fault]:
    for field, value in (("last_name", customer.last_name), ("first_name", customer.first_name)):
        if not _is_name(value):
            yield _Fault(field, "name", _NAME)
    if customer.middle_name and _tidy(customer.middle_name) and not _is_name(customer.middle_name):
        yield _Fault("middle_name", "name", _NAME)
    age = full_years(customer.birth_date, today)
    if age < _ADULT:
        yield _Fault("birth_date", "too-young", _TOO_YOUNG)
    elif age > _OLDEST:
        yield _Fault("birth_date", "too-old", _TOO_OLD)
    if not customer.email.isprintable() or _EMAIL.fullmatch(customer.email.strip()) is None:
        yield _Fault("email", "email", _BAD_EMAIL)
    if not re.fullmatch(r"[\d\s()+.\-]+", customer.phone) or not re.fullmatch(r"7[3489]\d{9}", _phone(customer.phone)):
        yield _Fault("phone", "phone", _BAD_PHONE)
    number = customer.document.number
    if not re.fullmatch(r"[\d\s№\-]+", number) or len(_digits(number)) != 10:
        yield _Fault("document/number", "passport", _BAD_PASSPORT)


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
