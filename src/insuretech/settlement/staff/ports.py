"""Where accounts, sessions and deeds are kept."""

from datetime import datetime
from typing import Protocol

from insuretech.settlement.staff.domain import DeedRecord, Person


class StaffBooks(Protocol):
    """Accounts, links, sessions, deeds; every call is a transaction of its own."""

    async def add(self, person: Person) -> bool:
        """Keep an account; False when the name is taken."""
        ...

    async def person(self, name: str) -> Person | None: ...

    async def people(self) -> list[Person]: ...

    async def disable(self, name: str, now: datetime) -> bool:
        """Close an account and end its sessions; False when there is no open one of this name."""
        ...

    async def keep_link(self, token_hash: bytes, name: str, now: datetime, expires_at: datetime) -> None:
        """Keep a link; older unused ones of the same person end with it."""
        ...

    async def link_owner(self, token_hash: bytes, now: datetime) -> Person | None:
        """Whom a link that can still be used is for."""
        ...

    async def spend_link(self, link: bytes, session: bytes, now: datetime, expires_at: datetime) -> Person | None:
        """Use a link up and open a session; None when it cannot be used any more."""
        ...

    async def session_owner(self, token_hash: bytes, now: datetime, idle_since: datetime) -> Person | None:
        """Whose open session this is; notes that it was used."""
        ...

    async def end_session(self, token_hash: bytes, now: datetime) -> None: ...

    async def note(self, deed: DeedRecord) -> None: ...

    async def deeds(self, limit: int, offset: int) -> list[DeedRecord]: ...
