"""What people do to discrepancies."""

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from insuretech.kit.ids import new_id
from insuretech.kit.problems import Invalid, NotFound
from insuretech.settlement.reconciliation.commands import Deed
from insuretech.settlement.reconciliation.domain.life import NotPossibleNow
from insuretech.settlement.reconciliation.records import Discrepancy
from tests.service.settlement.office import Office


@pytest.fixture
async def one(office: Office) -> Discrepancy:
    """A policy that they have not."""
    await office.our_line("A1", "100")
    await office.lines(("A2", "01.10.2026", "100"))
    return (await office.found())[0]


async def state(office: Office) -> tuple[str, str | None, str | None]:
    """Where the discrepancy stands, who has it, and how it ended."""
    found = (await office.found())[0]
    return found.status.value, found.assignee, found.resolution


async def test_a_life_with_its_trail(office: Office, one: Discrepancy) -> None:
    """Who looks at it a year later must see who decided what, and why."""
    await office.act(one, "take")
    assert await state(office) == ("in_work", "olga", None)
    await office.act(one, "comment", text="Asked the insurer")
    await office.act(one, "resolve", resolution="theirs_corrected", text="They add it")
    assert await state(office) == ("resolved", "olga", "theirs_corrected")
    await office.act(one, "reopen", by="ivan", text="They did not")
    assert await state(office) == ("reopened", "olga", None)
    trail = [(note.author, note.action.value, note.status.value, note.text) for note in await office.notes(one)]
    assert trail == [
        ("olga", "take", "in_work", ""),
        ("olga", "comment", "in_work", "Asked the insurer"),
        ("olga", "resolve", "resolved", "They add it"),
        ("ivan", "reopen", "reopened", "They did not"),
    ]


async def test_the_last_step_can_be_taken_back_by_who_made_it(office: Office, one: Discrepancy) -> None:
    """A wrong click is not a reason to reopen with a sentence; another's decision is."""
    await office.act(one, "resolve", resolution="explained")
    with pytest.raises(NotPossibleNow):
        await office.act(one, "undo", by="ivan")
    await office.act(one, "undo")
    assert await state(office) == ("open", "olga", None)
    with pytest.raises(NotPossibleNow):
        await office.act(one, "undo")


async def test_what_is_not_allowed(office: Office, one: Discrepancy) -> None:
    """Money is not written off without a reason, nor closed twice, nor by somebody who saw another state."""
    with pytest.raises(Invalid):
        await office.act(one, "write_off")
    with pytest.raises(Invalid):
        await office.act(one, "resolve")
    with pytest.raises(NotPossibleNow):
        await office.act(one, "reopen", text="It is open already")
    await office.act(one, "take")
    late = Deed(action="resolve", resolution="explained", version=one.version)
    with pytest.raises(NotPossibleNow):
        await office.reconciliation.act(one.id, late, by="ivan")
    with pytest.raises(NotFound):
        await office.reconciliation.act(new_id(), Deed(action="take"), by="ivan")


@pytest.mark.parametrize("change", ["update {} set text = 'x'", "delete from {}", "truncate {}"])
async def test_the_trail_cannot_be_changed(office: Office, one: Discrepancy, change: str) -> None:
    """Not even by the service itself, whatever the mistake in it."""
    await office.act(one, "take")
    with pytest.raises(DBAPIError, match="refused"):
        async with office.database.transaction() as connection:
            await connection.execute(sa.text(change.format("settlement.discrepancy_notes")))
