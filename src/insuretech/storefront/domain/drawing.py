"""Which questions a step asks, given the answers so far, and how each is drawn."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from insuretech.contracts.answers import at_pointer, question_at
from insuretech.contracts.text import Language
from insuretech.storefront.domain.fields import Answers, Block, Field, Group, Option, Repeat, Schema

Places = Mapping[str, Sequence[str]]
"""Towns by region, for the widgets ``region`` and ``territory``."""
NO_PLACES: Places = {}


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
        if holder is None or question.get("x-optional"):
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
