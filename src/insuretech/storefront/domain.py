"""The wizard's rules: which questions a step asks, how they are drawn, and what a form's texts mean as answers.

All of it follows from the product's question set (JSON Schema) and its annotations; no product is known by name here.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from typing import Any

import msgspec

from insuretech.contracts.answers import at_pointer, question_at
from insuretech.contracts.text import Language

Schema = Mapping[str, Any]
Answers = dict[str, Any]
Places = Mapping[str, Sequence[str]]
"""Towns by region, for the widgets ``region`` and ``territory``."""
NO_PLACES: Places = {}


class Option(msgspec.Struct, frozen=True, kw_only=True):
    """One of the answers to choose from."""

    value: str
    label: str
    hint: str = ""


class Field(msgspec.Struct, kw_only=True):
    """A question as a template draws it; ``name`` is its JSON pointer."""

    name: str
    label: str
    widget: str = "text"
    value: str = ""
    values: tuple[str, ...] = ()
    hint: str = ""
    example: str = ""
    placeholder: str = ""
    unit: str = ""
    mask: str = ""
    options: tuple[Option, ...] = ()
    optional: bool = False
    decimal: bool = False
    autocomplete: str = ""
    max_length: int = 0
    error: str = ""
    live: bool = False
    """Whether other questions depend on this answer, so that the page is drawn anew with it."""

    @property
    def id(self) -> str:
        return field_id(self.name)


class Group(msgspec.Struct, kw_only=True):
    """One entry of a repeated question: one driver, one traveller."""

    number: int
    pointer: str
    fields: list[Field]


class Repeat(msgspec.Struct, kw_only=True):
    """A question asked as often as there are entries."""

    name: str
    label: str
    entry: str
    add: str
    hint: str
    groups: list[Group]
    can_add: bool
    can_remove: bool
    error: str = ""

    @property
    def id(self) -> str:
        return field_id(self.name)


Block = Field | Repeat


class Problemlet(msgspec.Struct, frozen=True, kw_only=True):
    """A fault as the summary on top of a form names it."""

    id: str
    label: str
    text: str


def field_id(pointer: str) -> str:
    """An HTML id for a JSON pointer."""
    return "f" + re.sub(r"[^A-Za-z0-9]+", "-", pointer)


def blocks(
    schema: Schema,
    pointers: Iterable[str],
    answers: Answers,
    faults: Mapping[str, str],
    language: Language,
    places: Places = NO_PLACES,
) -> list[Block]:
    """The questions of a step, in order, filled with the answers given so far and marked with what is wrong."""
    draw = _Drawing(schema, answers, faults, language, places)
    return [block for pointer in pointers for block in draw.at(pointer)]


def fields_of(drawn: Iterable[Block]) -> Iterator[Field]:
    """Every single field, those of repeated questions too."""
    for block in drawn:
        if isinstance(block, Field):
            yield block
        else:
            for group in block.groups:
                yield from group.fields


def problemlets(drawn: Sequence[Block]) -> list[Problemlet]:
    """Everything wrong on this page, in the order of its questions."""
    found: list[Problemlet] = []
    for block in drawn:
        if block.error:
            found.append(Problemlet(id=block.id, label=block.label, text=block.error))
        if isinstance(block, Repeat):
            found += [
                Problemlet(
                    id=item.id,
                    label=f"{block.entry} {group.number}, {item.label[:1].lower()}{item.label[1:]}",
                    text=item.error,
                )
                for group in block.groups
                for item in group.fields
                if item.error
            ]
    return found


class _Drawing:
    """One pass over a step's questions."""

    def __init__(
        self, schema: Schema, answers: Answers, faults: Mapping[str, str], language: Language, places: Places
    ) -> None:
        self._places = places
        self._schema = schema
        self._answers = answers
        self._faults = faults
        self._language = language
        self._watched = set(watched(schema))

    def at(self, pointer: str) -> Iterator[Block]:
        question = question_at(self._schema, pointer)
        if question is None or not asked(question, self._answers):
            return
        if "properties" in question:
            for name in question["properties"]:
                yield from self.at(f"{pointer}/{name}")
        elif _is_repeated(question):
            yield self._repeat(pointer, question)
        else:
            yield self._field(pointer, question)

    def _repeat(self, pointer: str, question: Schema) -> Repeat:
        entries = at_pointer(self._answers, pointer)
        least, most = int(question.get("minItems", 0)), int(question.get("maxItems", 20))
        count = max(len(entries) if isinstance(entries, list) else 0, least, 1 if least else 0)
        item = question["items"]
        groups = [
            Group(
                number=index + 1,
                pointer=f"{pointer}/{index}",
                fields=[
                    self._field(f"{pointer}/{index}/{name}", child)
                    for name, child in item.get("properties", {}).items()
                    if asked(child, self._answers)
                ],
            )
            for index in range(count)
        ]
        return Repeat(
            name=pointer,
            label=self._words(question, "x-label"),
            entry=self._words(question, "x-item"),
            add=self._words(question, "x-add"),
            hint=self._words(question, "x-hint"),
            groups=groups,
            can_add=count < most,
            can_remove=count > max(least, 1 if least else 0),
            error=self._faults.get(pointer, ""),
        )

    def _field(self, pointer: str, question: Schema) -> Field:
        value = at_pointer(self._answers, pointer)
        widget = widget_of(question)
        return Field(
            name=pointer,
            label=self._words(question, "x-label"),
            widget=widget,
            value=shown_value(widget, question.get("default") if value is None else value),
            values=tuple(str(item) for item in value) if isinstance(value, list) else (),
            hint=self._words(question, "x-hint"),
            example=shown_value(widget, self._example(question, widget)),
            placeholder=_PLACEHOLDERS[self._language].get(widget, ""),
            unit=self._words(question, "x-unit"),
            mask=_MASKS.get(widget, ""),
            options=self._options(question),
            optional=not self._required(pointer),
            decimal="x-decimal" in question or question.get("type") == "number",
            autocomplete=str(question.get("x-autocomplete", "")),
            max_length=_length(question, widget),
            error=self._faults.get(pointer, ""),
            live=pointer in self._watched,
        )

    def _required(self, pointer: str) -> bool:
        parent, _, name = pointer.rpartition("/")
        holder = question_at(self._schema, parent) if parent else self._schema
        question = question_at(self._schema, pointer) or {}
        if holder is None:
            return False
        # One of several is enough: none of them is needed by itself, and none is marked as dispensable.
        either = any(name in branch.get("required", ()) for branch in holder.get("anyOf", ()))
        return either or name in holder.get("required", ()) or "x-when" in question

    def _options(self, question: Schema) -> tuple[Option, ...]:
        match question.get("x-widget"):
            case "region":
                return tuple(Option(value=name, label=name) for name in self._places)
            case "territory":
                region = at_pointer(self._answers, question.get("x-depends", ""))
                return tuple(Option(value=name, label=name) for name in self._places.get(plain(region), ()))
        if question.get("type") == "boolean" and "x-options" not in question:
            return tuple(Option(value=value, label=word) for value, word in _YES_NO[self._language])
        return tuple(Option(value=value, label=self._text(label)) for value, label in choices_of(question))

    def _example(self, question: Schema, widget: str) -> str:
        """An example helps where one types; beside a list to choose from it would be noise."""
        return self._words(question, "x-example") if widget not in _CHOSEN and widget != "plate" else ""

    def _words(self, question: Schema, name: str) -> str:
        return self._text(question.get(name, ""))

    def _text(self, either: Any) -> str:
        if isinstance(either, Mapping):
            return str(either.get(self._language) or either.get("ru") or "")
        return str(either)


def asked(question: Schema, answers: Mapping[str, Any]) -> bool:
    """Whether a question applies, given the answers so far (``x-when`` {field, in})."""
    rule = question.get("x-when")
    return rule is None or at_pointer(answers, rule["field"]) in rule["in"]


def watched(schema: Any) -> Iterator[str]:
    """Pointers of answers that other questions depend on (``x-when``, ``x-depends``)."""
    if isinstance(schema, Mapping):
        if isinstance(schema.get("x-when"), Mapping):
            yield schema["x-when"]["field"]
        if isinstance(schema.get("x-depends"), str):
            yield schema["x-depends"]
        for child in schema.values():
            yield from watched(child)


def choices_of(question: Schema) -> list[tuple[str, Any]]:
    """What may be chosen, in the schema's order, each with its texts from ``x-options`` (or itself)."""
    labels = question.get("x-options") or {}
    source = question["items"] if question.get("type") == "array" and "items" in question else question
    labels = labels or source.get("x-options") or {}
    if question.get("type") == "boolean":
        values = ["true", "false"] if labels else []
    else:
        values = [plain(value) for value in source.get("enum", ())]
    return [(value, labels.get(value, value)) for value in values]


_MASKS = {
    "plate": "plate",
    "vin": "vin",
    "licence": "licence",
    "phone": "phone",
    "passport": "passport",
    "date": "date",
    "money": "number",
}
_PLACEHOLDERS: dict[Language, dict[str, str]] = {
    "ru": {"date": "дд.мм.гггг", "plate": "А123ВС77", "phone": "+7 ___ ___-__-__"},
    "en": {"date": "dd.mm.yyyy", "plate": "А123ВС77", "phone": "+7 ___ ___-__-__"},
}
_WIDGETS = {"radio": "choice", "checkboxes": "checks", "region": "suggest", "territory": "suggest"}
_CHOSEN = {"choice", "select", "yesno", "checks", "switch"}
_TYPED = {"text", "plate", "vin", "licence", "date", "number", "money", "suggest", "email", "phone", "passport"}
_YES_NO: dict[Language, tuple[tuple[str, str], ...]] = {
    "ru": (("true", "Да"), ("false", "Нет")),
    "en": (("true", "Yes"), ("false", "No")),
}


def widget_of(question: Schema) -> str:
    """How a question is drawn: as ``x-widget`` says, else by its mask, format, type and number of options."""
    mask, named = str(question.get("x-mask", "")), str(question.get("x-widget", ""))
    named = _WIDGETS.get(named, named)
    if named in {"", "text"} and mask in _TYPED:
        return mask
    if named in _CHOSEN | _TYPED:
        return named
    if question.get("format") == "date":
        return "date"
    if question.get("type") in {"boolean", "array"}:
        return "yesno" if question["type"] == "boolean" else "checks"
    if count := len(question.get("enum", ())):
        return "choice" if count <= 6 else "select"
    return "number" if question.get("type") in {"integer", "number"} or "x-decimal" in question else "text"


def _is_repeated(question: Schema) -> bool:
    items = question.get("items")
    return question.get("type") == "array" and isinstance(items, Mapping) and "properties" in items


def _length(question: Schema, widget: str) -> int:
    """A mask limits typing by itself; what is left of a pasted text is checked by the server."""
    return 0 if widget in _MASKS else int(question.get("maxLength", 0))


def plain(value: Any) -> str:
    """An answer as the text of a form field."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def shown_value(widget: str, value: Any) -> str:
    """An answer as people write it: ``15.03.1990``, ``+7 999 123-45-67``, ``4 500 000``."""
    text = plain(value)
    if widget == "date" and (found := re.fullmatch(r"(\d{4})-(\d\d)-(\d\d)", text)):
        return f"{found[3]}.{found[2]}.{found[1]}"
    if widget == "money" and re.fullmatch(r"\d+", text):
        return f"{int(text):,}".replace(",", " ")
    if widget == "phone" and re.fullmatch(r"\+?7\d{10}", text):
        digits = text.removeprefix("+")
        return f"+7 {digits[1:4]} {digits[4:7]}-{digits[7:9]}-{digits[9:]}"
    return text


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
