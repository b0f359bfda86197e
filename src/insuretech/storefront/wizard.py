"""The wizard: a product's questions one step at a time, and the corridor beside them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from litestar import Response

from insuretech.contracts.answers import AnswerCheck, at_pointer, question_at
from insuretech.contracts.text import Text
from insuretech.storefront.desk import Desk
from insuretech.storefront.domain.drawing import NO_PLACES, blocks
from insuretech.storefront.domain.fields import Answers, Block, Problemlet, Repeat, inside, problemlets, without_echo
from insuretech.storefront.domain.reading import add_entry, pruned, read_answers, remove_entry, suggested, typed
from insuretech.storefront.ports import FieldFault, Product, Refused, Step
from insuretech.storefront.visits import Form, Visit
from insuretech.storefront.words import told

REVIEW = "review"
MAX_ENTRIES = 50
"""Entries of a repeated question one form may hold; question sets allow fewer."""


class StepMark(msgspec.Struct, frozen=True, kw_only=True):
    """One mark of the progress bar."""

    title: Text | str
    state: str
    href: str = ""


class ReviewPart(msgspec.Struct, frozen=True, kw_only=True):
    """One step's answers on the review page."""

    number: int
    title: Text
    facts: list[tuple[str, str]]
    errors: list[Problemlet]


@dataclass(frozen=True)
class Filled:
    """A product's questions with the answers so far and everything that is wrong with them."""

    product: Product
    answers: Answers
    ready: Answers
    """The answers as the API takes them: converted, tidied, without what does not apply."""
    faults: Mapping[str, str]

    def step_faults(self, step: Step) -> dict[str, str]:
        return {pointer: text for pointer, text in self.faults.items() if _belongs(pointer, step)}

    @property
    def first_open(self) -> int | None:
        """The number of the first step with something missing or wrong."""
        for number, step in enumerate(self.product.steps, 1):
            if self.step_faults(step):
                return number
        return None


class Wizard:
    """Asks, keeps answers in the browser, and at the end asks insurers."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._checks: dict[tuple[str, str], AnswerCheck] = {}

    async def show(self, visit: Visit, code: str, step: str, check: bool) -> Response[Any]:
        """The page of a step, the review, or wherever the visitor stopped."""
        product = await self._desk.marketplace.product(code)
        filled = self._filled(product, visit.draft(code), visit)
        if step == REVIEW or (not step and filled.answers and filled.first_open is None):
            return await self._review(visit, filled)
        number = _number(step, len(product.steps)) or (filled.first_open if filled.answers else 1) or 1
        return await self._step(visit, filled, number, check)

    async def take(self, visit: Visit, code: str, step: str) -> Response[Any]:
        """Keep what a step's form says, then go where its button leads."""
        form = await visit.form()
        action, _, target = form.one("do").partition(":")
        product = await self._desk.marketplace.product(code)
        if action == "submit":
            return await self._submit(visit, product, form)
        number = _number(step, len(product.steps)) or 1
        pointers = product.steps[number - 1].fields if action != "begin" else tuple(form.names())
        answers = self._read(visit, product, pointers, form)
        if action == "add" and _repeats(product, target):
            answers = add_entry(answers, target, _count(form, target))
        elif action == "remove":
            pointer, _, index = target.rpartition("/")
            answers = remove_entry(answers, pointer, int(index)) if index.isdecimal() else answers
        visit.keep_draft(code, answers)
        address = f"/products/{code}/start"
        if action in {"add", "remove", "redraw", "begin"}:
            return self._desk.views.away(visit, f"{address}?step={number}")
        if self._filled(product, answers, visit).step_faults(product.steps[number - 1]):
            return self._desk.views.away(visit, f"{address}?step={number}&check=1")
        following = str(number + 1) if number < len(product.steps) else REVIEW
        return self._desk.views.away(visit, f"{address}?step={following}")

    async def corridor(self, visit: Visit, code: str) -> Response[Any]:
        """The corridor for the kept answers and those in the form, as a fragment."""
        form = await visit.form()
        product = await self._desk.marketplace.product(code)
        known = tuple(name for name in form.names() if name.startswith("/"))
        answers = self._read(visit, product, known, form)
        context = await self._corridor(visit, self._filled(product, answers, visit))
        return self._desk.fragment(visit, "_corridor.html", context)

    def _read(self, visit: Visit, product: Product, pointers: Sequence[str], form: Form) -> Answers:
        """The kept answers with the form's written over them."""
        answers = visit.draft(product.code)
        roots = tuple(dict.fromkeys(_root(product, pointer) for pointer in pointers))
        # A form may answer a question that another answer of the same form has just opened.
        for _ in range(2):
            drawn = blocks(product.question_set, roots, _with_entries(product, answers, form), {}, visit.language)
            answers = read_answers(drawn, lambda name: form.many(name) if form.has(name) else None, answers)
            answers = typed(product.question_set, answers)
        return self._check(product).tidied(answers)

    def _filled(self, product: Product, answers: Answers, visit: Visit) -> Filled:
        check = self._check(product)
        ready = check.tidied(pruned(product.question_set, typed(product.question_set, answers)))
        faults = {
            fault.pointer: fault.text.in_language(visit.language) for fault in check.faults(ready, self._desk.today())
        }
        return Filled(product, answers, ready, faults)

    def _check(self, product: Product) -> AnswerCheck:
        key = (product.code, product.version)
        if key not in self._checks:
            self._checks[key] = AnswerCheck(product.question_set)
        return self._checks[key]

    async def _step(self, visit: Visit, filled: Filled, number: int, check: bool) -> Response[bytes]:
        product = filled.product
        step = product.steps[number - 1]
        faults = filled.step_faults(step) if check else {}
        shown = suggested(product.question_set, step.fields, filled.answers, self._desk.today())
        places = await self._desk.marketplace.places() if product.has_corridor else NO_PLACES
        drawn = blocks(product.question_set, step.fields, shown, faults, visit.language, places)
        errors = problemlets(drawn)
        context = {
            "product": product,
            "step": step,
            "number": number,
            "steps": self._marks(visit, filled, number),
            "blocks": without_echo(drawn, step.title.in_language(visit.language)),
            "errors": errors,
            "has_corridor": product.has_corridor,
            **await self._corridor(visit, filled),
        }
        return await self._desk.page(visit, "wizard.html", context)

    async def _review(
        self, visit: Visit, filled: Filled, failure: tuple[str, str] | None = None, status: int = 200
    ) -> Response[bytes]:
        product = filled.product
        parts = [self._part(visit, filled, number, step) for number, step in enumerate(product.steps, 1)]
        context = {
            "product": product,
            "steps": self._marks(visit, filled, len(product.steps) + 1),
            "parts": parts,
            "complete": not filled.faults,
            "failure": failure,
            "has_corridor": product.has_corridor,
            **await self._corridor(visit, filled),
        }
        return await self._desk.page(visit, "review.html", context, status=status)

    def _part(self, visit: Visit, filled: Filled, number: int, step: Step) -> ReviewPart:
        drawn = blocks(
            filled.product.question_set, step.fields, filled.answers, filled.step_faults(step), visit.language
        )
        return ReviewPart(number=number, title=step.title, facts=_facts(drawn), errors=problemlets(drawn))

    def _marks(self, visit: Visit, filled: Filled, current: int) -> list[StepMark]:
        titles: list[Text | str] = [step.title for step in filled.product.steps]
        titles.append(visit.wording.say("Check your answers"))
        address = f"/products/{filled.product.code}/start?step="
        return [
            StepMark(
                title=title,
                state="current" if number == current else "done" if number < current else "todo",
                href=f"{address}{number}" if number < current else "",
            )
            for number, title in enumerate(titles, 1)
        ]

    async def _corridor(self, visit: Visit, filled: Filled) -> dict[str, Any]:
        nothing: dict[str, Any] = {"corridor": None, "corridor_note": "", "corridor_missing": []}
        if not filled.product.has_corridor:
            return nothing
        try:
            found = await self._desk.marketplace.corridor(filled.ready, self._desk.today(), visit.language)
        except Refused as refused:
            if refused.slug == "tariff-unavailable":
                return {**nothing, "corridor_note": refused.detail}
            return {**nothing, "corridor_missing": self._missing(visit, filled.product, refused.faults)}
        return {**nothing, "corridor": found}

    def _missing(self, visit: Visit, product: Product, faults: Sequence[FieldFault]) -> list[str]:
        """Labels of the answers the corridor still needs, in the order they are asked for."""
        asked = [field for step in product.steps for field in step.fields]
        labels = []
        for fault in sorted(faults, key=lambda fault: _place(asked, fault.pointer)):
            label = (question_at(product.question_set, fault.pointer) or {}).get("x-label")
            if isinstance(label, Mapping):
                labels.append(visit.wording.text(label))
        return list(dict.fromkeys(labels))[:6]

    async def _submit(self, visit: Visit, product: Product, form: Form) -> Response[Any]:
        filled = self._filled(product, visit.draft(product.code), visit)
        if filled.faults:
            return self._desk.views.away(visit, f"/products/{product.code}/start?step={REVIEW}")
        try:
            quote = await self._desk.marketplace.submit_quote(product.code, filled.ready, form.key, visit.language)
        except Refused as refused:
            if refused.status not in {409, 422}:
                raise
            faults = {fault.pointer: fault.detail for fault in refused.faults}
            return await self._review(
                visit,
                Filled(product, filled.answers, filled.ready, faults),
                told(visit, refused.slug),
                refused.status,
            )
        visit.keep_token(quote.id, quote.access_token)
        return self._desk.views.away(visit, f"/quotes/{quote.id}")


def _number(step: str, total: int) -> int | None:
    return int(step) if step.isdecimal() and len(step) < 4 and 1 <= int(step) <= total else None


def _place(asked: Sequence[str], pointer: str) -> int:
    """Where a question stands among those asked; last where it does not."""
    return next((place for place, field in enumerate(asked) if f"{pointer}/".startswith(f"{field}/")), len(asked))


def _belongs(pointer: str, step: Step) -> bool:
    return any(pointer == field or pointer.startswith(f"{field}/") for field in step.fields)


def _root(product: Product, pointer: str) -> str:
    """The pointer a step would name: a repeated question as a whole, not one field of one entry."""
    parts = pointer.split("/")
    for place, part in enumerate(parts):
        if part.isdigit():
            return "/".join(parts[:place])
    return pointer if question_at(product.question_set, pointer) is not None else ""


def _count(form: Form, pointer: str) -> int:
    """How many entries of a repeated question the form showed."""
    return sum(1 for entry in form.many("entry") if entry.rpartition("/")[0] == pointer)


def _repeats(product: Product, pointer: str) -> bool:
    return (question_at(product.question_set, pointer) or {}).get("type") == "array"


def _with_entries(product: Product, answers: Answers, form: Form) -> Answers:
    """The answers with as many entries as the form shows, filled or not."""
    for entry in form.many("entry"):
        pointer, _, index = entry.rpartition("/")
        known = index.isdecimal() and int(index) < MAX_ENTRIES and _repeats(product, pointer)
        if known and at_pointer(answers, entry) is None:
            answers = add_entry(answers, pointer, int(index))
    return answers


def _facts(drawn: Sequence[Block]) -> list[tuple[str, str]]:
    """Questions and answers in words, as the review shows them."""
    facts = []
    for block in drawn:
        if isinstance(block, Repeat):
            for group in block.groups:
                entry = f"{block.entry} {group.number}"
                facts += [(f"{entry}, {inside(item.label)}", _answer(item)) for item in group.fields]
        else:
            facts.append((block.label, _answer(block)))
    return facts


def _answer(item: Any) -> str:
    labels = {option.value: option.label for option in item.options}
    if item.values:
        return ", ".join(labels.get(value, value) for value in item.values)
    shown = labels.get(item.value, item.value)
    return f"{shown} {item.unit}".strip() if shown else "—"
