"""The program that opens a file of the other side: a process of its own, without secrets, with little to break.

``python -m insuretech.settlement.reconciliation.reader PARTY STATEMENT`` takes the file on standard input, writes lines
as PostgreSQL's COPY text to standard output and at last the outcome as JSON to standard error. A file made to exhaust
memory or time ends this process and nothing else.
"""

import resource
import sys
from decimal import Decimal
from typing import BinaryIO

import msgspec

from insuretech.settlement.reconciliation.domain.columns import columns_of
from insuretech.settlement.reconciliation.domain.reading import (
    Fault,
    FileRefused,
    Outcome,
    StatementLine,
    read_lines,
)
from insuretech.settlement.reconciliation.files import rows_of

MOST_MEMORY = 3 * 1024**3  # bytes of addresses; a million lines of CSV need a tenth of it
MOST_SECONDS = 600  # of processor time
_CHUNK = 2000  # lines


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """How reading ended: what was read and everything that is wrong with the file."""

    columns_version: str
    lines: int = 0
    total: Decimal = Decimal("0.00")
    left_out: int = 0
    faults: list[Fault] = []
    fault_count: int = 0


def read_file(content: bytes, party: str, statement: str, out: BinaryIO) -> Report:
    """Write the lines of a file as COPY text, up to the first fault; the report is of the whole file."""
    columns, outcome = columns_of(party), Outcome()
    try:
        waiting = []
        for line in read_lines(rows_of(content, columns), columns, outcome):
            if outcome.fault_count:
                continue
            waiting.append(_copied(statement, line))
            if len(waiting) == _CHUNK:
                out.write("".join(waiting).encode())
                waiting.clear()
        out.write("".join(waiting).encode())
        if not outcome.lines and not outcome.fault_count:
            outcome.refuse(Fault(line=0, code="no_lines", detail="the table has headings and no lines"))
    except FileRefused as refused:
        outcome.refuse(refused.fault)
    except MemoryError:
        outcome.refuse(Fault(line=0, code="too_large", detail="the file takes more memory than we give it"))
    return Report(
        columns_version=columns.version,
        lines=outcome.lines,
        total=outcome.total,
        left_out=outcome.left_out,
        faults=outcome.faults,
        fault_count=outcome.fault_count,
    )


def _copied(statement: str, line: StatementLine) -> str:
    """A row of COPY text; numbers are printable, so that only the backslash needs care."""
    number, key = (text.replace("\\", "\\\\") for text in (line.number, line.key))
    return f"{statement}\t{line.line}\t{number}\t{key}\t{line.entry}\t{line.amount}\t{line.day}\n"


def main() -> None:
    """Read standard input within the limits."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (MOST_SECONDS, MOST_SECONDS))
    _, party, statement = sys.argv
    report = read_file(sys.stdin.buffer.read(), party, statement, sys.stdout.buffer)
    sys.stdout.buffer.flush()
    sys.stderr.buffer.write(msgspec.json.encode(report))


if __name__ == "__main__":
    main()
