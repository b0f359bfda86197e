"""What a form's texts mean as answers: numbers, dates, yes and no, entries of a list."""

import re
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from typing import Any

from insuretech.contracts.answers import at_pointer, question_at
from insuretech.storefront.domain.drawing import asked, widget_of
from insuretech.storefront.domain.fields import Answers, Block, Schema, fields_of


def suggested(schema: Schema, pointers: Iterable[str], answers: Answers, today: date) -> Answers:
    """The answers with ``x-suggest`` dates (``today+4d``) written where nothing is answered yet."""
    result = deepcopy(answers)
    for pointer in pointers:
        question = question_at(schema, pointer) or {}
        found = re.fullmatch(r"today(?:\+(\d+)d)?", str(question.get("x-suggest", "")))
        if found and at_pointer(answers, pointer) is None:
            _put(result, pointer, (today + timedelta(days=int(found[1] or 0))).isoformat())
    return result


def read_answers(drawn: Sequence[Block], given: Callable[[str], list[str] | None], answers: Answers) -> Answers:
    """The answers with a step's form written into them.

    ``given`` tells a field's texts, or None when the form did not have the field. An empty text takes the answer back;
    a text that is no number or date stays as it was written, to be shown again with its fault.
    """
    result = deepcopy(answers)
    for item in fields_of(drawn):
        texts = given(item.name)
        if texts is None:
            continue
        if item.widget == "checks":
            chosen = [text for text in texts if text]
            _put(result, item.name, chosen)
        else:
            _put(result, item.name, texts[-1] if texts else "")
    return result


def typed(schema: Schema, answers: Answers) -> Answers:
    """The answers with texts turned into what the question set wants: numbers, yes and no, ISO dates."""
    found = _typed(schema, answers)
    return found if isinstance(found, dict) else {}


def _typed(schema: Schema, value: Any) -> Any:
    if isinstance(value, dict):
        known = schema.get("properties", {})
        return {name: _typed(known.get(name, {}), child) for name, child in value.items()}
    if isinstance(value, list):
        return [_typed(schema.get("items", {}), child) for child in value]
    return meaning(schema, value) if isinstance(value, str) else value


def meaning(question: Schema, text: str) -> Any:
    """What a field's text means as an answer to this question; the text itself where it means nothing."""
    kind = question.get("type")
    widget = widget_of(question)
    if kind == "boolean":
        return {"true": True, "false": False}.get(text, text)
    if widget in {"number", "money"} or kind in {"integer", "number"}:
        digits = re.sub(r"[\s\u00a0\u202f]", "", text).replace(",", ".")
        return _number(kind, digits, text)
    if widget == "date":
        return iso_date(text)
    if widget == "passport":
        return re.sub(r"\s", "", text)
    return text


def _number(kind: Any, digits: str, text: str) -> Any:
    try:
        value = Decimal(digits)
    except InvalidOperation:
        return text
    if not value.is_finite() or len(digits) > 20:
        return text
    if kind == "integer":
        return int(value) if value == int(value) else text
    return float(value) if kind == "number" else digits


def iso_date(text: str) -> str:
    """``15.03.1990`` as ``1990-03-15``; anything else unchanged."""
    found = re.fullmatch(r"\s*(\d{1,2})[./\s-](\d{1,2})[./\s-](\d{4})\s*|(\d\d)(\d\d)(\d{4})", text)
    if found is None:
        return text.strip()
    try:
        day, month, year = (int(part) for part in found.groups() if part)
        return date(year, month, day).isoformat()
    except ValueError:
        return text.strip()


def pruned(schema: Schema, answers: Answers) -> Answers:
    """The answers without those to questions that no longer apply, and without empty groups."""
    found = _pruned(schema, answers, answers)
    return found if isinstance(found, dict) else {}


def _pruned(schema: Schema, value: Any, answers: Answers) -> Any:
    if isinstance(value, dict):
        known = schema.get("properties", {})
        kept = {
            name: _pruned(known[name], child, answers)
            for name, child in value.items()
            if name in known and asked(known[name], answers)
        }
        return {name: child for name, child in kept.items() if child not in ({}, "", None)}
    if isinstance(value, list):
        return [_pruned(schema.get("items", {}), child, answers) for child in value]
    return value


def add_entry(answers: Answers, pointer: str, count: int) -> Answers:
    """The answers with one more empty entry than ``count`` at ``pointer``."""
    result = deepcopy(answers)
    _put(result, f"{pointer}/{count}", {})
    return result


def remove_entry(answers: Answers, pointer: str, index: int) -> Answers:
    """The answers without one entry of a repeated question."""
    result = deepcopy(answers)
    entries = at_pointer(result, pointer)
    if isinstance(entries, list) and index < len(entries):
        del entries[index]
    return result


def _put(answers: Answers, pointer: str, value: Any) -> None:
    """Write a value at a pointer, making groups and entries on the way; an empty one takes the answer out."""
    parts = pointer.split("/")[1:]
    here: Any = answers
    for part, following in pairwise(parts):
        here = _step_into(here, part, [] if following.isdigit() else {})
    last = parts[-1]
    if isinstance(here, list):
        _reach(here, int(last))
        here[int(last)] = value
    elif value == "":
        here.pop(last, None)
    else:
        here[last] = value


def _step_into(here: Any, part: str, empty: Any) -> Any:
    if isinstance(here, list):
        _reach(here, int(part))
        if not isinstance(here[int(part)], type(empty)):
            here[int(part)] = empty
        return here[int(part)]
    if not isinstance(here.get(part), type(empty)):
        here[part] = empty
    return here[part]


def _reach(entries: list[Any], index: int) -> None:
    if index > 100:
        raise IndexError("more entries than any question set allows")
    while len(entries) <= index:
        entries.append({})
