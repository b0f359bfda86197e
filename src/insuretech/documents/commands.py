"""Printing, keeping and giving out the document of a policy."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

import msgspec
import structlog

from insuretech.contracts.events import DocumentReady
from insuretech.contracts.policies import PolicyPaper
from insuretech.contracts.text import Text
from insuretech.documents.domain import StoredDocument, WantedPrint, printed_policy
from insuretech.documents.ports import DocumentRows, PolicyPrinter, PolicySource
from insuretech.kit.clock import Clock
from insuretech.kit.files import FileAltered, FileMissing, FileVault, KeptFile
from insuretech.kit.ids import new_id
from insuretech.kit.links import SealedLinks
from insuretech.kit.problems import Conflict, NotFound, Problem

log = structlog.get_logger(__name__)

_PAGE = 100
LINK_LIFETIME = timedelta(days=7)


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


class OpenedDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A document given out: the PDF and the number of its policy."""

    number: str
    content: bytes


class DocumentLink(msgspec.Struct, frozen=True, kw_only=True):
    """An address that opens one document for whoever has it, until ``expires_at``."""

    url: str
    expires_at: datetime


@dataclass(frozen=True)
class PolicyDocuments:
    """The use cases. ``notice`` is printed on every policy, for surroundings where insurers are invented."""

    policies: PolicySource
    printer: PolicyPrinter
    vault: FileVault
    rows: DocumentRows
    links: SealedLinks
    clock: Clock
    base_url: str
    notice: Text | None = None

    # ------------------------------------------------------------ giving out

    async def open_document(self, number: str, owner: str) -> bytes:
        """The PDF of the owner's policy.

        One that is not kept yet, or whose storage does not answer, is printed on the spot: nobody waits for an archive.
        One that is lost or damaged is printed again and put in its place on the way.
        """
        document = await self.rows.newest(number, owner)
        stamp = next((one for one in await self.rows.wanted(number) if one.state == "cancelled"), None)
        if document is None:
            policy_id = await self.policies.policy_id(number, owner)
            if policy_id is None:
                raise NotFound
            return await self._on_the_spot(policy_id, stamp.cancelled_on if stamp else None)
        if stamp is not None and stamp.policy_id == document.policy_id:
            return await self._on_the_spot(document.policy_id, stamp.cancelled_on)
        return await self._content(document)

    async def link(self, number: str, owner: str) -> DocumentLink:
        """A link to the document of the owner's policy as it is now."""
        document = await self.rows.newest(number, owner)
        if document is None:
            if await self.policies.policy_id(number, owner) is None:
                raise NotFound
            raise DocumentNotReady(headers={"Retry-After": "1"})
        token, until = self.links.seal(document.id, LINK_LIFETIME)
        return DocumentLink(url=f"{self.base_url}/api/v1/documents/{token}", expires_at=until)

    async def open_link(self, token: str) -> OpenedDocument:
        """What a link of ours opens."""
        document = await self.rows.document(self.links.open(token))
        if document is None:
            raise NotFound
        return OpenedDocument(number=document.number, content=await self._content(document))

    async def _content(self, document: StoredDocument) -> bytes:
        try:
            content = await self._kept(document)
            if content is None:
                content, _ = await self.print_again(document)
        except OSError as error:
            log.warning("document.storage_away", document_id=str(document.id), error=str(error))
            content = await self._on_the_spot(document.policy_id, document.cancelled_on)
        return content

    async def _on_the_spot(self, policy_id: UUID, cancelled_on: date | None) -> bytes:
        paper = await self.policies.paper(policy_id)
        if paper is None:
            raise DocumentNotReady(headers={"Retry-After": "1"})
        return await self._printed(paper, cancelled_on)

    # ------------------------------------------------------------ printing

    async def print_wanted(self, wanted: WantedPrint) -> None:
        """Print and keep what waits; repeating it changes nothing. Raises whatever stood in the way."""
        paper = await self.policies.paper(wanted.policy_id)
        if paper is None:
            raise PolicyUnknown(f"orders do not know policy {wanted.policy_id}")
        file = await self.vault.keep(await self._printed(paper, wanted.cancelled_on))
        now = self.clock.now()
        document = StoredDocument(
            id=new_id(),
            policy_id=wanted.policy_id,
            order_id=paper.order_id,
            owner=paper.owner,
            number=paper.number,
            state=wanted.state,
            cancelled_on=wanted.cancelled_on,
            storage_key=file.storage_key,
            sha256=file.sha256,
            size=file.size,
            created_at=now,
        )
        async with self.rows.transaction() as store:
            await store.done(wanted.policy_id, wanted.state)
            if await store.add(document):
                await store.publish([_ready(document)], now)

    async def print_again(self, document: StoredDocument) -> tuple[bytes, StoredDocument]:
        """Replace a document that cannot be read. Its bytes differ when the template has changed since."""
        paper = await self.policies.paper(document.policy_id)
        if paper is None:
            log.error("document.gone", document_id=str(document.id))
            raise DocumentGone
        content = await self._printed(paper, document.cancelled_on)
        file = await self.vault.keep(content, replace=True)
        renewed = msgspec.structs.replace(document, sha256=file.sha256, size=file.size, storage_key=file.storage_key)
        if renewed.storage_key != document.storage_key:
            await self._point(document, renewed)
        log.warning("document.printed_again", document_id=str(document.id))
        return content, renewed

    async def _printed(self, paper: PolicyPaper, cancelled_on: date | None) -> bytes:
        words = printed_policy(paper, cancelled_on=cancelled_on, notice=self.notice, base_url=self.base_url)
        return await self.printer.print_policy(words)

    # ------------------------------------------------------------ keeping

    async def reencrypt(self) -> int:
        """Bring every document under the current key; the number of those that changed."""
        changed = 0
        async for document in self.everything():
            changed += await self._renew(document)
        return changed

    async def everything(self) -> AsyncIterator[StoredDocument]:
        """All documents in the order of their ids."""
        last = None
        while page := await self.rows.after(last, _PAGE):
            for document in page:
                yield document
            last = page[-1].id

    async def _kept(self, document: StoredDocument) -> bytes | None:
        """The PDF as it was printed, or None when it is lost or not what it was."""
        try:
            return await self.vault.read(kept_file(document))
        except FileMissing:
            now = await self.rows.document(document.id)
            if now is not None and now.storage_key != document.storage_key:  # re-encrypted since we looked
                return await self._kept(now)
            log.error("document.missing", document_id=str(document.id))  # noqa: TRY400 - expected
            return None
        except FileAltered as error:
            log.error("document.altered", document_id=str(document.id), reason=str(error))  # noqa: TRY400 - expected
            return None

    async def _renew(self, document: StoredDocument) -> bool:
        """Keep a document under the current key; the old object goes once nothing points at it."""
        if self.vault.key(document.sha256) == document.storage_key:
            return False
        content = await self._kept(document)
        if content is None:
            await self.print_again(document)
        else:
            file = await self.vault.keep(content)
            await self._point(document, msgspec.structs.replace(document, storage_key=file.storage_key))
        return True

    async def _point(self, before: StoredDocument, after: StoredDocument) -> None:
        now = self.clock.now()
        async with self.rows.transaction() as store:
            if await store.move(before, after):
                await store.discard(before.storage_key, now)
                await store.publish([_ready(after)], now)


def kept_file(document: StoredDocument) -> KeptFile:
    """Where a document lies."""
    return KeptFile(storage_key=document.storage_key, sha256=document.sha256, size=document.size)


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
