"""The SQL of one placed order, as the database heard it, made into a script that pgbench runs again and again.

PostgreSQL is told to log every statement of the role ``orders``; the one that writes an order and the one before it,
which reads what is ordered, are taken from the log with their parameters. What must be new with every order becomes a
number that counts up; all else is repeated to the letter.
"""

import re
import subprocess
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from insuretech.kit.embedded_postgres import _binaries
from tests.system.running import RunningMarketplace

_LINE = re.compile(r"^\S+ \S+ UTC \[(?P<process>\d+)\] orders (?P<kind>LOG|DETAIL):  (?P<text>.*)", re.DOTALL)
_EXECUTE = re.compile(r"^execute \S+: (?P<sql>.*)", re.DOTALL)
_PARAMETER = re.compile(r"\$(\d+) = (NULL|'(?:[^']|'')*')")
_MOMENT = re.compile(r"^(\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)(\.\d+)?\+00$")


@dataclass(frozen=True)
class Statement:
    """One executed statement with the texts of its parameters by number; None is NULL."""

    sql: str
    parameters: dict[int, str | None]


def placement(log: str) -> list[Statement]:
    """The statements that placed the last order: what was wished for, and the order with all that belongs to it."""
    heard: dict[str, list[Statement]] = {}
    for line in _records(log):
        process, kind, text = line["process"], line["kind"], line["text"].rstrip()
        if executed := _EXECUTE.match(text):
            heard.setdefault(process, []).append(Statement(executed["sql"], {}))
        elif kind == "DETAIL" and heard.get(process):
            heard[process][-1].parameters.update(_parameters(text))
    found: list[Statement] = []
    for statements in heard.values():
        for read, written in pairwise(statements):
            if "INSERT INTO orders.orders" in written.sql and "FROM orders.offers" in read.sql:
                found = [read, written]
    if not found:
        raise RuntimeError("No order was placed while the database listened.")
    return found


def _records(log: str) -> list[re.Match[str]]:
    records = re.split(r"\n(?=\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)", log)
    return [found for record in records if (found := _LINE.match(record))]


def _parameters(text: str) -> dict[int, str | None]:
    return {
        int(number): None if value == "NULL" else value[1:-1].replace("''", "'")
        for number, value in _PARAMETER.findall(text)
    }


def script(statements: list[Statement]) -> str:
    """A pgbench script. The client's number and a counter give ids of their own to every order."""
    _, placed = statements
    values = placed.parameters
    told, claimed = _selected(placed.sql, "outbox"), _selected(placed.sql, "idempotency_keys")
    new = {
        str(values[1]): numbered("1"),
        str(values[3]): numbered("2"),
        str(values[told[0]]): numbered("3"),
        str(values[claimed[2]]): f"{numbered('4')}::text",
    }
    lines = [r"\set i :i + 1", r"\set n :start + :i * :clients + :client_id"]
    lines += [re.sub(r"\s+", " ", _filled_in(statement, new)) + ";" for statement in statements]
    return "\n".join([*lines, ""])


def _selected(sql: str, table: str) -> list[int]:
    """The numbers of the parameters that an ``INSERT … SELECT`` into a table takes, in the order of its columns."""
    found = re.search(rf"INSERT INTO orders\.{table} \([^)]*\) SELECT (.*?)\s+FROM placed", sql, re.DOTALL)
    if found is None:
        raise RuntimeError(f"The statement that places an order writes no {table}.")
    return [int(number) for number in re.findall(r"\$(\d+)", found[1])]


def _filled_in(statement: Statement, new: dict[str, str]) -> str:
    return re.sub(r"\$(\d+)", lambda found: _literal(statement.parameters[int(found[1])], new), statement.sql)


def numbered(prefix: str) -> str:
    """SQL of the UUID that stands for the counter, in a family of its own."""
    return f"('{prefix}' || lpad(to_hex(:n::bigint), 31, '0'))::uuid"


def _literal(value: str | None, new: dict[str, str]) -> str:
    """A parameter as SQL; pgbench takes a colon before a letter for a variable, even inside a text."""
    if value is None:
        return "NULL"
    if value in new:
        return new[value]
    if moment := _MOMENT.match(value):
        year, month, day, hour, minute, second, part = moment.groups()
        value = f"{year}{month}{day}T{hour}{minute}{second}{part or ''}+0000"
    quoted = value.replace("'", "''").replace(":", "' || chr(58) || '")
    return f"('{quoted}')" if "chr(58)" in quoted else f"'{quoted}'"


def pgbench(market: RunningMarketplace, file: Path, *, clients: int, seconds: float, start: int) -> float:
    """Transactions a second of a script, by so many clients as the role ``orders``."""
    command = [str(_binaries() / "pgbench"), "-h", str(market.database.socket_folder), "-U", "orders", "-n"]
    command += ["-M", "prepared", "-c", str(clients), "-j", "1", "-T", f"{seconds:.0f}", "-f", str(file)]
    command += ["-D", "i=0", "-D", f"start={start}", "-D", f"clients={clients}", "insuretech"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=False)  # noqa: S603
    rate = re.search(r"tps = ([0-9.]+)", ended.stdout)
    if ended.returncode or not rate or "number of failed transactions: 0" not in ended.stdout:
        raise RuntimeError(f"pgbench: {ended.stdout[-1000:]}{ended.stderr[-2000:]}")
    return float(rate[1])
