"""Languages of pages: which one a visitor gets, its messages, and how it writes money and moments.

Message ids are the English texts; ``locales/<language>/LC_MESSAGES/messages.po`` are read as they are, so that no
compiled file is kept. A service's own messages are read on top of those of the shared components.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import cached_property
from io import BytesIO
from pathlib import Path

from babel.dates import format_date, format_datetime
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal, format_percent
from babel.support import Translations

from insuretech.contracts.money import Money
from insuretech.contracts.text import Language, preferred_language
from insuretech.kit.clock import MOSCOW

LOCALES = Path(__file__).parent / "locales"
LANGUAGES: tuple[Language, ...] = ("ru", "en")
DEFAULT: Language = "ru"
_SIGNS = {"RUB": "₽", "USD": "$", "EUR": "€"}
_NBSP = "\u00a0"
_MOSCOW_TIME: dict[Language, str] = {"ru": "мск", "en": "MSK"}


@dataclass(frozen=True)
class Wording:
    """Messages and number formats of one language."""

    language: Language
    locales: Path

    @cached_property
    def messages(self) -> Translations:
        """The service's messages on top of the shared ones."""
        found = _catalogue(LOCALES, self.language)
        found.merge(_catalogue(self.locales, self.language))
        return found

    def say(self, message: str, **values: object) -> str:
        """The message in this language, with its named values filled in."""
        text = self.messages.gettext(message)
        return text % values if values else text

    def text(self, either: Mapping[str, str]) -> str:
        """The right one of a pair of texts ``{"ru": …, "en": …}`` that the API gave."""
        return either.get(self.language) or either.get(DEFAULT) or next(iter(either.values()), "")

    def money(self, money: Money) -> str:
        """``8 697,22 ₽``; kopecks only where there are some."""
        pattern = "#,##0.00" if money.amount % 1 else "#,##0"
        number = format_decimal(money.amount, pattern, locale=self.language)
        return f"{number}{_NBSP}{_SIGNS.get(money.currency, money.currency)}"

    def decimal(self, text: str) -> str:
        """A number as the API writes it, ``1.8``, as readers write it: ``1,8``."""
        return format_decimal(Decimal(text), "#,##0.#####", locale=self.language)

    def percent(self, share: Decimal) -> str:
        """``12,5 %`` from a share of one."""
        return format_percent(share, "#,##0.#\u00a0%", locale=self.language)

    def day(self, day: date) -> str:
        """``22 ноября 2026``."""
        return format_date(day, "d MMMM y", locale=self.language).replace(" ", _NBSP, 1)

    def moment(self, moment: datetime) -> str:
        """A moment in Moscow time, by which contracts are dated, and saying so: ``22 ноября, 18:05 мск``."""
        told = format_datetime(moment, "d MMMM, HH:mm", tzinfo=MOSCOW, locale=self.language)
        day, _, hour = told.partition(", ")
        return f"{day.replace(' ', _NBSP)}, {hour}{_NBSP}{_MOSCOW_TIME[self.language]}"


def wordings(locales: Path) -> dict[Language, Wording]:
    """A service's languages; its messages are in the folder ``locales``."""
    return {language: Wording(language, locales) for language in LANGUAGES}


def _catalogue(locales: Path, language: Language) -> Translations:
    with (locales / language / "LC_MESSAGES" / "messages.po").open("rb") as file:
        catalogue = read_po(file, locale=language)
    compiled = BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return Translations(compiled)


def choose_language(cookie: str | None, accept_language: str) -> Language:
    """The visitor's own choice first, then what the browser asks for, then Russian."""
    for language in LANGUAGES:
        if cookie == language:
            return language
    return preferred_language(accept_language)
