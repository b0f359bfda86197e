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
