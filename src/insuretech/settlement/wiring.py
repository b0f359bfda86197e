"""Wires reconciliation, staff and their desk inside the settlement service."""

from dataclasses import dataclass

from litestar.types import ControllerRouterHandler

from insuretech.contracts.insurers import InsurerDirectory
from insuretech.contracts.statements import StatementSource
from insuretech.contracts.text import Text
from insuretech.kit.files import FileVault, ObjectStorage
from insuretech.kit.platform import Background, Platform
from insuretech.settlement.desk.api import Desk
from insuretech.settlement.desk.pages import Pages
from insuretech.settlement.desk.routes import desk_routes
from insuretech.settlement.reconciliation.commands import Reconciliation
from insuretech.settlement.reconciliation.domain.columns import other_parties
from insuretech.settlement.reconciliation.overview import Overview
from insuretech.settlement.reconciliation.repository import PostgresReconciliation
from insuretech.settlement.reconciliation.worker import StatementReader
from insuretech.settlement.staff.commands import Staff
from insuretech.settlement.staff.repository import PostgresStaff


@dataclass(frozen=True)
class Office:
    """Reconciliation with the people who work on it: use cases, routes and the loop that reads files."""

    reconciliation: Reconciliation
    overview: Overview
    staff: Staff
    routes: tuple[ControllerRouterHandler, ...]
    background: Background


def open_office(
    platform: Platform, *, insurers: InsurerDirectory, storage: ObjectStorage, source: StatementSource
) -> Office:
    """Wire it on the settlement service's own database."""
    database = platform.database("settlement")
    parties: dict[str, Text] = {code: insurers.profile(code).name for code in insurers.codes()}
    parties |= other_parties()
    reconciliation = Reconciliation(
        books=PostgresReconciliation(database),
        vault=FileVault(storage, platform.keyring, folder="statements", purpose="settlement.statement"),
        source=source,
        clock=platform.clock,
        parties=tuple(parties),
    )
    overview = Overview(database, parties)
    staff = Staff(PostgresStaff(database), platform.clock, platform.settings.base_url)
    reader = StatementReader(reconciliation)
    desk = Desk(staff, reconciliation, overview, reader.wake)
    routes = tuple(desk_routes(desk, Pages(desk, platform.clock)))
    return Office(reconciliation, overview, staff, routes, Background("settlement.statements", reader.run))
