"""Wires the settlement service."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from insuretech.connectors.object_storage import FolderStorage
from insuretech.connectors.statements import HttpStatements
from insuretech.contracts.insurers import InsurerDirectory
from insuretech.kit.files import ObjectStorage
from insuretech.kit.platform import Platform, Service
from insuretech.settlement.agreements import read_agreements
from insuretech.settlement.commands import Bookkeeping
from insuretech.settlement.reactions import line_reaction
from insuretech.settlement.repository import PostgresBooks, SettlementRepository
from insuretech.settlement.tables import messaging
from insuretech.settlement.wiring import Office, open_office


@dataclass(frozen=True)
class Settlement:
    """The service, wired, and its use cases for the command line."""

    service: Service
    bookkeeping: Bookkeeping
    office: Office


def build(platform: Platform, *, insurers: InsurerDirectory, storage: ObjectStorage | None = None) -> Settlement:
    """Wire settlement; without ``storage`` its files lie in the folder ``documents`` of the instance's home."""
    database = platform.database("settlement")
    storage = storage or FolderStorage(platform.settings.home / "documents")
    office = open_office(platform, insurers=insurers, storage=storage, source=HttpStatements(platform, insurers))
    bookkeeping = Bookkeeping(
        books=PostgresBooks(database),
        agreements=read_agreements(),
        clock=platform.clock,
        mail_domain=urlsplit(platform.settings.base_url).hostname or "localhost",
    )
    return Settlement(
        Service(
            name="settlement",
            routes=office.routes,
            background=[office.background],
            reactions=[line_reaction(database, bookkeeping, SettlementRepository)],
            database=database,
            messaging=messaging,
        ),
        bookkeeping,
        office,
    )
