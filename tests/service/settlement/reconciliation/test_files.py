"""What becomes of the files that come."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from insuretech.contracts.statements import FetchedFile
from insuretech.kit.clock import FixedClock
from insuretech.kit.files import StorageAway
from insuretech.kit.problems import NotFound
from insuretech.settlement.reconciliation.commands import StatementUnavailable
from tests.service.settlement.office import OCTOBER, Office
from tests.unit.settlement.reconciliation.files import csv_file


async def test_a_file_with_faults_counts_for_nothing(office: Office) -> None:
    """Half a register compared would report the other half as missing."""
    await office.our_line("A1", "100")
    await office.lines(("A1", "01.10.2026", "100"))
    refused = await office.lines(("A1", "01.10.2026", "100"), ("A2", "sometime", "много"))
    assert (refused.state, refused.version, refused.fault_count) == ("refused", None, 2)
    assert [(fault.line, fault.code) for fault in refused.faults] == [(3, "date"), (3, "amount")]
    assert await office.found() == []
    async with office.database.reading() as connection:
        assert await connection.scalar(sa.text("select count(*) from settlement.statement_lines")) == 1


async def test_the_same_file_is_recognised(office: Office) -> None:
    """A file uploaded twice by two people is one file."""
    content = csv_file()
    first = await office.received(content)
    again = await office.received(content, name="another name.csv")
    assert (first.known, again.known) == (False, True)
    assert again.statement.id == first.statement.id
    elsewhere = await office.received(content, "tihohod")
    assert not elsewhere.known


async def test_the_file_itself_is_kept_encrypted(office: Office) -> None:
    """It holds names of people, and it is our proof of what the insurer said."""
    content = csv_file([("A1", "01.10.2026", "1")], before=["Иванов Иван Иванович"])
    statement = await office.statement(content, name="..\\..\\Реестр\x07 октябрь.csv")
    stored = await office.reconciliation.vault.storage.get(statement.storage_key)
    assert stored is not None
    assert "Иванов".encode() not in stored
    assert statement.sha256 in statement.storage_key
    assert statement.file_name == "Реестр октябрь.csv"


async def test_storage_away_is_no_fault_of_the_file(
    office: Office, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An hour without S3 must not refuse the files of that hour."""
    received = await office.received(csv_file())
    for _ in range(5):
        with monkeypatch.context() as away:
            away.setattr(office.reconciliation.vault, "read", _away)
            with pytest.raises(StorageAway):
                await office.reconciliation.read_next()
        clock.advance(timedelta(minutes=1))
    assert await office.reconciliation.read_next()
    async with office.database.reading() as connection:
        state = await connection.scalar(sa.text("select state from settlement.statements"))
    assert (state, received.known) == ("current", False)


async def _away(_: object) -> bytes:
    raise StorageAway("away")


async def test_a_file_that_kills_its_reader_is_refused_in_the_end(office: Office) -> None:
    """It would otherwise be tried for ever, and block those behind it."""
    await office.received(csv_file())
    async with office.database.transaction() as connection:
        await connection.execute(sa.text("update settlement.statements set attempts = 3"))
    assert await office.reconciliation.read_next()
    async with office.database.reading() as connection:
        found = (await connection.execute(sa.text("select state, fault_count from settlement.statements"))).one()
    assert tuple(found) == ("refused", 1)
    assert not await office.reconciliation.read_next()


async def test_fetching(office: Office) -> None:
    """The other side's own system may give the file, and its silence is said to staff."""
    office.source.files["bystra"] = FetchedFile("bystra.csv", csv_file())
    received = await office.reconciliation.fetch("bystra", OCTOBER, by="olga")
    assert (received.statement.source, received.statement.file_name) == ("fetch", "bystra.csv")
    for party in ("tihohod", "yookassa.payments"):
        with pytest.raises(StatementUnavailable):
            await office.reconciliation.fetch(party, OCTOBER, by="olga")
    with pytest.raises(NotFound):
        await office.reconciliation.fetch("nobody", OCTOBER, by="olga")
