"""Wires the documents service."""

from dataclasses import dataclass

from insuretech.connectors.object_storage import FolderStorage
from insuretech.documents.commands import PolicyDocuments
from insuretech.documents.domain import SANDBOX_NOTICE
from insuretech.documents.ports import DocumentStorage, PolicySource
from insuretech.documents.printing import TypstPrinter
from insuretech.documents.reactions import policy_reaction
from insuretech.documents.repository import DocumentRepository, PostgresDocuments
from insuretech.documents.routes import documents_router
from insuretech.documents.tables import messaging
from insuretech.kit.platform import Platform, Service


@dataclass(frozen=True)
class Documents:
    """The service, wired."""

    service: Service


def build(platform: Platform, *, policies: PolicySource, storage: DocumentStorage | None = None) -> Documents:
    """Wire documents; without ``storage`` they lie in the folder ``documents`` of the instance's home."""
    database = platform.database("documents")
    documents = PolicyDocuments(
        policies=policies,
        printer=TypstPrinter(),
        storage=storage or FolderStorage(platform.settings.home / "documents"),
        rows=PostgresDocuments(database),
        keyring=platform.keyring,
        clock=platform.clock,
        base_url=platform.settings.base_url,
        notice=SANDBOX_NOTICE if platform.settings.sandbox_enabled else None,
    )
    return Documents(
        Service(
            name="documents",
            routes=[documents_router(documents)],
            reactions=[policy_reaction(database, documents, DocumentRepository)],
            database=database,
            messaging=messaging,
            reencrypt=documents.reencrypt,
        )
    )
