"""A product's questions: checking the answers beyond what a schema can say, and the term of cover they ask for."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from typing import Any

from insuretech.contracts.answers import AnswerCheck, AnswerFault, at_pointer, pointer_of
from insuretech.contracts.dates import full_years, plus_months
from insuretech.contracts.products import ProductDefinition, Term
from insuretech.contracts.text import Text

LONGEST_LEAD = 365
"""Days from today to the first day of cover; nobody prices further ahead."""
LONGEST_TERM = 30 * 12
"""Months of cover; the longest mortgage."""
DEEPEST = 8
"""Levels of answers that may describe a person; no question set goes deeper, a hostile body might."""
YOUNGEST_DRIVER = 16
"""Years of age from which a driving licence of any category is given (art. 26 of 196-FZ)."""

IN_THE_PAST = Text("Начало не может быть в прошлом.", "The start cannot be in the past.")
TOO_FAR_AHEAD = Text("Начало — не позже чем через год.", "The start is at most a year ahead.")
ENDS_TOO_EARLY = Text("Последний день не может быть раньше первого.", "The last day cannot come before the first.")
LASTS_TOO_LONG = Text("Срок слишком большой.", "The term is too long.")
NOT_BORN_YET = Text("Дата рождения не может быть в будущем.", "A date of birth cannot be in the future.")
NOT_ISSUED_YET = Text("Дата выдачи прав не может быть в будущем.", "A licence cannot be issued in the future.")
LICENCE_TOO_EARLY = Text(
    f"Права выдают с {YOUNGEST_DRIVER} лет: проверьте дату рождения и дату выдачи.",
    f"Licences are given from {YOUNGEST_DRIVER} years of age: check the dates of birth and of issue.",
)


@dataclass(frozen=True)
class KnownProduct:
    """A version of a product, with its question set made ready to check answers (which takes a millisecond)."""

    definition: ProductDefinition

    @cached_property
    def check(self) -> AnswerCheck:
        return AnswerCheck(self.definition.question_set)


@dataclass(frozen=True)
class Cover:
    """First and last day of the cover asked for."""

    starts_on: date
    ends_on: date


def faults_of(product: KnownProduct, answers: Mapping[str, Any], today: date) -> list[AnswerFault]:
    """Everything wrong with the answers on that day, one fault a field, ordered by pointer.

    The question set's own word on a field goes before the general rules here.
    """
    found = {fault.pointer: fault for fault in product.check.faults(answers, today)}
    for fault in [*_cover_faults(product.definition.term, answers, today), *_people_faults(answers, (), today)]:
        found.setdefault(fault.pointer, fault)
    return sorted(found.values(), key=lambda fault: fault.pointer)


def cover_of(term: Term, answers: Mapping[str, Any]) -> Cover | None:
    """The term the answers ask for; None where they do not tell (which the question set has then reported)."""
    starts_on = _day(at_pointer(answers, term.starts_on))
    if starts_on is None:
        return None
    if term.ends_on is not None:
        ends_on = _day(at_pointer(answers, term.ends_on))
        return None if ends_on is None else Cover(starts_on, ends_on)
    months = term.fixed_months if term.months is None else at_pointer(answers, term.months)
    if isinstance(months, bool) or not isinstance(months, int) or not 1 <= months <= LONGEST_TERM:
        return None
    try:
        return Cover(starts_on, plus_months(starts_on, months) - timedelta(days=1))
    except (ValueError, OverflowError):  # past the year 9999
        return None


def _cover_faults(term: Term, answers: Mapping[str, Any], today: date) -> Iterator[AnswerFault]:
    starts_on = _day(at_pointer(answers, term.starts_on))
    if starts_on is not None and starts_on < today:
        yield AnswerFault(term.starts_on, "minimum", IN_THE_PAST)
    if starts_on is not None and starts_on > today + timedelta(days=LONGEST_LEAD):
        yield AnswerFault(term.starts_on, "maximum", TOO_FAR_AHEAD)
    cover = cover_of(term, answers)
    last_question = term.ends_on or term.months or term.starts_on
    if cover is not None and cover.ends_on < cover.starts_on:
        yield AnswerFault(last_question, "minimum", ENDS_TOO_EARLY)
    if cover is not None and full_years(cover.starts_on, cover.ends_on) * 12 > LONGEST_TERM:
        yield AnswerFault(last_question, "maximum", LASTS_TOO_LONG)


def _people_faults(here: object, path: tuple[str | int, ...], today: date) -> Iterator[AnswerFault]:
    """Dates of birth and of driving licences, wherever in the answers a person is described."""
    if len(path) > DEEPEST:
        return
    if isinstance(here, list):
        for index, item in enumerate(here):
            yield from _people_faults(item, (*path, index), today)
    if not isinstance(here, Mapping):
        return
    born, licensed = _day(here.get("birth_date")), _day(here.get("licence_since"))
    if born is not None and born > today:
        yield AnswerFault(pointer_of([*path, "birth_date"]), "maximum", NOT_BORN_YET)
    elif born is not None and licensed is not None and full_years(born, licensed) < YOUNGEST_DRIVER:
        yield AnswerFault(pointer_of([*path, "licence_since"]), "minimum", LICENCE_TOO_EARLY)
    if licensed is not None and licensed > today:
        yield AnswerFault(pointer_of([*path, "licence_since"]), "maximum", NOT_ISSUED_YET)
    for name, child in here.items():
        yield from _people_faults(child, (*path, name), today)


def _day(value: object) -> date | None:
    try:
        return date.fromisoformat(value) if isinstance(value, str) and len(value) == 10 else None
    except ValueError:
        return None
