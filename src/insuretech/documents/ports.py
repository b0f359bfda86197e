"""What documents need of others: the policy, a printer, a place to keep files, and rows."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol
from uuid import UUID

from insuretech.contracts.policies import PolicyPaper
from insuretech.documents.domain import PrintedPolicy, StoredDocument
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


class DocumentStorage(Protocol):
    """Whole objects by key. Raises ``OSError`` when the storage does not do its part."""

    async def put(self, key: str, content: bytes, *, replace: bool = False) -> None:
        """Keep an object. One that is there already stays as it is, unless ``replace``."""
        ...

    async def get(self, key: str) -> bytes | None: ...

    async def delete(self, key: str) -> None:
        """Remove an object; fine when there is none."""
        ...


class DocumentStore(Protocol):
    """The rows of one transaction."""

    async def add(self, document: StoredDocument) -> bool:
        """Note a document; False when the policy has one in this state already."""
        ...

    async def move(self, before: StoredDocument, after: StoredDocument) -> bool:
        """Point a row at another object; False when it pointed elsewhere by now."""
        ...

    async def publish(self, events: Sequence[Event], now: datetime) -> None: ...


class DocumentRows(Protocol):
    """Where rows are read and changed: queries outside any transaction, and transactions."""

    async def newest(self, number: str, owner: str) -> StoredDocument | None:
        """The document of the last state of the owner's policy of this number."""
        ...

    async def after(self, last: UUID | None, limit: int) -> list[StoredDocument]:
        """Documents in the order of their ids, for going through all of them."""
        ...

    def transaction(self) -> AbstractAsyncContextManager[DocumentStore]: ...
