"""Wires the settlement service."""

from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

from insuretech.connectors.object_storage import FolderStorage
from insuretech.connectors.register_api import RegisterApi
from insuretech.connectors.register_mail import RegisterMail
from insuretech.connectors.statements import HttpStatements
from insuretech.contracts.insurers import InsurerDirectory
from insuretech.kit.breaker import Breaker
from insuretech.kit.files import LargeObjects
from insuretech.kit.http import Outbound
from insuretech.kit.platform import Background, Platform, Service
from insuretech.settlement.agreements import Agreements, read_agreements
from insuretech.settlement.closing import close_by_calendar
from insuretech.settlement.commands import Bookkeeping
from insuretech.settlement.desk.routes import page_of_failure
from insuretech.settlement.preparing import Preparation
from insuretech.settlement.printing import RegisterPrinter
from insuretech.settlement.reactions import line_reaction
from insuretech.settlement.repository import PostgresBooks, SettlementRepository
from insuretech.settlement.sending import Dispatch
from insuretech.settlement.signing import Seal
from insuretech.settlement.tables import messaging
from insuretech.settlement.verifying import Verification
from insuretech.settlement.wiring import Office, open_office

_CALL_LIMIT = 60.0  # seconds for one call of an insurer's API for registers


@dataclass(frozen=True)
class Settlement:
    """The service, wired, and its use cases for the command line."""

    service: Service
    bookkeeping: Bookkeeping
    books: PostgresBooks
    dispatch: Dispatch
    verification: Verification
    seal: Seal
    office: Office


def build(platform: Platform, *, insurers: InsurerDirectory, storage: LargeObjects | None = None) -> Settlement:
    """Wire settlement; without ``storage`` its files lie in the folder ``documents`` of the instance's home."""
    database = platform.database("settlement")
    storage = storage or FolderStorage(platform.settings.home / "documents")
    office = open_office(platform, insurers=insurers, storage=storage, source=HttpStatements(platform, insurers))
    books, agreements = PostgresBooks(database), read_agreements(platform.settings.agreements_file)
    seal = Seal(books, platform.keyring, platform.clock)
    dispatch = _dispatch(platform, insurers, storage, books, agreements, seal)
    bookkeeping = Bookkeeping(
        books=books,
        agreements=agreements,
        clock=platform.clock,
        mail_domain=_domain(platform),
        closed=dispatch.wake,
    )
    service = Service(
        name="settlement",
        routes=office.routes,
        background=[
            office.background,
            Background("settlement.calendar", partial(close_by_calendar, bookkeeping, platform.clock)),
            Background("settlement.dispatch", dispatch.run),
        ],
        reactions=[line_reaction(database, bookkeeping, SettlementRepository)],
        database=database,
        messaging=messaging,
        failure_page=page_of_failure,
        reencrypt=seal.reencrypt,
    )
    return Settlement(service, bookkeeping, books, dispatch, Verification(books, storage), seal, office)


def _dispatch(
    platform: Platform,
    insurers: InsurerDirectory,
    storage: LargeObjects,
    books: PostgresBooks,
    agreements: Agreements,
    seal: Seal,
) -> Dispatch:
    settings = platform.settings

    def name_of(code: str) -> str:
        return insurers.profile(code).name.ru if code in insurers.codes() else code

    def outbound(address: str) -> Outbound:
        return Outbound(platform.http, address, time_limit=_CALL_LIMIT, concurrency=2, breaker=Breaker())

    return Dispatch(
        books=books,
        agreements=agreements,
        preparation=Preparation(
            books=books,
            storage=storage,
            seal=seal,
            printer=RegisterPrinter(practice=settings.sandbox_enabled),
            name_of=name_of,
            clock=platform.clock,
            spool=settings.home / "spool",
        ),
        storage=storage,
        channels={
            "api": RegisterApi(outbound, settings.sandbox_secret),
            "mail": RegisterMail(settings.smtp_url, sender=f"registers@{_domain(platform)}"),
        },
        sandbox_base=settings.sandbox_base,
        clock=platform.clock,
    )


def _domain(platform: Platform) -> str:
    """The name under which letters are sent."""
    return urlsplit(platform.settings.base_url).hostname or "localhost"
