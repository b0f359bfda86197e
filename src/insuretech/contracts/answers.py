"""Checking a buyer's answers against a product's question set.

A question set is a JSON Schema 2020-12 document. Beside the standard keywords it carries annotations of ours, which
the wizard renders from and this module reads:

- ``x-mask`` (``plate``, ``vin``, ``kbm``, ``phone``, ``licence``, ``money``): how the text is tidied
  before it is checked;
- ``x-error`` ``{ru, en}``: the sentence for a value that does not fit;
- ``x-any-of`` ``{at, text}``: the field and the sentence when none of the ``anyOf`` branches fits;
- ``x-decimal`` ``{min, max}``: bounds of a decimal number written as a string;
- ``x-date`` ``{earliest, latest}``: bounds of a date: a date, ``today`` or a JSON pointer to another answer, each with
  an offset if need be (``today+60d``, ``today-18y``, ``/trip/starts_on+365d``).
"""

import re
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

import jsonschema_rs
import msgspec

from insuretech.contracts.dates import plus_months
from insuretech.contracts.text import Language, Text
from insuretech.kit.problems import FieldError

Schema = Mapping[str, Any]


class AnswerFault(msgspec.Struct, frozen=True):
    """One thing wrong with one answer, in both languages; ``code`` is the keyword that is broken, or ``impossible``."""

    pointer: str
    code: str
    text: Text

    def field_error(self, language: Language) -> FieldError:
        return FieldError(pointer=self.pointer, code=self.code, detail=self.text.in_language(language))


REQUIRED = Text("Ответьте на этот вопрос.", "This answer is needed.")
UNEXPECTED = Text("Такого поля нет в этой анкете.", "This question set has no such field.")
WRONG_TYPE = Text("Ответ записан не в том виде.", "The answer has the wrong type.")
NOT_AN_OPTION = Text("Выберите один из предложенных вариантов.", "Choose one of the options.")
NOT_A_DATE = Text("Укажите дату, которая есть в календаре.", "Give a date that exists in the calendar.")
BAD_FORM = Text("Проверьте, как записан ответ.", "Check how the answer is written.")
TOO_SHORT = Text("Слишком короткий ответ.", "The answer is too short.")
TOO_LONG = Text("Слишком длинный ответ.", "The answer is too long.")
ADD_ONE = Text("Добавьте хотя бы одну запись.", "Add at least one entry.")
UNREADABLE = Text("Ответы вложены слишком глубоко или не читаются.", "The answers are nested too deeply or unreadable.")
REPEATED = Text("Есть одинаковые записи.", "Some entries are the same.")


class AnswerCheck:
    """A question set made ready to check answers against; building it takes a millisecond, checking microseconds."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._validator = jsonschema_rs.Draft202012Validator(dict(schema), validate_formats=True)

    def tidied(self, answers: dict[str, Any]) -> dict[str, Any]:
        """A copy with masked texts in their canonical spelling (Cyrillic plate, Latin VIN, digits of a phone)."""
        tidy = _tidied(self._schema, answers)
        return tidy if isinstance(tidy, dict) else answers

    def faults(self, answers: Mapping[str, Any], today: date | None = None) -> list[AnswerFault]:
        """Everything wrong at once, ordered by pointer; without ``today``, dates are not held against it."""
        found: dict[str, AnswerFault] = {}
        try:
            for error in self._validator.iter_errors(dict(answers)):
                for fault in _explained(self._schema, error):
                    found.setdefault(fault.pointer, fault)
        except ValueError:  # nested beyond the validator's limit, or text that is not Unicode
            return [AnswerFault("", "unreadable", UNREADABLE)]
        for fault in _bounds(self._schema, answers, "", answers, today):
            found.setdefault(fault.pointer, fault)
        return sorted(found.values(), key=lambda fault: fault.pointer)


def pointer_of(path: list[Any] | list[str | int]) -> str:
    """A JSON pointer (RFC 6901) from its parts."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def at_pointer(document: object, pointer: str) -> Any:
    """The value a JSON pointer leads to, or None where it leads nowhere."""
    for raw in pointer.split("/")[1:]:
        part = raw.replace("~1", "/").replace("~0", "~")
        if isinstance(document, Mapping):
            document = document.get(part)
        elif isinstance(document, list) and part.isdigit() and int(part) < len(document):
            document = document[int(part)]
        else:
            return None
    return document


def question_at(schema: Schema, pointer: str) -> Schema | None:
    """The part of a question set that describes the answer at ``pointer``; ``0`` or any number stands for an item."""
    here: Any = schema
    for raw in pointer.split("/")[1:]:
        part = raw.replace("~1", "/").replace("~0", "~")
        if not isinstance(here, Mapping):
            return None
        here = here.get("items") if part.isdigit() else here.get("properties", {}).get(part)
    return here if isinstance(here, Mapping) else None


def _explained(schema: Schema, error: jsonschema_rs.ValidationError) -> Iterator[AnswerFault]:
    """Our sentences for one error of the validator."""
    path = list(error.instance_path)
    pointer = pointer_of(path)
    question = question_at(schema, pointer) or {}
    kind: Any = error.kind
    match kind.name:
        case "required":
            yield from _missing(question, pointer, kind.property)
        case "additionalProperties":
            for name in kind.unexpected:
                yield AnswerFault(pointer_of([*path, name]), "unknown", UNEXPECTED)
        case "anyOf" if "x-any-of" in question:
            rule = question["x-any-of"]
            yield AnswerFault(pointer_of([*path, rule["at"]]), "required", _text(rule["text"]))
        case _:
            code, text = _sentence(kind.name, kind, question)
            yield AnswerFault(pointer, code, text)


def _missing(question: Schema, pointer: str, name: str) -> Iterator[AnswerFault]:
    """A missing group is reported at each answer it must hold, so that every field gets its own sentence."""
    child = question.get("properties", {}).get(name, {})
    here = pointer + pointer_of([name])
    needed = child.get("required", ()) if child.get("type") == "object" else ()
    for inner in needed:
        yield from _missing(child, here, inner)
    if "x-any-of" in child:
        rule = child["x-any-of"]
        yield AnswerFault(here + pointer_of([rule["at"]]), "required", _text(rule["text"]))
    elif not needed:
        yield AnswerFault(here, "required", REQUIRED)


def _sentence(keyword: str, kind: Any, question: Schema) -> tuple[str, Text]:  # noqa: C901, PLR0911 - one case a keyword
    own = _text(question["x-error"]) if "x-error" in question else None
    match keyword:
        case "type":
            return "type", own or WRONG_TYPE
        case "enum" | "const":
            return "enum", own or NOT_AN_OPTION
        case "format" if question.get("format") == "date":
            return "format", own or NOT_A_DATE
        case "minimum" | "exclusiveMinimum":
            return "minimum", Text(f"Не меньше {kind.limit}.", f"Not less than {kind.limit}.")
        case "maximum" | "exclusiveMaximum":
            return "maximum", Text(f"Не больше {kind.limit}.", f"Not more than {kind.limit}.")
        case "minItems":
            return "minItems", own or ADD_ONE
        case "maxItems":
            return "maxItems", Text(f"Не больше {kind.limit}.", f"Not more than {kind.limit}.")
        case "uniqueItems":
            return "uniqueItems", REPEATED
        case "minLength":
            return "minLength", own or TOO_SHORT
        case "maxLength":
            return "maxLength", own or TOO_LONG
        case _:
            return "pattern", own or BAD_FORM


def _bounds(
    schema: Schema, value: object, pointer: str, answers: Mapping[str, Any], today: date | None
) -> Iterator[AnswerFault]:
    """Faults against ``x-decimal`` and ``x-date``, wherever they stand in the question set."""
    if isinstance(value, Mapping):
        for name, child in schema.get("properties", {}).items():
            if name in value:
                yield from _bounds(child, value[name], pointer + pointer_of([name]), answers, today)
    elif isinstance(value, list) and isinstance(schema.get("items"), Mapping):
        for index, item in enumerate(value):
            yield from _bounds(schema["items"], item, f"{pointer}/{index}", answers, today)
    elif isinstance(value, str):
        if "x-decimal" in schema:
            yield from _decimal_bounds(schema["x-decimal"], value, pointer)
        if "x-date" in schema:
            yield from _date_bounds(schema["x-date"], value, pointer, answers, today)


def _decimal_bounds(rule: Schema, value: str, pointer: str) -> Iterator[AnswerFault]:
    try:
        number = Decimal(value.replace(",", "."))
    except InvalidOperation:
        return  # the pattern has its own sentence for this
    if "min" in rule and number < Decimal(rule["min"]):
        yield AnswerFault(pointer, "minimum", Text(f"Не меньше {rule['min']}.", f"Not less than {rule['min']}."))
    if "max" in rule and number > Decimal(rule["max"]):
        yield AnswerFault(pointer, "maximum", Text(f"Не больше {rule['max']}.", f"Not more than {rule['max']}."))


def _date_bounds(
    rule: Schema, value: str, pointer: str, answers: Mapping[str, Any], today: date | None
) -> Iterator[AnswerFault]:
    given = _date(value)
    if given is None:
        return  # the format has its own sentence for this
    earliest = _limit(rule.get("earliest"), answers, today)
    latest = _limit(rule.get("latest"), answers, today)
    if earliest is not None and given < earliest:
        text = Text(f"Не раньше {earliest:%d.%m.%Y}.", f"Not before {earliest.isoformat()}.")
        yield AnswerFault(pointer, "minimum", text)
    if latest is not None and given > latest:
        text = Text(f"Не позже {latest:%d.%m.%Y}.", f"Not after {latest.isoformat()}.")
        yield AnswerFault(pointer, "maximum", text)


_RELATIVE = re.compile(r"^(?P<base>today|\d{4}-\d\d-\d\d|/[^+-]*)(?:(?P<sign>[+-])(?P<count>\d+)(?P<unit>[dmy]))?$")


def _limit(rule: str | None, answers: Mapping[str, Any], today: date | None) -> date | None:
    """A bound such as ``today+60d`` or ``/trip/starts_on+365d`` as a date; None where it cannot be told."""
    found = _RELATIVE.match(rule or "")
    if found is None:
        return None
    base = {"today": today}.get(found["base"]) or _date(found["base"]) or _date(at_pointer(answers, found["base"]))
    if base is None or found["count"] is None:
        return base
    count = int(found["sign"] + found["count"])
    try:
        if found["unit"] == "d":
            return base + timedelta(days=count)
        return plus_months(base, count * (12 if found["unit"] == "y" else 1))
    except (OverflowError, ValueError):
        return None  # beyond the calendar nothing is too late


def _date(value: object) -> date | None:
    try:
        return date.fromisoformat(value) if isinstance(value, str) and len(value) == 10 else None
    except ValueError:
        return None


def _text(texts: Mapping[str, str]) -> Text:
    return Text(texts["ru"], texts["en"])


_TO_CYRILLIC = str.maketrans("ABEKMHOPCTYX", "АВЕКМНОРСТУХ")
_TO_LATIN = str.maketrans("АВЕКМНОРСТУХ", "ABEKMHOPCTYX")


def tidied_text(mask: str, text: str) -> str:
    """Canonical spelling of a masked text; letters that look alike in both alphabets are taken for the right one."""
    match mask:
        case "plate" | "licence":
            return re.sub(r"[\s-]", "", text).upper().translate(_TO_CYRILLIC)
        case "vin":
            return re.sub(r"[\s-]", "", text).upper().translate(_TO_LATIN)
        case "kbm":
            return text.strip().upper().translate(_TO_LATIN)
        case "money":
            return re.sub(r"\s", "", text).replace(",", ".")
        case "phone":
            digits = re.sub(r"[\s()+-]", "", text)
            return "7" + digits[1:] if len(digits) == 11 and digits[0] == "8" else digits
        case _:
            return text


def _tidied(schema: Schema, value: object) -> object:
    if isinstance(value, dict):
        known = schema.get("properties", {})  # what the schema does not know is not walked into, however deep it is
        return {name: _tidied(known[name], child) if name in known else child for name, child in value.items()}
    if isinstance(value, list) and isinstance(schema.get("items"), Mapping):
        return [_tidied(schema["items"], child) for child in value]
    if isinstance(value, str) and "x-mask" in schema:
        return tidied_text(schema["x-mask"], value)
    if isinstance(value, float) and schema.get("type") == "integer" and value.is_integer():
        return int(value)  # 12.0 is an integer to JSON Schema
    return value
