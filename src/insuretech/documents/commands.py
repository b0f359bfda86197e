"""Printing, keeping and giving out the document of a policy."""

from dataclasses import dataclass
from datetime import date
from uuid import UUID

import msgspec
import structlog

from insuretech.contracts.events import DocumentReady
from insuretech.contracts.policies import PolicyPaper
from insuretech.contracts.text import Text
from insuretech.documents.domain import StoredDocument, content_hash, printed_policy, storage_key
from insuretech.documents.ports import DocumentRows, DocumentStorage, DocumentStore, PolicyPrinter, PolicySource
from insuretech.kit.clock import Clock
from insuretech.kit.ids import new_id
from insuretech.kit.keyring import CiphertextInvalid, Keyring
from insuretech.kit.problems import Conflict, NotFound, Problem

log = structlog.get_logger(__name__)

_PAGE = 100


class DocumentNotReady(Conflict):
    """The policy is issued and its document is being printed; ask again after ``Retry-After`` seconds."""

    slug = "document-not-ready"
    title = "The policy is issued, its document is being printed"


class DocumentGone(Problem):
    """The kept document is lost or damaged, and what it would be printed from is gone as well."""

    status = 410
    slug = "document-gone"
    title = "The document is no longer here and cannot be printed again"


class PolicyUnknown(Exception):
    """An event speaks of a policy that orders do not know."""


@dataclass(frozen=True)
class PolicyDocuments:
    """The use cases. ``notice`` is printed on every policy, for surroundings where insurers are invented."""

    policies: PolicySource
    printer: PolicyPrinter
    storage: DocumentStorage
    rows: DocumentRows
    keyring: Keyring
    clock: Clock
    base_url: str
    notice: Text | None = None

    async def print_issued(self, store: DocumentStore, policy_id: UUID) -> None:
        """Print a policy as it was issued; repeating it changes nothing."""
        await self._print(store, policy_id, None)

    async def print_cancelled(self, store: DocumentStore, policy_id: UUID, cancelled_on: date) -> None:
        """Print a policy once more with the stamp of its early end; repeating it changes nothing."""
        await self._print(store, policy_id, cancelled_on)

    async def open_document(self, number: str, owner: str) -> bytes:
        """The PDF of the owner's policy; one that is lost or damaged is printed again on the way."""
        document = await self.rows.newest(number, owner)
        if document is None:
            if await self.policies.policy_id(number, owner) is None:
                raise NotFound
            raise DocumentNotReady(headers={"Retry-After": "1"})
        content = await self._kept(document)
        if content is None:
            content, _ = await self._print_again(document)
        return content

    async def reencrypt(self) -> int:
        """Bring every document under the current key; the number of those that changed."""
        changed, last = 0, None
        while page := await self.rows.after(last, _PAGE):
            changed += sum([await self._renew(document) for document in page])
            last = page[-1].id
        return changed

    # ------------------------------------------------------------ printing

    async def _print(self, store: DocumentStore, policy_id: UUID, cancelled_on: date | None) -> None:
        paper = await self.policies.paper(policy_id)
        if paper is None:
            raise PolicyUnknown(f"orders do not know policy {policy_id}")
        content = await self._printed(paper, cancelled_on)
        sha256 = content_hash(content)
        now = self.clock.now()
        document = StoredDocument(
            id=new_id(),
            policy_id=policy_id,
            order_id=paper.order_id,
            owner=paper.owner,
            number=paper.number,
            state="in_force" if cancelled_on is None else "cancelled",
            cancelled_on=cancelled_on,
            storage_key=storage_key(sha256, self.keyring.current),
            sha256=sha256,
            size=len(content),
            created_at=now,
        )
        await self._keep(document, content)
        if await store.add(document):
            await store.publish([_ready(document)], now)

    async def _printed(self, paper: PolicyPaper, cancelled_on: date | None) -> bytes:
        words = printed_policy(paper, cancelled_on=cancelled_on, notice=self.notice, base_url=self.base_url)
        return await self.printer.print_policy(words)

    async def _print_again(self, document: StoredDocument) -> tuple[bytes, StoredDocument]:
        """Replace a document that cannot be read. Its bytes differ when the template has changed since."""
        paper = await self.policies.paper(document.policy_id)
        if paper is None:
            log.error("document.gone", document_id=str(document.id))
            raise DocumentGone
        content = await self._printed(paper, document.cancelled_on)
        sha256 = content_hash(content)
        renewed = msgspec.structs.replace(
            document, sha256=sha256, size=len(content), storage_key=storage_key(sha256, self.keyring.current)
        )
        await self._keep(renewed, content, replace=True)
        if renewed.storage_key != document.storage_key:
            await self._point(document, renewed)
        log.warning("document.printed_again", document_id=str(document.id))
        return content, renewed

    # ------------------------------------------------------------ keeping

    async def _keep(self, document: StoredDocument, content: bytes, *, replace: bool = False) -> None:
        sealed = self.keyring.encrypt(content, _context(document))
        await self.storage.put(document.storage_key, sealed, replace=replace)

    async def _kept(self, document: StoredDocument) -> bytes | None:
        """The PDF as it was printed, or None when it is lost or not what it was."""
        sealed = await self.storage.get(document.storage_key)
        if sealed is None:
            log.error("document.missing", document_id=str(document.id))
            return None
        try:
            return self.keyring.decrypt(sealed, _context(document))
        except CiphertextInvalid as error:
            log.error("document.damaged", document_id=str(document.id), reason=str(error))  # noqa: TRY400 - expected
            return None

    async def _renew(self, document: StoredDocument) -> bool:
        """Keep a document under the current key; the old object goes once nothing points at it."""
        renewed = msgspec.structs.replace(document, storage_key=storage_key(document.sha256, self.keyring.current))
        if renewed.storage_key == document.storage_key:
            return False
        content = await self._kept(document)
        if content is None:
            _, renewed = await self._print_again(document)
        else:
            await self._keep(renewed, content)
            await self._point(document, renewed)
        await self.storage.delete(document.storage_key)
        return True

    async def _point(self, before: StoredDocument, after: StoredDocument) -> None:
        async with self.rows.transaction() as store:
            if await store.move(before, after):
                await store.publish([_ready(after)], self.clock.now())


def _ready(document: StoredDocument) -> DocumentReady:
    return DocumentReady(
        document_id=document.id,
        policy_id=document.policy_id,
        order_id=document.order_id,
        kind="policy",
        storage_key=document.storage_key,
        sha256=document.sha256,
        size=document.size,
    )


def _context(document: StoredDocument) -> str:
    """Binds a ciphertext to its content: put in another's place it does not open."""
    return f"documents.policy:{document.sha256}"
