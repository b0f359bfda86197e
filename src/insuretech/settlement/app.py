"""Wires the settlement service."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from insuretech.kit.platform import Platform, Service
from insuretech.settlement.agreements import read_agreements
from insuretech.settlement.commands import Bookkeeping
from insuretech.settlement.reactions import line_reaction
from insuretech.settlement.repository import PostgresBooks, SettlementRepository
from insuretech.settlement.tables import messaging


@dataclass(frozen=True)
class Settlement:
    """The service, wired, and its use cases for the command line."""

    service: Service
    bookkeeping: Bookkeeping


def build(platform: Platform) -> Settlement:
    """Wire settlement."""
    database = platform.database("settlement")
    bookkeeping = Bookkeeping(
        books=PostgresBooks(database),
        agreements=read_agreements(),
        clock=platform.clock,
        mail_domain=urlsplit(platform.settings.base_url).hostname or "localhost",
    )
    return Settlement(
        Service(
            name="settlement",
            reactions=[line_reaction(database, bookkeeping, SettlementRepository)],
            database=database,
            messaging=messaging,
        ),
        bookkeeping,
    )
