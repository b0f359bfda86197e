"""Wires the documents service."""

from dataclasses import dataclass

from insuretech.connectors.object_storage import FolderStorage
from insuretech.documents.checking import DocumentCheck
from insuretech.documents.commands import PolicyDocuments
from insuretech.documents.domain import SANDBOX_NOTICE
from insuretech.documents.ports import PolicySource
from insuretech.documents.press import Press
from insuretech.documents.printing import TypstPrinter
from insuretech.documents.reactions import policy_reaction
from insuretech.documents.repository import DocumentRepository, PostgresDocuments
from insuretech.documents.routes import documents_router
from insuretech.documents.tables import messaging
from insuretech.kit.files import FileVault, ObjectStorage
from insuretech.kit.links import SealedLinks
from insuretech.kit.platform import Background, Platform, Service


@dataclass(frozen=True)
class Documents:
    """The service, wired; ``press`` prints what waits."""

    service: Service
    press: Press


def build(platform: Platform, *, policies: PolicySource, storage: ObjectStorage | None = None) -> Documents:
    """Wire documents; without ``storage`` they lie in the folder ``documents`` of the instance's home."""
    database = platform.database("documents")
    rows = PostgresDocuments(database)
    storage = storage or FolderStorage(platform.settings.home / "documents")
    vault = FileVault(storage, platform.keyring, folder="policies", purpose="documents.policy")
    documents = PolicyDocuments(
        policies=policies,
        printer=TypstPrinter(),
        vault=vault,
        rows=rows,
        links=SealedLinks(platform.keyring, platform.clock, purpose="documents.policy"),
        clock=platform.clock,
        base_url=platform.settings.base_url,
        notice=SANDBOX_NOTICE if platform.settings.sandbox_enabled else None,
    )
    press = Press(documents, rows, vault, platform.clock)
    service = Service(
        name="documents",
        routes=[documents_router(documents)],
        reactions=[policy_reaction(database, DocumentRepository, platform.clock, press.wake)],
        background=[Background("documents.press", press.run)],
        database=database,
        messaging=messaging,
        reencrypt=documents.reencrypt,
        check_files=DocumentCheck(documents, rows, vault, platform.clock).run,
    )
    return Documents(service, press)
