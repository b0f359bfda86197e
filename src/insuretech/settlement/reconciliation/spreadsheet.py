"""Discrepancies as a CSV file for a spreadsheet."""

from collections.abc import AsyncIterator
from decimal import Decimal

from insuretech.settlement.reconciliation.records import Discrepancy

HEADING = (
    "party",
    "month",
    "kind",
    "number",
    "entry",
    "our amount",
    "our day",
    "their line",
    "their number",
    "their amount",
    "their day",
    "difference",
    "status",
    "assignee",
    "resolution",
    "found at",
    "id",
)
_RISKY = ("=", "+", "-", "@", "\t", "\r")
_BATCH = 500


async def csv_pieces(found: AsyncIterator[Discrepancy]) -> AsyncIterator[bytes]:
    """The file in pieces: UTF-8 with its mark and semicolons, as Excel opens it in Russia."""
    waiting = ["\ufeff" + ";".join(HEADING)]
    async for each in found:
        waiting.append(";".join(_cell(value) for value in _row(each)))
        if len(waiting) >= _BATCH:
            yield ("\r\n".join(waiting) + "\r\n").encode()
            waiting = []
    if waiting:
        yield ("\r\n".join(waiting) + "\r\n").encode()


def _row(each: Discrepancy) -> tuple[object, ...]:
    return (
        each.party,
        f"{each.month:%Y-%m}",
        each.kind.value,
        each.number,
        each.entry,
        each.our_amount,
        each.our_day,
        each.their_line,
        each.their_number,
        each.their_amount,
        each.their_day,
        each.difference,
        each.status.value,
        each.assignee,
        each.resolution,
        each.found_at.isoformat(timespec="seconds"),
        each.id,
    )


def _cell(value: object) -> str:
    """A cell that no spreadsheet takes for a formula, whatever an insurer wrote into its file."""
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return str(value).replace(".", ",")
    text = str(value)
    if text.startswith(_RISKY):
        text = f"'{text}"
    return '"' + text.replace('"', '""') + '"' if set(text) & set(';"\r\n') else text
