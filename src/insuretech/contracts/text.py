"""Texts shown to people, in the two languages of the marketplace."""

from typing import Literal

import msgspec

Language = Literal["ru", "en"]


class Text(msgspec.Struct, frozen=True):
    """One text in Russian and English."""

    ru: str
    en: str

    def in_language(self, language: Language) -> str:
        return self.ru if language == "ru" else self.en


def preferred_language(accept_language: str) -> Language:
    """The language an ``Accept-Language`` header asks for (RFC 9110, 12.5.4); Russian where it asks for neither."""
    weights: dict[Language, float] = {}
    known: dict[str, Language] = {"ru": "ru", "en": "en"}
    for part in accept_language.split(",")[:20]:
        tag, _, weight = part.strip().lower().partition(";q=")
        language = known.get(tag.split("-")[0])
        if language and _quality(weight) > weights.get(language, 0.0):
            weights[language] = _quality(weight)
    return max(weights, key=weights.__getitem__, default="ru")


def _quality(weight: str) -> float:
    try:
        return float(weight) if weight else 1.0
    except ValueError:
        return 0.0
