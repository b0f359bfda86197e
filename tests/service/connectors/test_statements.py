"""Fetching registers of the other side over a real socket."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from insuretech.connectors.directory import open_directory
from insuretech.connectors.statements import HttpStatements
from insuretech.contracts.money import Money
from insuretech.contracts.statements import SourceUnavailable
from insuretech.kit.clock import MOSCOW, SystemClock
from insuretech.kit.embedded_postgres import EmbeddedPostgres
from insuretech.kit.ids import new_id
from insuretech.kit.keyring import Keyring
from insuretech.kit.live import LiveHub
from insuretech.kit.platform import Platform
from insuretech.kit.settings import Settings
from tests.service.sandbox.stage import SECRET, RunningSandbox, sandbox_on_a_copy
from tests.service.sandbox.test_payment_provider import held, shop

pytestmark = pytest.mark.asyncio(loop_scope="module")

_KNOWN = {"sandbox_secret": SECRET, "yookassa_secret_key": SECRET}
MONTH = datetime.now(UTC).astimezone(MOSCOW).date().replace(day=1)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox(postgres: EmbeddedPostgres, migrated: str):  # type: ignore[no-untyped-def]
    """A sandbox of the module's own."""
    async with sandbox_on_a_copy(postgres, migrated) as running:
        yield running


def statements(sandbox: RunningSandbox, home: Path, **changes: str) -> HttpStatements:
    """Everybody's registers as our settings reach them."""
    settings = Settings(home=home, **{**_KNOWN, "sandbox_url": sandbox.url, **changes})  # type: ignore[arg-type]
    keyring = Keyring.generate()
    platform = Platform(settings, SystemClock(), keyring, sandbox.http, LiveHub(), lambda _: None)  # type: ignore[arg-type,return-value]
    return HttpStatements(platform, open_directory(platform))


async def test_money_taken_and_given_back_is_in_the_providers_registers(
    sandbox: RunningSandbox, tmp_path: Path
) -> None:
    """Without them nobody could tell what the provider believes it took."""
    provider, source = shop(sandbox), statements(sandbox, tmp_path)
    payment = await held(sandbox, provider)
    await provider.capture(payment.id, payment.amount, key=str(new_id()))
    await provider.refund(payment.id, Money(Decimal("1.50")), key=str(new_id()))
    taken = await source.fetch("yookassa.payments", MONTH)
    assert taken.name == f"payments_{MONTH:%Y-%m}.csv"
    assert f"{payment.id};{payment.amount.amount};RUB" in taken.content.decode()
    back = await source.fetch("yookassa.refunds", MONTH)
    assert f"{payment.id};1.50;RUB" in back.content.decode()


async def test_every_insurer_gives_its_register(sandbox: RunningSandbox, tmp_path: Path) -> None:
    """Whatever dialect it speaks, and also when it sold nothing."""
    source = statements(sandbox, tmp_path)
    for party in ("bystra", "tihohod", "kabinet", "zvonok"):
        assert source.fetches(party)
        assert (await source.fetch(party, MONTH)).name == f"{party}-{MONTH:%Y-%m}.csv"


@pytest.mark.parametrize(
    ("party", "changes"),
    [
        ("bystra", {"sandbox_secret": "another"}),
        ("yookassa.payments", {"yookassa_secret_key": "another"}),
        ("bystra", {"sandbox_url": "http://127.0.0.1:9"}),
    ],
)
async def test_a_side_that_gives_nothing_is_said_to(
    sandbox: RunningSandbox, tmp_path: Path, party: str, changes: dict[str, str]
) -> None:
    """An empty file instead of a refusal would make every policy of the month missing."""
    with pytest.raises(SourceUnavailable):
        await statements(sandbox, tmp_path, **changes).fetch(party, MONTH)


async def test_registers_are_not_for_strangers(sandbox: RunningSandbox) -> None:
    """What an insurer sold is nobody else's business, not even in a rehearsal."""
    async with httpx.AsyncClient(base_url=sandbox.url, trust_env=False) as stranger:
        for path in ("insurers/bystra/statements", "yookassa/v3/registers/payments", "yookassa/v3/registers/refunds"):
            assert (await stranger.get(f"/sandbox/{path}/2026-10")).status_code == 401
