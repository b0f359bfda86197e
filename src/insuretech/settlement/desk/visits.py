"""One request of somebody at the desk: who it is, in which language, and whether a form is ours.

The browser keeps ``staff`` (HttpOnly, SameSite=Lax, the secret of the session) and what the site keeps, too: ``lang``
and ``theme``. Forms carry a proof that only this session's pages can know.
"""

import hmac
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from litestar import Request, Response
from litestar.datastructures import Cookie
from litestar.response import Redirect

from insuretech.contracts.text import Language
from insuretech.kit.problems import Problem
from insuretech.kit.web import bearer_token
from insuretech.pages.language import LANGUAGES, Wording, choose_language, wordings
from insuretech.settlement.staff.commands import Staff, check_works
from insuretech.settlement.staff.domain import SESSION_LASTS, Person, form_proof

SESSION = "staff"
PROOF_HEADER = "x-csrf-token"
WORDINGS = wordings(Path(__file__).parent.parent / "locales")
THEMES = ("light", "dark")

AnyRequest = Request[Any, Any, Any]


class FormNotFromHere(Problem):
    """A form came from another site or from a session that has ended."""

    status = 403
    slug = "form-not-from-here"
    title = "This form was not sent from our page, or its session has ended"


@dataclass
class StaffVisit:
    """One request, read; ``cookies`` are set by its answer."""

    request: AnyRequest
    language: Language
    theme: str
    session: str
    person: Person | None = None
    cookies: list[Cookie] = field(default_factory=list)

    @property
    def wording(self) -> Wording:
        return WORDINGS[self.language]

    @property
    def proof(self) -> str:
        return form_proof(self.session) if self.session else ""

    @property
    def path(self) -> str:
        return self.request.url.path

    @property
    def address(self) -> str:
        """Path and query: where to come back to."""
        query = self.request.url.query
        return f"{self.path}?{query}" if query else self.path

    def keep(self, name: str, value: str, age: int) -> None:
        """Let the browser keep a value, or forget it when the value is empty."""
        secure = self.request.url.scheme == "https"
        self.cookies.append(
            Cookie(
                key=name,
                value=value,
                path="/",
                max_age=age if value else 0,
                httponly=True,
                samesite="lax",
                secure=secure,
            )
        )

    def keep_session(self, session: str) -> None:
        self.keep(SESSION, session, int(SESSION_LASTS.total_seconds()))

    def check_origin(self) -> None:
        """Refuse what another site makes a browser send (Fetch Metadata, else Origin)."""
        site = self.request.headers.get("sec-fetch-site")
        origin = self.request.headers.get("origin")
        if site is not None and site not in {"same-origin", "none"}:
            raise FormNotFromHere
        if site is None and origin is not None and urlsplit(origin).netloc != self.request.url.netloc:
            raise FormNotFromHere

    def check_proof(self, proof: str) -> None:
        """Refuse a form without this session's proof."""
        self.check_origin()
        if not self.session or not hmac.compare_digest(proof.encode(), self.proof.encode()):
            raise FormNotFromHere


def visit_of(request: AnyRequest) -> StaffVisit:
    """Read language, colours and the session's secret; nobody is known yet."""
    cookie = request.cookies.get("lang")
    language = choose_language(cookie if cookie in LANGUAGES else None, request.headers.get("accept-language", ""))
    theme = request.cookies.get("theme", "")
    return StaffVisit(request, language, theme if theme in THEMES else "", request.cookies.get(SESSION, ""))


async def signed_in(request: AnyRequest, staff: Staff) -> StaffVisit:
    """A visit of somebody who is signed in. Raises ``SignInNeeded``."""
    visit = visit_of(request)
    visit.person = await staff.signed_in(visit.session)
    return visit


async def caller(request: AnyRequest, staff: Staff, *, changes: bool) -> Person:
    """Who calls the API: by a bearer token, or by the cookie of a page, which must then prove itself to change things.

    Raises ``SignInNeeded``, ``NotYourRole`` or ``FormNotFromHere``.
    """
    token = bearer_token(request)
    visit = visit_of(request)
    person = await staff.signed_in(token or visit.session)
    if changes:
        if token is None:
            visit.check_proof(request.headers.get(PROOF_HEADER, ""))
        check_works(person)
    return person


def away(visit: StaffVisit, address: str) -> Response[Any]:
    """303: after a form was taken, look there."""
    return Redirect(address, status_code=303, cookies=visit.cookies, headers={"Cache-Control": "no-store"})


@cache
def inside(address: str) -> str:
    """An address to go back to, if it is one of the desk's."""
    fine = (
        address.startswith("/staff") and not address.startswith("//") and address.isprintable() and "\\" not in address
    )
    return address if fine else "/staff/settlement"
