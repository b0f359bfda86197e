"""Pages from templates, with the headers every page of the site carries."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment
from litestar import Response
from litestar.response import Redirect

from insuretech.contracts.text import Language
from insuretech.kit.ids import new_secret
from insuretech.pages import drawing
from insuretech.pages.headers import security_headers
from insuretech.storefront.assets import shipped_assets
from insuretech.storefront.language import WORDINGS
from insuretech.storefront.ports import ProductSummary
from insuretech.storefront.visits import Visit

TEMPLATES = Path(__file__).parent / "templates"


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
        self._headers = security_headers(*pay_hosts)  # paying starts with a form and a redirect

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
            media_type="text/html",
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


@cache
def environment(language: Language) -> Environment:
    """The site's templates in one language."""
    return drawing.environment(WORDINGS[language], TEMPLATES, shipped_assets())
