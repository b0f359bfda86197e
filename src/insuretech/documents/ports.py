"""What documents need of others: the policy, a printer, and rows. Files lie in a ``kit.files.FileVault``."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from insuretech.contracts.policies import PolicyPaper
from insuretech.documents.domain import Backlog, PrintedPolicy, StoredDocument, WantedPrint
from insuretech.kit.events import Event


class PolicySource(Protocol):
    """The orders service, which holds the policy and its personal data."""

    async def paper(self, policy_id: UUID) -> PolicyPaper | None:
        """All that is printed of a policy, or None when there is none of this id."""
        ...

    async def policy_id(self, number: str, owner: str) -> UUID | None:
        """The owner's policy of this number; asked only while a person waits for a document not printed yet."""
        ...


class PolicyPrinter(Protocol):
    """Turns words into a PDF; the same words give the same bytes."""

    async def print_policy(self, policy: PrintedPolicy) -> bytes: ...


class DocumentStore(Protocol):
    """The rows of one transaction."""

    async def want(self, wanted: WantedPrint) -> bool:
        """Note a print; False when it waits already or has been made."""
        ...

    async def done(self, policy_id: UUID, state: str) -> None:
        """Forget a print that waited."""
        ...

    async def add(self, document: StoredDocument) -> bool:
        """Note a document; False when the policy has one in this state already."""
        ...

    async def move(self, before: StoredDocument, after: StoredDocument) -> bool:
        """Point a row at another object; False when it pointed elsewhere by now."""
        ...

    async def discard(self, storage_key: str, now: datetime) -> None:
        """Note an object to be removed unless something points at it by then."""
        ...

    async def publish(self, events: Sequence[Event], now: datetime) -> None: ...


class DocumentRows(Protocol):
    """Where rows are read and changed: queries outside any transaction, and transactions."""

    async def newest(self, number: str, owner: str) -> StoredDocument | None:
        """The document of the last state of the owner's policy of this number."""
        ...

    async def document(self, document_id: UUID) -> StoredDocument | None: ...

    async def after(self, last: UUID | None, limit: int) -> list[StoredDocument]:
        """Documents in the order of their ids, for going through all of them."""
        ...

    async def wanted(self, number: str) -> list[WantedPrint]:
        """Prints that wait for policies of this number."""
        ...

    async def overdue(self, before: datetime, limit: int) -> list[WantedPrint]:
        """Prints that were wanted before a moment and still wait, the oldest first."""
        ...

    async def backlog(self) -> Backlog: ...

    async def claim(self, now: datetime, lease: timedelta, limit: int) -> list[WantedPrint]:
        """Take prints whose time has come, for ``lease``: no other process takes them meanwhile."""
        ...

    async def postpone(self, wanted: WantedPrint, until: datetime, error: str) -> None:
        """Put a print off, with the reason."""
        ...

    async def discarded(self, before: datetime, limit: int) -> list[str]:
        """Keys of objects discarded before a moment."""
        ...

    async def forget(self, storage_key: str) -> None:
        """A discarded object is gone."""
        ...

    async def pointed_at(self, storage_keys: Sequence[str]) -> set[str]:
        """Which of these objects a document points at."""
        ...

    def transaction(self) -> AbstractAsyncContextManager[DocumentStore]: ...
