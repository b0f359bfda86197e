"""Pages from templates, with the headers every page of the site carries."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from litestar import Response
from litestar.response import Redirect

from insuretech.contracts.money import Money
from insuretech.contracts.text import Language, Text
from insuretech.kit.ids import new_secret
from insuretech.storefront.assets import shipped_assets
from insuretech.storefront.language import WORDINGS
from insuretech.storefront.ports import ProductSummary
from insuretech.storefront.visits import Visit

TEMPLATES = Path(__file__).parent / "templates"
_NOT_IN_INITIALS = {"страхование", "insurance", "ск", "сао", "ао", "песочница", "sandbox"}


@dataclass(frozen=True)
class PageFrame:
    """What the frame around every page shows."""

    language: Language
    theme: str
    path: str
    products: tuple[ProductSummary, ...]
    rehearsal: bool
    """Whether the insurers are invented and nothing here is real."""


@dataclass(frozen=True)
class FormGuard:
    """What a form carries unseen: the proof that it is ours and the key that makes a double click one."""

    csrf: str
    key: str


class Views:
    """Renders templates. ``pay_hosts`` are the origins a payment form may lead to."""

    def __init__(self, *, pay_hosts: tuple[str, ...], rehearsal: bool) -> None:
        self._rehearsal = rehearsal
        self._headers = security_headers(pay_hosts)

    def page(
        self,
        visit: Visit,
        template: str,
        context: Mapping[str, Any],
        *,
        products: tuple[ProductSummary, ...] = (),
        status: int = 200,
    ) -> Response[bytes]:
        """A whole page or a fragment; never cached by others, since it may show a person's own things."""
        frame = PageFrame(visit.language, visit.theme, visit.path, products, self._rehearsal)
        html = environment(visit.language).get_template(template).render(page=frame, form=_Guarded(visit), **context)
        return Response(
            html.encode(),
            status_code=status,
            media_type="text/html; charset=utf-8",
            headers=self._headers,
            cookies=visit.cookies,
        )

    def away(self, visit: Visit, address: str) -> Response[Any]:
        """303: after a form was taken, look there (so a reload sends nothing twice)."""
        return Redirect(address, status_code=303, cookies=visit.cookies, headers=self._headers)


class _Guarded:
    """Makes a guard when a template asks for one, so that pages without forms set no cookie."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit

    def guard(self, key: bool = True) -> FormGuard:
        return FormGuard(self._visit.proof(), new_secret() if key else "")


def initials(name: Text | str) -> str:
    """One or two letters for an insurer's tile."""
    text = name.ru if isinstance(name, Text) else name
    words = [word.strip("«»\"'()") for word in text.split()]
    words = [word for word in words if word and word.lower() not in _NOT_IN_INITIALS] or words
    return "".join(word[0] for word in words[:2]).upper()


def security_headers(pay_hosts: tuple[str, ...]) -> dict[str, str]:
    """Headers of every page: nothing from elsewhere, nothing inline, no framing."""
    policy = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self'",
        "font-src": "'self'",
        "connect-src": "'self'",
        # Browsers hold the redirect after a form to this too, and paying starts with one.
        "form-action": " ".join(("'self'", *pay_hosts)),
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }
    return {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        # Addresses of orders and personal links stay with us.
        "Referrer-Policy": "same-origin",
        "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=()",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "private, no-store",
        "Vary": "Cookie, Accept-Language, HX-Request",
    }


@cache
def environment(language: Language) -> Environment:
    """Templates in one language, compiled as they are first asked for."""
    wording = WORDINGS[language]
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    environment.install_gettext_translations(wording.messages, newstyle=True)  # type: ignore[attr-defined]  # by i18n
    environment.globals["asset"] = shipped_assets().address
    environment.filters |= {
        "money": wording.money,
        "day": wording.day,
        "moment": wording.moment,
        "decimal": wording.decimal,
        "percent": wording.percent,
        "initials": initials,
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

    environment.finalize = shown
    environment.filters["in_words"] = shown
    return environment
