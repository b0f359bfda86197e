"""Going through all documents to see that each is where its row says, and what it was when it was printed."""

from collections.abc import AsyncIterator
from datetime import timedelta

from insuretech.documents.commands import DocumentGone, PolicyDocuments, kept_file
from insuretech.documents.domain import StoredDocument
from insuretech.documents.ports import DocumentRows
from insuretech.kit.clock import Clock
from insuretech.kit.files import Fault, FileAltered, FileMissing, FileVault, Finding

_OVERDUE = timedelta(minutes=5)
_SETTLED = timedelta(days=1)
"""An object younger than that may belong to a print that is being noted right now."""


class DocumentCheck:
    """Finds documents that are missing or altered, prints that do not get done, and objects that belong to nobody."""

    def __init__(self, documents: PolicyDocuments, rows: DocumentRows, vault: FileVault, clock: Clock) -> None:
        self._documents = documents
        self._rows = rows
        self._vault = vault
        self._clock = clock

    async def run(self, repair: bool) -> AsyncIterator[Finding]:
        """What is wrong, as it is found. Raises ``StorageAway`` when the storage cannot be looked into."""
        await self._vault.storage.check()
        async for document in self._documents.everything():
            finding = await self._fault(document, repair)
            if finding is not None:
                yield finding
        for wanted in await self._rows.overdue(self._clock.now() - _OVERDUE, 1000):
            detail = wanted.last_error or "not printed yet"
            yield _finding("waiting", str(wanted.policy_id), "", detail)
        async for page in self._vault.storage.below(self._vault.folder):
            settled = [one.key for one in page if one.changed_at < self._clock.now() - _SETTLED]
            in_use = await self._rows.pointed_at(settled) if settled else set()
            for key in settled:
                if key not in in_use:
                    if repair:
                        await self._vault.storage.delete(key)
                    yield _finding("unwanted", "", key, "no document points at this object", repaired=repair)

    async def _fault(self, document: StoredDocument, repair: bool) -> Finding | None:
        try:
            await self._vault.read(kept_file(document))
        except FileMissing:
            finding = _finding("missing", str(document.id), document.storage_key, "the object is not there")
        except FileAltered as error:
            finding = _finding("altered", str(document.id), document.storage_key, str(error))
        else:
            return None
        return await self._repaired(finding, document) if repair else finding

    async def _repaired(self, finding: Finding, document: StoredDocument) -> Finding:
        try:
            _, renewed = await self._documents.print_again(document)
        except DocumentGone as error:
            return _finding("gone", finding.id, finding.storage_key, f"{finding.detail}; {error}")
        same = "with the same bytes" if renewed.sha256 == document.sha256 else "from a newer template"
        return _finding(
            finding.fault, finding.id, finding.storage_key, f"{finding.detail}; printed again {same}", repaired=True
        )


def _finding(fault: Fault, subject: str, key: str, detail: str, *, repaired: bool = False) -> Finding:
    return Finding(
        service="documents",
        fault=fault,
        id=subject,
        storage_key=key,
        repaired=repaired,
        detail=detail,
    )
