"""``insuretech reconciliation …``: our books held against the other side's."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from insuretech.cli.output import AsJson, print_json, show, tell
from insuretech.cli.session import with_marketplace
from insuretech.kit.failures import Unusable

if TYPE_CHECKING:
    from datetime import date
    from uuid import UUID

    from insuretech.compose.single import Composition
    from insuretech.settlement.reconciliation.records import MonthState, Statement
    from insuretech.settlement.wiring import Office

commands = typer.Typer(help="Our books held against the other side's.", no_args_is_help=True)

Party = Annotated[str, typer.Argument(help="An insurer's code, yookassa.payments or yookassa.refunds.")]
Month = Annotated[str, typer.Argument(help="Say 2026-10.")]


class FileRefusedByUs(Unusable):
    """A file has faults; they were printed."""


class CannotReconcile(Unusable):
    """What was asked for is not possible; the message says why."""


@commands.command()
def months(*, as_json: AsJson = False) -> None:
    """Months in which anything happened."""
    found = with_marketplace(lambda marketplace: marketplace.settlement.office.overview.months())
    show([{"month": f"{month:%Y-%m}"} for month in found], title="Months", as_json=as_json)


@commands.command()
def status(month: Month, *, as_json: AsJson = False) -> None:
    """Where every party of a month stands."""
    chosen = _month(month)
    states = with_marketplace(lambda marketplace: marketplace.settlement.office.overview.month(chosen))
    if as_json:
        show(states, title="", as_json=True)
        return
    told = [_row(state) for state in states if state.our_lines or state.statement or state.discrepancies]
    show(told, title=f"Reconciliation of {month}", as_json=False)


@commands.command()
def upload(party: Party, month: Month, file: Path, *, as_json: AsJson = False) -> None:
    """Bring a file of the other side in, read it, and compare; errors are printed with their lines."""
    chosen = _month(month)
    try:
        content = file.read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{file} cannot be read: {error.strerror}", param_hint="FILE") from error

    async def work(office: Office) -> UUID:
        received = await office.reconciliation.receive(party, chosen, file.name, content, by=_me(), source="command")
        return received.statement.id

    _tell_result(with_marketplace(lambda marketplace: _read(marketplace, work)), as_json=as_json)


@commands.command()
def fetch(party: Party, month: Month, *, as_json: AsJson = False) -> None:
    """Have the other side's own file fetched, read it, and compare."""
    chosen = _month(month)

    async def work(office: Office) -> UUID:
        return (await office.reconciliation.fetch(party, chosen, by=_me())).statement.id

    _tell_result(with_marketplace(lambda marketplace: _read(marketplace, work)), as_json=as_json)


@commands.command()
def compare(party: Party, month: Month, *, as_json: AsJson = False) -> None:
    """Hold our lines as they are now against the current file once more."""
    chosen = _month(month)

    async def work(office: Office) -> Statement:
        return await office.reconciliation.compare_again(party, chosen)

    statement = with_marketplace(lambda marketplace: _explained(work, marketplace.settlement.office))
    _tell_result(statement, as_json=as_json)


@commands.command()
def discrepancies(
    *,
    party: Annotated[str | None, typer.Option(help="Only of this party.")] = None,
    month: Annotated[str | None, typer.Option(help="Only of this month, say 2026-10.")] = None,
    kind: Annotated[list[str] | None, typer.Option(help="Only of this kind; may be repeated.")] = None,
    state: Annotated[list[str] | None, typer.Option("--status", help="Only in this state; may be repeated.")] = None,
    number: Annotated[str, typer.Option(help="A part of the number.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many.")] = 100,
    as_json: AsJson = False,
) -> None:
    """Discrepancies, by number."""
    from insuretech.settlement.desk.api import filter_of
    from insuretech.settlement.reconciliation.queries import Page

    async def work(office: Office) -> Page:
        asked = filter_of(party, month, kind, state, None, number)
        return await office.overview.page(asked, sort="number", offset=0, limit=limit)

    page = with_marketplace(lambda marketplace: _explained(work, marketplace.settlement.office))
    columns = ("number", "kind", "our_amount", "their_amount", "difference", "status", "assignee", "id")
    show(page.items, title=f"Discrepancies ({page.total})", as_json=as_json, columns=columns)


@commands.command("show")
def show_case(discrepancy: Annotated[str, typer.Argument(help="Its id.")]) -> None:
    """One discrepancy with everything that was done to it, always as JSON."""
    from uuid import UUID

    import msgspec

    async def work(office: Office) -> object:
        return await office.overview.case(UUID(discrepancy))

    case = with_marketplace(lambda marketplace: _explained(work, marketplace.settlement.office))
    print_json(msgspec.to_builtins(case))


@commands.command()
def act(
    discrepancy: Annotated[str, typer.Argument(help="Its id.")],
    action: Annotated[str, typer.Argument(help="comment, take, release, resolve, write_off, reopen or undo.")],
    *,
    text: Annotated[str, typer.Option(help="Why; needed to comment, write off and reopen.")] = "",
    resolution: Annotated[
        str | None, typer.Option(help="How: ours_corrected, theirs_corrected, next_period or explained.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Do something to a discrepancy; it is noted under your name on this machine."""
    from uuid import UUID

    import msgspec

    from insuretech.settlement.reconciliation.commands import Deed

    try:
        deed = msgspec.convert({"action": action, "text": text, "resolution": resolution}, Deed)
    except msgspec.ValidationError as error:
        raise CannotReconcile(f"{error}.") from error

    async def work(office: Office) -> None:
        await office.reconciliation.act(UUID(discrepancy), deed, by=_me())

    with_marketplace(lambda marketplace: _explained(work, marketplace.settlement.office))
    tell("Noted.", {"discrepancy": discrepancy, "action": action}, as_json=as_json)


def _me() -> str:
    """Who is at this machine: commands have no session."""
    return f"command:{getpass.getuser()}"


def _month(text: str) -> date:
    from insuretech.kit.problems import NotFound
    from insuretech.settlement.desk.api import month_of

    try:
        return month_of(text)
    except NotFound as error:
        raise typer.BadParameter(f"{text!r} is not a month such as 2026-10", param_hint="MONTH") from error


async def _explained(work, office: Office):  # type: ignore[no-untyped-def]
    """Problems of the API as one sentence."""
    from insuretech.kit.problems import NotFound, Problem

    try:
        return await work(office)
    except NotFound as error:
        raise CannotReconcile("There is no such party or discrepancy.") from error
    except Problem as error:
        said = "; ".join(fault.detail for fault in error.errors) or error.detail or error.title
        raise CannotReconcile(f"{said.rstrip('.')}.") from error


async def _read(marketplace: Composition, work) -> Statement:  # type: ignore[no-untyped-def]
    """Bring a file in and read it here; a server beside us may be quicker."""
    import asyncio

    office = marketplace.settlement.office
    statement_id = await _explained(work, office)
    while True:
        statement = await office.overview.statement(statement_id)
        if statement.state != "received":
            return statement
        if not await office.reconciliation.read_next():
            await asyncio.sleep(0.2)


def _tell_result(statement: Statement, *, as_json: bool) -> None:
    import msgspec

    if as_json:
        print_json(msgspec.to_builtins(statement))
    elif statement.state == "refused":
        show(statement.faults, title=f"{statement.file_name}: {statement.fault_count} errors", as_json=False)
    else:
        sentence = (
            f"{statement.file_name}: version {statement.version}, {statement.lines} lines of theirs, "
            f"{statement.our_lines} of ours, {statement.agreed} agree."
        )
        tell(sentence, {}, as_json=False)
    if statement.state == "refused":
        sys.stdout.flush()
        raise FileRefusedByUs("Nothing of this file counts.")


def _row(state: MonthState) -> dict[str, object]:
    file = state.statement
    return {
        "party": state.party,
        "register": state.register_status or "open",
        "our_lines": state.our_lines,
        "our_sum": str(state.our_total),
        "file": file.state if file else "–",
        "their_lines": file.lines if file else 0,
        "agree": file.agreed if file else 0,
        "discrepancies": state.discrepancies,
        "wait": state.waiting,
    }
