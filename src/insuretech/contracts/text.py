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
    wanted: list[tuple[float, Language]] = []
    for part in accept_language.split(",")[:20]:
        tag, _, weight = part.strip().lower().partition(";q=")
        language = tag.split("-")[0]
        if language == "ru" or language == "en":  # noqa: PLR1714 - so that the type is narrowed
            wanted.append((_quality(weight), language))
    best = max(wanted, key=lambda pair: pair[0], default=(0.0, "ru"))
    return best[1] if best[0] > 0 and best[1] == "en" else "ru"


def _quality(weight: str) -> float:
    try:
        return float(weight) if weight else 1.0
    except ValueError:
        return 0.0
