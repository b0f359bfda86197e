"""Draws the desk's pages."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import yaml
from babel.dates import format_date
from babel.numbers import format_decimal
from jinja2 import Environment
from litestar import Response

from insuretech.contracts.text import Language, Text
from insuretech.pages import drawing
from insuretech.pages.assets import COMPONENTS, Assets
from insuretech.pages.headers import security_headers
from insuretech.settlement.desk.visits import WORDINGS, StaffVisit
from insuretech.settlement.staff.domain import Person

HERE = Path(__file__).parent
SCRIPTS = ("vendor/htmx-2.0.11.min.js", "js/theme.js", "js/forms.js", "js/desk.js")
_HEADERS = security_headers()
_NBSP = "\u00a0"


@dataclass(frozen=True)
class DeskFrame:
    """What the frame around every page shows, and what its forms carry."""

    language: Language
    theme: str
    address: str
    section: str
    person: Person | None
    role: str
    proof: str


class Words(msgspec.Struct, frozen=True):
    """What people read for the codes of the domain."""

    kinds: dict[str, Text]
    statuses: dict[str, Text]
    resolutions: dict[str, Text]
    actions: dict[str, Text]
    entries: dict[str, Text]
    states: dict[str, Text]
    sources: dict[str, Text]
    registers: dict[str, Text]
    roles: dict[str, Text]
    deeds: dict[str, Text]
    faults: dict[str, Text]


@cache
def words() -> Words:
    """Both languages, read once."""
    return msgspec.convert(yaml.safe_load((HERE / "words.yaml").read_text("utf-8")), Words)


@cache
def desk_assets() -> Assets:
    """The desk serves its own files, so that it looks right while the site is away."""
    return Assets(HERE / "static", styles=(*COMPONENTS, "desk"), scripts=SCRIPTS, prefix="/staff/static")


@cache
def environment(language: Language) -> Environment:
    """The desk's templates in one language."""
    drawn = drawing.environment(WORDINGS[language], HERE / "templates", desk_assets())
    drawn.filters |= {
        "roubles": lambda amount: roubles(amount, language),
        "count": lambda number: format_decimal(number, "#,##0", locale=language),
        "month_name": lambda month: format_date(month, "LLLL y", locale=language),
        "month_code": lambda month: f"{month:%Y-%m}",
        "short_day": lambda day: short_day(day, language),
        "bytes": lambda size: size_of(size, language),
    }
    return drawn


def roubles(amount: Decimal, language: Language) -> str:
    """``12 345,67``: always with kopecks, which are what is looked for here."""
    number = format_decimal(amount, "#,##0.00", locale=language).replace("-", "\u2212")
    return f"{number}{_NBSP}₽"


def short_day(day: date, language: Language) -> str:
    """``31.12.2026``, or ``31 Dec 2026``."""
    return f"{day:%d.%m.%Y}" if language == "ru" else format_date(day, "d MMM y", locale=language)


def size_of(size: int, language: Language) -> str:
    """Bytes in the unit that fits."""
    units = {"ru": ("байт", "КБ", "МБ"), "en": ("bytes", "KB", "MB")}[language]
    step = 0 if size < 1024 else 1 if size < 1024**2 else 2
    number = format_decimal(Decimal(size) / 1024**step, "#,##0.#", locale=language)
    return f"{number}{_NBSP}{units[step]}"


def draw(
    visit: StaffVisit, template: str, context: Mapping[str, Any], *, section: str = "", status: int = 200
) -> Response[bytes]:
    """A page or a part of one; never cached, since it shows what only staff may see."""
    role = words().roles[visit.person.role].in_language(visit.language) if visit.person else ""
    frame = DeskFrame(visit.language, visit.theme, visit.address, section, visit.person, role, visit.proof)
    html = environment(visit.language).get_template(template).render(page=frame, words=words(), **context)
    return Response(
        html.encode(),
        status_code=status,
        media_type="text/html",
        headers={**_HEADERS, "Referrer-Policy": "no-referrer"},  # a sign-in link is an address
        cookies=visit.cookies,
    )
