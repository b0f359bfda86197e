"""Templates: the shared components beside a service's own, and how values print themselves."""

from datetime import date, datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from insuretech.contracts.money import Money
from insuretech.contracts.text import Language, Text
from insuretech.pages.assets import Assets
from insuretech.pages.language import Wording

TEMPLATES = Path(__file__).parent / "templates"
_NOT_IN_INITIALS = {"страхование", "insurance", "ск", "сао", "ао", "песочница", "sandbox"}


def environment(wording: Wording, templates: Path, assets: Assets) -> Environment:
    """A service's templates in one language, compiled as they are first asked for; they may use the shared ones."""
    language = wording.language
    drawn = Environment(
        loader=FileSystemLoader([templates, TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    drawn.install_gettext_translations(wording.messages, newstyle=True)  # type: ignore[attr-defined]  # by i18n
    drawn.globals["asset"] = assets.address
    drawn.filters |= {
        "money": wording.money,
        "day": wording.day,
        "moment": wording.moment,
        "decimal": wording.decimal,
        "percent": wording.percent,
        "initials": lambda name: initials(name, language),
    }

    def shown(value: object) -> object:
        """Texts in both languages, money and dates print themselves in the page's language."""
        match value:
            case Text():
                return value.in_language(language)
            case Money():
                return wording.money(value)
            case datetime():
                return wording.moment(value)
            case date():
                return wording.day(value)
        return value

    drawn.finalize = shown
    drawn.filters["in_words"] = shown
    return drawn


def initials(name: Text | str, language: Language) -> str:
    """One or two letters for an insurer's tile, of its name in the page's language."""
    text = name.in_language(language) if isinstance(name, Text) else name
    words = [word.strip("«»\"'()") for word in text.split()]
    words = [word for word in words if word and word.lower() not in _NOT_IN_INITIALS] or words
    return "".join(word[0] for word in words[:2]).upper()
