"""Wires the sandbox: invented insurers and a payment provider, behind real HTTP and with books of their own."""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from insuretech.contracts.tariffs import CorridorSource
from insuretech.kit.platform import Background, Platform, Service
from insuretech.sandbox import queries
from insuretech.sandbox.behaviours import Behaviours
from insuretech.sandbox.calls import CallLog
from insuretech.sandbox.commands.controls import Controls
from insuretech.sandbox.commands.insurers import Desk
from insuretech.sandbox.commands.payments import Provider
from insuretech.sandbox.commands.playing import Stage
from insuretech.sandbox.deliveries import Courier, Postbox
from insuretech.sandbox.registers import RegisterDesk
from insuretech.sandbox.repository import (
    GroupedOffers,
    StoredBehaviours,
    StoredMessages,
    StoredRegisters,
    clear_books,
    looking,
    writing,
)
from insuretech.sandbox.roster import load_roster
from insuretech.sandbox.routes.control import control_routes
from insuretech.sandbox.routes.json_callback import callback_routes
from insuretech.sandbox.routes.json_polling import polling_routes
from insuretech.sandbox.routes.overview import Overview, overview_routes
from insuretech.sandbox.routes.pay import pay_routes
from insuretech.sandbox.routes.registers import register_routes
from insuretech.sandbox.routes.statements import insurer_statements, provider_statements
from insuretech.sandbox.routes.xml_sync import xml_routes
from insuretech.sandbox.routes.yookassa import yookassa_routes
from insuretech.sandbox.statements import Entry
from insuretech.sandbox.tariff import Tariff, load_reference_tariffs

NOTIFICATIONS = "/api/v1/payments/notifications"
"""Where the marketplace takes the payment provider's notifications."""

_KEPT = timedelta(days=7)


@dataclass(frozen=True)
class Sandbox:
    """The built sandbox."""

    service: Service


def build(platform: Platform, *, corridor: CorridorSource, replicas_lag: float = 0.0) -> Sandbox:
    """Wire the sandbox; OSAGO prices need the legal ``corridor``. It runs beside the marketplace or on its own.

    ``replicas_lag`` is seconds until a replica knows what was set at another; 0 where there is no other.
    """
    settings, clock = platform.settings, platform.clock
    database = platform.database("sandbox")
    waiting = asyncio.Event()
    behaviours = Behaviours(load_roster(), StoredBehaviours(database), replicas_lag)
    stage = Stage(CallLog(clock))
    desk = Desk(
        behaviours=behaviours,
        stage=stage,
        tariff=Tariff(corridor, load_reference_tariffs()),
        journal=GroupedOffers(database),
        transaction=writing(database),
        look=looking(database),
        clock=clock,
        delivery_waits=waiting.set,
    )
    provider = Provider(
        behaviours=behaviours,
        stage=stage,
        transaction=writing(database),
        look=looking(database),
        clock=clock,
        shop_id=settings.yookassa_shop_id,
        page_url=f"{settings.sandbox_base}/sandbox/pay",
        notification_url=f"{settings.base_url}{NOTIFICATIONS}",
        delivery_waits=waiting.set,
    )
    controls = Controls(behaviours, stage.calls, partial(clear_books, database))
    postbox = StoredMessages(database)
    courier = Courier(postbox, platform.http, clock, settings.sandbox_secret, waiting)

    async def books(latest: int | None = None) -> queries.WholeBooks:
        async with database.reading() as connection:
            return await queries.books(connection, clock.now(), latest)

    async def insurer_books(code: str, since: datetime, until: datetime) -> list[Entry]:
        async with database.reading() as connection:
            return await queries.insurer_entries(connection, code, since, until)

    async def payment_books(since: datetime, until: datetime) -> list[Entry]:
        async with database.reading() as connection:
            return await queries.payment_entries(connection, since, until)

    async def refund_books(since: datetime, until: datetime) -> list[Entry]:
        async with database.reading() as connection:
            return await queries.refund_entries(connection, since, until)

    async def totals() -> queries.Totals:
        async with database.reading() as connection:
            return await queries.totals(connection, clock.now())

    async def tidy() -> None:
        await _tidy(platform, postbox)

    return Sandbox(
        Service(
            name="sandbox",
            routes=(
                polling_routes(desk, settings.sandbox_secret),
                callback_routes(desk, settings.sandbox_secret),
                xml_routes(desk, settings.sandbox_secret),
                yookassa_routes(provider, settings.yookassa_secret_key),
                insurer_statements(behaviours, insurer_books, settings.sandbox_secret),
                provider_statements(
                    behaviours,
                    payment_books,
                    refund_books,
                    shop_id=settings.yookassa_shop_id,
                    secret_key=settings.yookassa_secret_key,
                ),
                control_routes(controls, books),
                overview_routes(Overview(controls, books, totals)),
                pay_routes(provider),
                register_routes(
                    RegisterDesk(StoredRegisters(database), clock), behaviours, clock, settings.sandbox_secret
                ),
            ),
            background=(
                Background("sandbox.courier", courier.run),
                Background("sandbox.payments", partial(_pass_time, provider)),
                Background("sandbox.tidy", tidy),
                *([Background("sandbox.behaviours", behaviours.follow)] if replicas_lag else []),
            ),
            on_start=(behaviours.load,),
            database=database,
        )
    )


async def _pass_time(provider: Provider) -> None:
    """Let the provider's deadlines take effect, a second late at most."""
    while True:
        if not await provider.pass_time():
            await asyncio.sleep(1)


async def _tidy(platform: Platform, postbox: Postbox) -> None:
    """Once an hour drop what nobody will ask for any more."""
    while True:
        await postbox.tidy(platform.clock.now() - _KEPT)
        await asyncio.sleep(3600)
