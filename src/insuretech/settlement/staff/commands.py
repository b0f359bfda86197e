"""Accounts, signing in and out, and noting what was done."""

import re
from dataclasses import dataclass

from insuretech.kit.clock import Clock
from insuretech.kit.failures import Unusable
from insuretech.kit.ids import new_secret
from insuretech.settlement.staff.domain import (
    IDLE,
    LINK_LASTS,
    SESSION_LASTS,
    DeedRecord,
    LinkSpent,
    NameTaken,
    NoSuchPerson,
    NotYourRole,
    Person,
    Role,
    SignInNeeded,
    token_hash,
)
from insuretech.settlement.staff.ports import StaffBooks

_NAME = re.compile(r"[a-z][a-z0-9.-]{1,39}\Z")


class NameUnusable(Unusable):
    """A name is signed under notes and typed into commands."""


@dataclass(frozen=True)
class Staff:
    """Everything about the people who work here. ``base_url`` is where their links lead."""

    books: StaffBooks
    clock: Clock
    base_url: str

    async def add(self, name: str, role: Role) -> str:
        """Open an account; gives its first sign-in link. Raises ``NameUnusable`` or ``NameTaken``."""
        if not _NAME.match(name):
            raise NameUnusable(f"{name} cannot be a name: use 2 to 40 small Latin letters, digits, dots and dashes.")
        if not await self.books.add(Person(name=name, role=role, created_at=self.clock.now())):
            raise NameTaken(f"There is an account {name} already; `insuretech staff link {name}` lets it sign in.")
        await self.note("command", "account-opened", name, role)
        return await self.link(name)

    async def link(self, name: str) -> str:
        """A new one-time link; older ones of this person end. Raises ``NoSuchPerson``."""
        person = await self.books.person(name)
        if person is None or person.disabled_at is not None:
            raise NoSuchPerson(f"There is no open account {name}.")
        token, now = new_secret(), self.clock.now()
        await self.books.keep_link(token_hash(token), name, now, now + LINK_LASTS)
        await self.note("command", "link-made", name)
        return f"{self.base_url}/staff/sign-in?token={token}"

    async def disable(self, name: str) -> None:
        """Close an account and end its sessions at once. Raises ``NoSuchPerson``."""
        if not await self.books.disable(name, self.clock.now()):
            raise NoSuchPerson(f"There is no open account {name}.")
        await self.note("command", "account-closed", name)

    async def invited(self, token: str) -> Person:
        """Whom a link is for; looking does not use it up. Raises ``LinkSpent``."""
        person = await self.books.link_owner(token_hash(token), self.clock.now())
        if person is None:
            raise LinkSpent
        return person

    async def sign_in(self, token: str) -> tuple[str, Person]:
        """Use a link up; gives the secret of the new session. Raises ``LinkSpent``."""
        session, now = new_secret(), self.clock.now()
        person = await self.books.spend_link(token_hash(token), token_hash(session), now, now + SESSION_LASTS)
        if person is None:
            raise LinkSpent
        await self.note(person.name, "signed-in")
        return session, person

    async def signed_in(self, session: str) -> Person:
        """Whose session this is. Raises ``SignInNeeded``."""
        now = self.clock.now()
        person = await self.books.session_owner(token_hash(session), now, now - IDLE) if session else None
        if person is None:
            raise SignInNeeded
        return person

    async def sign_out(self, session: str, person: Person) -> None:
        await self.books.end_session(token_hash(session), self.clock.now())
        await self.note(person.name, "signed-out")

    async def note(self, name: str, deed: str, subject: str = "", detail: str = "") -> None:
        """Keep for ever that somebody did something."""
        record = DeedRecord(at=self.clock.now(), name=name, deed=deed, subject=subject, detail=detail[:500])
        await self.books.note(record)


def check_works(person: Person) -> None:
    """Raises ``NotYourRole`` for those who may only look."""
    if not person.works:
        raise NotYourRole
