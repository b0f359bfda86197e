"""What must hold before a product may be sold, beyond the shape of its file."""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import jsonschema_rs

from insuretech.catalogue.domain import Product
from insuretech.contracts.answers import AnswerCheck, question_at

Path = tuple[str | int, ...]
"""Where in a product file something stands."""


@dataclass(frozen=True)
class Fault:
    """Something in a product file that must not be, and where."""

    path: Path
    said: str


WIDGETS = frozenset(
    {
        "text",
        "radio",
        "select",
        "date",
        "number",
        "money",
        "switch",
        "list",
        "region",
        "territory",
    }  # what the wizard can draw
)
MASKS = frozenset({"plate", "vin", "kbm", "phone", "licence", "date", "money"})


def product_faults(product: Product, *, consents: Collection[str], insurers: Collection[str]) -> Iterator[Fault]:
    """Everything that would let a buyer down: fields that lead nowhere, questions nobody asks, unknown insurers."""
    yield from _unknown(product, consents, insurers)
    yield from _cancellation_faults(product)
    try:
        AnswerCheck(product.question_set)
    except jsonschema_rs.ValidationError as error:
        yield Fault(("question_set", *error.instance_path), f"is no JSON Schema: {error.message}")
        return
    yield from _question_faults(product.question_set, product.question_set, ("question_set",))
    yield from _term_faults(product)
    yield from _step_faults(product)


def _unknown(product: Product, consents: Collection[str], insurers: Collection[str]) -> Iterator[Fault]:
    for index, code in enumerate(product.insurers):
        if code not in insurers:
            yield Fault(("insurers", index), f"there is no insurer {code!r}")
    for index, asked in enumerate(product.consents):
        if asked.code not in consents:
            yield Fault(("consents", index, "code"), f"there is no consent {asked.code!r}")
    for name, codes in (("insurers", product.insurers), ("consents", [asked.code for asked in product.consents])):
        if not codes:
            yield Fault((name,), "is empty")
        for code, count in Counter(codes).items():
            if count > 1:
                yield Fault((name,), f"names {code!r} twice")


def _cancellation_faults(product: Product) -> Iterator[Fault]:
    rule = product.cancellation
    if not re.fullmatch(r"0\.\d+|1", rule.refundable_share) or Decimal(rule.refundable_share) == 0:
        yield Fault(("cancellation", "refundable_share"), "is no share above 0 and up to 1")
    if rule.kind == "cooling_off" and rule.days <= 0:
        yield Fault(("cancellation",), "a cooling-off period needs days")


def _term_faults(product: Product) -> Iterator[Fault]:
    term = product.term
    ends = [name for name in ("ends_on", "months", "fixed_months") if getattr(term, name) is not None]
    if len(ends) != 1:
        yield Fault(("term",), "names exactly one of ends_on, months and fixed_months")
    for name in ("starts_on", "ends_on", "months"):
        pointer = getattr(term, name)
        if pointer is not None and question_at(product.question_set, pointer) is None:
            yield Fault(("term", name), f"{pointer} points to nothing in question_set")


def _step_faults(product: Product) -> Iterator[Fault]:
    asked: dict[str, int] = {}
    ids = Counter(step.id for step in product.steps)
    for number, step in enumerate(product.steps):
        if ids[step.id] > 1:
            yield Fault(("steps", number, "id"), f"there is more than one step {step.id!r}")
        for place, pointer in enumerate(step.fields):
            path: Path = ("steps", number, "fields", place)
            question = question_at(product.question_set, pointer)
            if question is None:
                yield Fault(path, f"{pointer} points to nothing in question_set")
            elif "x-label" not in question:
                yield Fault(path, f"{pointer} has no x-label")
            if pointer in asked:
                yield Fault(path, f"{pointer} is asked in step {asked[pointer]} already")
            asked[pointer] = number
    for pointer, where in _leaves(product.question_set, "", ("question_set",)):
        if pointer not in asked:
            yield Fault(where, f"no step asks for {pointer}")


def _leaves(schema: Mapping[str, Any], pointer: str, path: Path) -> Iterator[tuple[str, Path]]:
    """Every answer that a step can ask for: a value, or a list as a whole."""
    for name, child in schema.get("properties", {}).items():
        here = (*path, "properties", name)
        if child.get("type") == "object":
            yield from _leaves(child, f"{pointer}/{name}", here)
        else:
            yield f"{pointer}/{name}", here


def _question_faults(root: Mapping[str, Any], schema: Mapping[str, Any], path: Path) -> Iterator[Fault]:
    """Annotations of one question and of those inside it."""
    yield from _annotation_faults(root, schema, path)
    for name in schema.get("required", ()):
        if name not in schema.get("properties", {}) and "properties" in schema:
            yield Fault((*path, "required"), f"{name!r} is no property")
    for name, child in schema.get("properties", {}).items():
        yield from _question_faults(root, child, (*path, "properties", name))
    if isinstance(schema.get("items"), Mapping):
        yield from _question_faults(root, schema["items"], (*path, "items"))


def _annotation_faults(root: Mapping[str, Any], schema: Mapping[str, Any], path: Path) -> Iterator[Fault]:
    for name, known in (("x-widget", WIDGETS), ("x-mask", MASKS)):
        if name in schema and schema[name] not in known:
            yield Fault((*path, name), f"{schema[name]!r} is none of {', '.join(sorted(known))}")
    for name in ("x-label", "x-hint", "x-error", "x-item", "x-add"):
        if name in schema and not _in_both_languages(schema[name]):
            yield Fault((*path, name), "needs a text in ru and one in en")
    for name, pointer in (("x-when", schema.get("x-when", {}).get("field")), ("x-depends", schema.get("x-depends"))):
        if pointer is not None and question_at(root, pointer) is None:
            yield Fault((*path, name), f"{pointer} points to nothing in question_set")
    yield from _option_faults(schema, path)
    yield from _example_faults(schema, path)


def _option_faults(schema: Mapping[str, Any], path: Path) -> Iterator[Fault]:
    options = [str(option).lower() if isinstance(option, bool) else str(option) for option in schema.get("enum", ())]
    if schema.get("type") == "boolean":
        options = ["true", "false"]
    for option, label in schema.get("x-options", {}).items():
        if option not in options:
            yield Fault((*path, "x-options", option), f"{option!r} is none of the values")
        if not _in_both_languages(label):
            yield Fault((*path, "x-options", option), "needs a text in ru and one in en")


def _example_faults(schema: Mapping[str, Any], path: Path) -> Iterator[Fault]:
    """An example that would be refused would mislead whoever copies it."""
    example = schema.get("x-example")
    if not isinstance(example, str):
        return
    value: object = int(example) if schema.get("type") == "integer" and example.isdigit() else example
    check = AnswerCheck({"properties": {"it": schema}})
    if check.faults(check.tidied({"it": value})):
        yield Fault((*path, "x-example"), f"{example!r} does not fit the question")


def _in_both_languages(text: object) -> bool:
    return isinstance(text, Mapping) and all(isinstance(text.get(name), str) and text[name] for name in ("ru", "en"))
