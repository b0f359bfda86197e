"""``insuretech settlement …``: registers with insurers."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from insuretech.cli.output import AsJson, print_json, show, tell
from insuretech.cli.session import with_marketplace
from insuretech.kit.failures import Unusable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from insuretech.compose.single import Composition
    from insuretech.contracts.registers import DisputedLine
    from insuretech.settlement.app import Settlement
    from insuretech.settlement.domain import Register, Task
    from insuretech.settlement.verifying import Check

commands = typer.Typer(help="Registers with insurers: lines, closing, files, sending.", no_args_is_help=True)

Number = Annotated[str, typer.Argument(help="The register's number, as 2026-10/bystra.")]
Insurer = Annotated[str | None, typer.Option(help="Only this insurer's.")]
Month = Annotated[str | None, typer.Option(help="Only of this month, as 2026-10.")]


class RegisterUnknown(Unusable):
    """There is no closed register of this number."""


@commands.command("list")
def list_registers(
    *,
    insurer: Insurer = None,
    month: Month = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 100,
    as_json: AsJson = False,
) -> None:
    """Closed registers, the newest first, with where they are on their way."""

    async def work(settlement: Settlement) -> list[Mapping[str, Any]]:
        registers = await settlement.books.registers(insurer, _month(month), limit)
        return [_summary(one, await settlement.books.task(one.id)) for one in registers]

    show(_with(work), title="Registers", as_json=as_json, columns=_SHOWN)


@commands.command("show")
def show_register(number: Number) -> None:
    """One register with its sums, files and signature, always as JSON."""

    async def work(settlement: Settlement) -> Mapping[str, Any]:
        register = await _register(settlement, number)
        signature = await settlement.books.signature(register.id)
        return {
            **_summary(register, await settlement.books.task(register.id)),
            "totals": await settlement.books.totals(register.id),
            "files": await settlement.books.files(register),
            "signed": None if signature is None else {"key": signature.key_id, "at": signature.signed_at},
        }

    print_json(_with(work))


@commands.command()
def close(
    month: Annotated[str, typer.Option(help="As 2026-10; months before it that are open are closed as well.")],
    *,
    insurer: Insurer = None,
    as_json: AsJson = False,
) -> None:
    """Close a month that is over: sums, files, signature. Repeating it gives the registers there are.

    Sending follows by itself while the marketplace runs, or by `settlement send`.
    """

    async def work(settlement: Settlement) -> list[Mapping[str, Any]]:
        chosen = _month(month) or date.max
        if insurer is None:
            registers = await settlement.bookkeeping.close_due(chosen)
        else:
            registers = await settlement.bookkeeping.close(insurer, chosen)
        for register in registers:
            if (task := await settlement.books.task(register.id)) and task.state == "preparing":
                await settlement.dispatch.push(register.id)
        return [
            _summary(await _register(settlement, one.number), await settlement.books.task(one.id)) for one in registers
        ]

    show(_with(work), title="Closed", as_json=as_json, columns=_SHOWN)


@commands.command()
def send(number: Number, *, as_json: AsJson = False) -> None:
    """Take the next step with a register now: make its files, send it, or ask for the insurer's answer."""

    async def work(settlement: Settlement) -> Task:
        return await settlement.dispatch.push((await _register(settlement, number)).id)

    task = _with(work)
    said = f" ({task.error})" if task.error else ""
    tell(f"{number} is {task.state.value}{said}.", _task(task), as_json=as_json)
    if task.state == "failed":
        raise typer.Exit(1)


@commands.command()
def acknowledge(
    number: Number,
    *,
    dispute: Annotated[list[str] | None, typer.Option(help="LINE=REASON for a line the insurer disputes.")] = None,
    as_json: AsJson = False,
) -> None:
    """Note that the insurer confirmed a register that was sent, say by a letter."""

    async def work(settlement: Settlement) -> None:
        await settlement.dispatch.acknowledge(await _register(settlement, number), _disputed(dispute or []))

    _with(work)
    tell(f"{number} is acknowledged.", {"number": number, "disputed": len(dispute or [])}, as_json=as_json)


@commands.command()
def settle(number: Number, *, as_json: AsJson = False) -> None:
    """Note that an acknowledged register was paid; lines in dispute stay so."""

    async def work(settlement: Settlement) -> None:
        await settlement.dispatch.settle(await _register(settlement, number))

    _with(work)
    tell(f"{number} is settled.", {"number": number}, as_json=as_json)


@commands.command()
def lines(
    number: Number,
    *,
    state: Annotated[str | None, typer.Option(help="open, in_register, acknowledged, disputed or settled.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000_000)] = 100,
    as_json: AsJson = False,
) -> None:
    """Lines of a register, closed or not, in the order of its files."""
    from insuretech.settlement.domain import LineState

    month, _, insurer = number.partition("/")
    if state is not None and state not in set(LineState):
        raise typer.BadParameter(f"one of {', '.join(LineState)}", param_hint="--state")

    async def work(settlement: Settlement) -> list[Mapping[str, Any]]:
        of = _month(month) or date.max
        found = await settlement.books.lines(insurer, of, None if state is None else LineState(state), limit)
        return [{"state": stands.value, **_fields(line)} for line, stands in found]

    shown = ("state", "kind", "policy_number", "occurred_at", "premium", "collected", "commission", "vat")
    show(_with(work), title=f"Lines of {number}", as_json=as_json, columns=shown)


@commands.command()
def uncollected(
    *,
    month: Month = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000)] = 100,
    as_json: AsJson = False,
) -> None:
    """Policies whose premium was not, or not wholly, collected for more than an hour."""

    async def work(settlement: Settlement) -> Sequence[object]:
        before = settlement.bookkeeping.clock.now() - timedelta(hours=1)
        return await settlement.books.uncollected(before, _month(month), limit)

    show(_with(work), title="Uncollected", as_json=as_json)


@commands.command()
def correct(
    line: Annotated[str, typer.Argument(help="The id of a line in a closed register.")],
    reason: Annotated[str, typer.Option(help="Why; the insurer's people do not read it, ours do.")],
    *,
    restate: Annotated[bool, typer.Option(help="Say the line again by the terms of today's agreements.")] = False,
    as_json: AsJson = False,
) -> None:
    """Take a line of a closed register back by a reversal in the next one."""
    line_id = _line_id(line)

    async def work(settlement: Settlement) -> list[Mapping[str, Any]]:
        return [_fields(one) for one in await settlement.bookkeeping.correct(line_id, reason, restate=restate)]

    shown = ("kind", "policy_number", "register_month", "premium", "collected", "commission", "vat")
    show(_with(work), title="Corrections", as_json=as_json, columns=shown)


@commands.command()
def verify(number: Number, *, as_json: AsJson = False) -> None:
    """Hold lines, sums, files in storage and signature against each other; fails when anything is off."""

    async def work(settlement: Settlement) -> list[Check]:
        return await settlement.verification.verify(await _register(settlement, number))

    _told(_with(work), number, as_json=as_json)


@commands.command("verify-files")
def verify_files(
    folder: Annotated[Path, typer.Argument(help="With the files of a register, manifest.json and manifest.sig.")],
    key: Annotated[str, typer.Option(help="Our public key in hex, as `settlement keys` shows it.")],
    *,
    as_json: AsJson = False,
) -> None:
    """What an insurer can check of the files it received; needs no database."""
    from insuretech.settlement.verifying import verify_folder

    try:
        public_key = bytes.fromhex(key)
    except ValueError as error:
        raise typer.BadParameter("64 hexadecimal digits", param_hint="--key") from error
    _told(verify_folder(folder, public_key), str(folder), as_json=as_json)


@commands.command()
def keys(
    *,
    new: Annotated[bool, typer.Option("--new", help="Make a new key first, to sign with from now on.")] = False,
    as_json: AsJson = False,
) -> None:
    """Public keys for verifying, the newest first."""

    async def work(settlement: Settlement) -> list[Mapping[str, Any]]:
        await (settlement.seal.new_key() if new else settlement.seal.key())
        found = await settlement.books.keys()
        return [{"id": one.id, "public_key": one.public_key.hex(), "created_at": one.created_at} for one in found]

    show(_with(work), title="Signing keys", as_json=as_json)


_SHOWN = ("number", "status", "lines", "premium", "collected", "commission", "vat", "payable", "way", "error")


def _with(work: Any) -> Any:
    async def on(marketplace: Composition) -> Any:
        return await work(marketplace.settlement)

    return with_marketplace(on)


async def _register(settlement: Settlement, number: str) -> Register:
    found = await settlement.books.register_numbered(number)
    if found is None:
        raise RegisterUnknown(f"There is no closed register {number}.")
    return found


def _month(text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return datetime.strptime(text, "%Y-%m").date()  # noqa: DTZ007 - a month has no time
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is not a month such as 2026-10") from error


def _line_id(text: str) -> UUID:
    from uuid import UUID

    try:
        return UUID(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is not the id of a line") from error


def _disputed(given: list[str]) -> list[DisputedLine]:
    from insuretech.contracts.registers import DisputedLine

    found = []
    for text in given:
        line, _, reason = text.partition("=")
        found.append(DisputedLine(line_id=_line_id(line), reason=reason))
    return found


def _fields(of: Any) -> Mapping[str, Any]:
    import msgspec

    return msgspec.structs.asdict(of)


def _task(task: Task) -> Mapping[str, Any]:
    return {"register": str(task.register_id), "state": task.state.value, "channel": task.channel, "error": task.error}


def _summary(register: Register, task: Task | None) -> Mapping[str, Any]:
    if task is None:
        return {**_fields(register), "way": None, "channel": None, "due_at": None, "error": None}
    on_way = {"way": task.state.value, "channel": task.channel, "due_at": task.due_at, "error": task.error}
    return {**_fields(register), **on_way}


def _told(checks: Sequence[Check], number: str, *, as_json: bool) -> None:
    show(checks, title=f"Verification of {number}", as_json=as_json)
    if not all(check.right for check in checks):
        raise typer.Exit(1)
