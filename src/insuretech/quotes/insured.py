"""What is insured, in words: the questions of a product as labels and the answers as a person would read them.

Annotations of the question set used here: ``x-label``, ``x-item`` (what one entry of a list is called), ``x-options``
(labels by value), ``x-when`` (``{field, in}``: asked only with these answers elsewhere); texts are ``{ru, en}``.
"""

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

from insuretech.contracts.answers import at_pointer
from insuretech.contracts.policies import LabelledValue
from insuretech.contracts.text import Text

Schema = Mapping[str, Any]

_YES = Text("Да", "Yes")
_NO = Text("Нет", "No")


def in_words(question_set: Schema, answers: Mapping[str, Any]) -> tuple[LabelledValue, ...]:
    """Every answer that was asked for, in the order of the questions. Personal data."""
    return tuple(_lines(question_set, answers, Text("", ""), answers))


def _lines(question: Schema, value: Any, within: Text, answers: Mapping[str, Any]) -> Iterator[LabelledValue]:
    if not _asked(question, answers):
        return
    if isinstance(value, Mapping):
        for name, child in question.get("properties", {}).items():
            if name in value:
                yield from _lines(child, value[name], within, answers)
    elif isinstance(value, list) and "properties" in question.get("items", {}):
        entry = _text(question.get("x-item"))
        for number, item in enumerate(value, start=1):
            yield from _lines(question["items"], item, _joined(within, _numbered(entry, number)), answers)
    elif (label := _label(question)) is not None and value not in (None, "", []):
        yield LabelledValue(label=_joined(within, label), value=_value(question, value))


def _asked(question: Schema, answers: Mapping[str, Any]) -> bool:
    """``x-when``: a question that did not apply is not told of, even where an answer was left behind."""
    when = question.get("x-when")
    return when is None or at_pointer(answers, when["field"]) in when["in"]


def _value(question: Schema, value: Any) -> Text:
    if isinstance(value, list):
        parts = [_value({**question, **question.get("items", {})}, item) for item in value]
        return Text(", ".join(part.ru for part in parts), ", ".join(part.en for part in parts))
    option = _options(question).get(_plain(value))
    if option is not None:
        return option
    if isinstance(value, bool):
        return _YES if value else _NO
    if question.get("format") == "date" and isinstance(value, str):
        day = date.fromisoformat(value)
        return Text(f"{day:%d.%m.%Y}", f"{day:%d.%m.%Y}")
    return Text(_plain(value), _plain(value))


def _options(question: Schema) -> dict[str, Text]:
    labels = question.get("x-options", {})
    return {_plain(value): text for value, label in labels.items() if (text := _text(label)) is not None}


def _label(question: Schema) -> Text | None:
    return _text(question.get("x-label"))


def _text(found: object) -> Text | None:
    if isinstance(found, str):
        return Text(found, found)
    if isinstance(found, Mapping) and isinstance(found.get("ru"), str):
        return Text(found["ru"], str(found.get("en") or found["ru"]))
    return None


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _numbered(entry: Text | None, number: int) -> Text:
    return Text(f"{entry.ru} {number}", f"{entry.en} {number}") if entry else Text(f"№ {number}", f"No. {number}")


def _joined(within: Text, label: Text) -> Text:
    """A label inside a group starts in lower case, unless it is an abbreviation."""
    return Text(_after(within.ru, label.ru), _after(within.en, label.en))


def _after(within: str, label: str) -> str:
    if not within:
        return label
    small = label if label[1:2].isupper() else label[:1].lower() + label[1:]
    return f"{within}: {small}"
