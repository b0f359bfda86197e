"""Long texts of the site, in both languages, read from ``data``: pages of prose, and what each problem type means."""

from functools import cache
from pathlib import Path
from typing import TypeVar

import msgspec
import yaml

from insuretech.contracts.text import Text
from insuretech.storefront.visits import Visit

T = TypeVar("T")
DATA = Path(__file__).parent / "data"


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A section of a page of prose."""

    title: Text
    paragraphs: tuple[Text, ...] = ()
    points: tuple[Text, ...] = ()


class Prose(msgspec.Struct, frozen=True, kw_only=True):
    """A page of prose in both languages."""

    title: Text
    lead: Text | None = None
    parts: tuple[Part, ...] = ()


class ProblemWords(msgspec.Struct, frozen=True, kw_only=True):
    """What a problem type means and what to do about it."""

    title: Text
    meaning: Text
    advice: Text


@cache
def prose() -> dict[str, Prose]:
    """All pages of prose by their address."""
    return _read("prose.yaml", dict[str, Prose])


@cache
def problem_words() -> dict[str, ProblemWords]:
    """Explanations by slug; ``default`` stands for a type without words of its own."""
    return _read("problems.yaml", dict[str, ProblemWords])


def _read(name: str, kind: type[T]) -> T:
    return msgspec.convert(yaml.safe_load((DATA / name).read_text(encoding="utf-8")), kind)


def told(visit: Visit, slug: str) -> tuple[str, str]:
    """Headline and sentences about a refusal, for people."""
    words = problem_words().get(slug) or problem_words()["default"]
    language = visit.language
    return (
        words.title.in_language(language),
        f"{words.meaning.in_language(language)} {words.advice.in_language(language)}",
    )
