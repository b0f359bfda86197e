"""One request of a visitor: language and colours, what the browser keeps for us, and the forms it sends.

What the browser keeps (all HttpOnly, SameSite=Lax): ``lang`` and ``theme``; ``guard``, against which forms are proven;
``access_<id>``, the token that opens a quote or an order; ``draft_<product>``, the wizard's answers, encrypted.
"""

import base64
import binascii
import secrets
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import msgspec
from litestar import Request
from litestar.datastructures import Cookie

from insuretech.contracts.text import Language
from insuretech.kit.keyring import CiphertextInvalid, Keyring
from insuretech.kit.problems import Problem
from insuretech.pages.language import LANGUAGES, Wording, choose_language
from insuretech.storefront.language import WORDINGS

THEMES = ("light", "dark")
YEAR = 365 * 24 * 3600
DRAFT_AGE = 14 * 24 * 3600
MAX_COOKIE = 3800
"""Bytes of one cookie; browsers keep at least 4096 with its name and attributes (RFC 6265, 6.1)."""
MAX_ACCESS = 24
"""Quotes and orders one browser keeps open; the oldest gives way, its personal link still opens it."""


class FormNotOurs(Problem):
    """A form came from another site or without the proof that it is ours."""

    status = 403
    slug = "form-not-ours"
    title = "This form was not sent from our page"


class AnswersTooLong(Problem):
    """The answers do not fit into what a browser keeps."""

    status = 413
    slug = "answers-too-long"
    title = "There are more answers than we can keep for you"


@dataclass
class Visit:
    """One request, read; and the cookies its answer will set."""

    request: Request[Any, Any, Any]
    keyring: Keyring
    language: Language
    wording: Wording
    theme: str
    secure: bool = False
    """Whether visitors come by https, be it only as far as the load balancer."""
    cookies: list[Cookie] = field(default_factory=list)

    @property
    def path(self) -> str:
        return self.request.url.path

    @property
    def origin(self) -> str:
        """Scheme and host under which the visitor sees us, without a trailing slash."""
        return f"{self.request.url.scheme}://{self.request.url.netloc}"

    @property
    def by_htmx(self) -> bool:
        """Whether a fragment is asked for, not a page."""
        return self.request.headers.get("hx-request") == "true"

    def keep(self, name: str, value: str, age: int | None = None) -> None:
        """Let the browser keep a value, or forget it when the value is empty."""
        secure = self.secure
        age = age if value else 0
        self.cookies.append(
            Cookie(key=name, value=value, path="/", max_age=age, httponly=True, samesite="lax", secure=secure)
        )

    # -- proof that a form is ours

    @property
    def _guard(self) -> str:
        kept = self.request.cookies.get("guard", "")
        for cookie in self.cookies:
            if cookie.key == "guard" and cookie.value:
                return cookie.value
        if len(kept) == 32:
            return kept
        self.keep("guard", secrets.token_hex(16))
        return self._guard

    def proof(self) -> str:
        """What a form carries: the browser's own ``guard``, sealed by us."""
        return _text_of(self.keyring.encrypt(self._guard.encode(), "storefront.form"))

    def check_origin(self) -> None:
        """Refuse what another site makes a browser send (Fetch Metadata, else Origin)."""
        site = self.request.headers.get("sec-fetch-site")
        origin = self.request.headers.get("origin")
        if site is not None and site not in {"same-origin", "none"}:
            raise FormNotOurs
        if site is None and origin is not None and urlsplit(origin).netloc != self.request.url.netloc:
            raise FormNotOurs

    def check_proof(self, proof: str) -> None:
        """Refuse a form without the seal that belongs to this browser."""
        self.check_origin()
        try:
            sealed = self.keyring.decrypt(_bytes_of(proof), "storefront.form").decode()
        except (CiphertextInvalid, binascii.Error, ValueError):
            raise FormNotOurs from None
        if not secrets.compare_digest(sealed, self.request.cookies.get("guard", "")):
            raise FormNotOurs

    async def form(self) -> "Form":
        """The form that was sent, after both checks."""
        form = Form((await self.request.form()).multi_items())
        self.check_proof(form.one("csrf"))
        return form

    # -- tokens

    def token(self, quote_or_order: UUID) -> str:
        """The token this browser holds for a quote or an order; empty when it holds none."""
        return self.request.cookies.get(f"access_{quote_or_order.hex}", "")

    def tokens(self) -> list[str]:
        """Every token this browser holds, the newest first, each once."""
        names = sorted((name for name in self.request.cookies if name.startswith("access_")), reverse=True)
        return list(dict.fromkeys(self.request.cookies[name] for name in names))

    def keep_token(self, quote_or_order: UUID, token: str) -> None:
        """Let the browser open this quote or order from now on; ids sort by age, so the oldest gives way."""
        name = f"access_{quote_or_order.hex}"
        self.keep(name, token, YEAR)
        kept = sorted(other for other in self.request.cookies if other.startswith("access_") and other != name)
        for oldest in kept[: max(0, len(kept) + 1 - MAX_ACCESS)]:
            self.keep(oldest, "")

    # -- answers

    def draft(self, product: str) -> dict[str, Any]:
        """The answers given so far; empty when there are none or they cannot be read any more."""
        name = f"draft_{product}"
        try:
            packed = self.keyring.decrypt(_bytes_of(self.request.cookies.get(name, "")), f"storefront.{name}")
            answers = msgspec.json.decode(zlib.decompress(packed))
        except (CiphertextInvalid, binascii.Error, zlib.error, ValueError):
            return {}
        return answers if isinstance(answers, dict) else {}

    def keep_draft(self, product: str, answers: dict[str, Any]) -> None:
        """Keep the answers in the browser, so that a reload or our restart loses none."""
        name = f"draft_{product}"
        packed = zlib.compress(msgspec.json.encode(answers), 9)
        value = _text_of(self.keyring.encrypt(packed, f"storefront.{name}"))
        if len(value) > MAX_COOKIE:
            raise AnswersTooLong
        self.keep(name, value, DRAFT_AGE)


class Form:
    """Fields of a form as texts; what is not there is empty."""

    def __init__(self, fields: Iterable[tuple[str, Any]] = ()) -> None:
        self._fields: list[tuple[str, str]] = [(name, value) for name, value in fields if isinstance(value, str)]

    def one(self, name: str) -> str:
        """The last value of a field, trimmed."""
        found = self.many(name)
        return found[-1] if found else ""

    def many(self, name: str) -> list[str]:
        return [value.replace("\x00", "").strip() for field_name, value in self._fields if field_name == name]

    def has(self, name: str) -> bool:
        return any(field_name == name for field_name, _ in self._fields)

    @property
    def key(self) -> str:
        """The idempotency key the page was rendered with."""
        key = self.one("idempotency_key")
        return key if 8 <= len(key) <= 100 and key.isprintable() else secrets.token_hex(16)

    def names(self) -> list[str]:
        return [name for name, _ in self._fields]


def visit_of(request: Request[Any, Any, Any], keyring: Keyring, public_url: str = "") -> Visit:
    """Read who is visiting: language by cookie or browser, colours by cookie.

    ``public_url`` is where they come, when that is known; else it is taken to be the address of the request.
    """
    cookie = request.cookies.get("lang")
    language = choose_language(cookie if cookie in LANGUAGES else None, request.headers.get("accept-language", ""))
    theme = request.cookies.get("theme", "")
    secure = (public_url or str(request.url)).startswith("https:")
    return Visit(request, keyring, language, WORDINGS[language], theme if theme in THEMES else "", secure)


def _text_of(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes_of(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
