"""The summary of a register as PDF, typeset with Typst: the same register gives the same bytes."""

from collections.abc import Sequence
from datetime import UTC
from decimal import Decimal
from importlib.resources import files
from pathlib import Path

import msgspec
from babel.dates import format_date

from insuretech.contracts.registers import RegisterFile
from insuretech.kit.press import Press, Sheet
from insuretech.settlement.domain import MonthTotal, Register
from insuretech.settlement.files import WORDS

_DATA = Path(str(files("insuretech.settlement") / "data"))
_NOTICE = "Учебный реестр: страховщик вымышлен, расчётов по нему не ведётся."


class RegisterPrinter:
    """Prints on a press of its own; ``practice`` puts a line on the paper saying that the insurer is invented."""

    def __init__(self, *, practice: bool) -> None:
        self._practice = practice
        self._press = Press()

    async def print_summary(
        self, register: Register, insurer: str, totals: Sequence[MonthTotal], lists: Sequence[RegisterFile]
    ) -> bytes:
        """Sums, what is to be paid, and the hashes of the lists that belong to it, as PDF/A-2a."""
        closed = register.closed_at.astimezone(UTC)
        words = {
            "number": register.number,
            "insurer": insurer,
            "month": format_date(register.month, "LLLL y", locale="ru"),
            "closed": {part: getattr(closed, part) for part in ("year", "month", "day", "hour", "minute", "second")},
            "lines": register.lines,
            "rows": [
                [total.product, WORDS[total.kind], str(total.lines), *map(written, _amounts(total))] for total in totals
            ],
            "sums": [written(amount) for amount in _amounts(register)],
            "payable": written(register.payable),
            "settlement": "за вычетом вознаграждения" if register.settlement == "net" else "без вычета вознаграждения",
            "files": [msgspec.to_builtins(file) for file in lists],
            "notice": _NOTICE if self._practice else None,
        }
        sheet = Sheet(
            template=_DATA / "register.typ",
            inputs={"register": msgspec.json.encode(words).decode()},
            standards=("a-2a",),
            timestamp=int(closed.timestamp()),
        )
        return await self._press.print(sheet)


def _amounts(of: Register | MonthTotal) -> tuple[Decimal, ...]:
    return (of.premium, of.collected, of.commission, of.vat)


def written(amount: Decimal) -> str:
    """An amount as Russian books write it: ``−1 234,50`` with spaces that do not break."""
    english = f"{amount:,.2f}".replace("-", "\N{MINUS SIGN}")
    return english.replace(",", "\N{NO-BREAK SPACE}").replace(".", ",")
