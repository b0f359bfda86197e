"""Who may do what, and how long a link and a session last; pure."""

from datetime import datetime, timedelta
from hashlib import sha256
from typing import Literal

import msgspec

from insuretech.kit.failures import Unusable
from insuretech.kit.problems import Problem

Role = Literal["settlement", "viewer"]
"""``settlement`` works on discrepancies and brings files in, ``viewer`` looks."""

LINK_LASTS = timedelta(minutes=30)
SESSION_LASTS = timedelta(hours=12)
IDLE = timedelta(hours=2)
"""A session that nobody used for so long has ended: people leave their desks."""


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """An account; ``name`` is what notes and deeds are signed with."""

    name: str
    role: Role
    created_at: datetime
    disabled_at: datetime | None = None

    @property
    def works(self) -> bool:
        """Whether they may change anything."""
        return self.role == "settlement"


class DeedRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Something a person did: ``deed`` in a word, ``subject`` what it was done to."""

    at: datetime
    name: str
    deed: str
    subject: str
    detail: str


class SignInNeeded(Problem):
    """Nobody is signed in."""

    status = 401
    slug = "sign-in-needed"
    title = "Sign in first"


class NotYourRole(Problem):
    """The person who is signed in may look and not change."""

    status = 403
    slug = "not-your-role"
    title = "Your account may look at this and not change it"


class LinkSpent(Problem):
    """A sign-in link was used, is too old, or never was one."""

    status = 410
    slug = "link-spent"
    title = "This link has been used or is too old; ask for another"


class NameTaken(Unusable):
    """There is an account of this name."""


class NoSuchPerson(Unusable):
    """There is no account of this name, or it is disabled."""


def token_hash(token: str) -> bytes:
    """All that is kept of a token."""
    return sha256(token.encode()).digest()


def form_proof(session: str) -> str:
    """What a form of this session carries: only who holds the session can tell it."""
    return sha256(b"settlement.form:" + session.encode()).hexdigest()
