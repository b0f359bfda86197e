"""The SQL of one placed order, as the database heard it, made into a script that pgbench runs again and again.

PostgreSQL is told to log every statement of the role ``orders``; the transaction that claims the idempotency key is
taken from the log with its parameters. What must be new in every transaction becomes a number that counts up; all
else is repeated to the letter.
"""

import re
import subprocess
from dataclasses import dataclass
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
    """The statements of the last transaction that placed an order."""
    begun: dict[str, list[Statement]] = {}
    found: list[Statement] = []
    for line in _records(log):
        process, kind, text = line["process"], line["kind"], line["text"].rstrip()
        if text.startswith("statement: BEGIN"):
            begun[process] = []
        elif executed := _EXECUTE.match(text):
            begun.setdefault(process, []).append(Statement(executed["sql"], {}))
        elif kind == "DETAIL" and begun.get(process):
            begun[process][-1].parameters.update(_parameters(text))
        elif text.startswith("statement: COMMIT") and _places_an_order(begun.get(process, [])):
            found = begun[process]
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


def _places_an_order(statements: list[Statement]) -> bool:
    text = " ".join(statement.sql for statement in statements)
    return "INSERT INTO orders.orders" in text and "INSERT INTO orders.idempotency_keys" in text


def script(statements: list[Statement]) -> str:
    """A pgbench script. The client's number and a counter give ids of their own to every transaction."""
    placed = next(one for one in statements if "INSERT INTO orders.orders" in one.sql).parameters
    claimed = next(one for one in statements if "INSERT INTO orders.idempotency_keys" in one.sql).parameters
    told = next(one for one in statements if "INSERT INTO orders.outbox" in one.sql).parameters
    new = {
        str(placed[1]): numbered("1"),
        str(placed[3]): numbered("2"),
        str(told[1]): numbered("3"),
        str(claimed[3]): f"{numbered('4')}::text",
        str(claimed[7]): ":n",
    }
    lines = [r"\set i :i + 1", r"\set n :start + :i * :clients + :client_id", "BEGIN ISOLATION LEVEL READ COMMITTED;"]
    lines += [re.sub(r"\s+", " ", _filled_in(statement, new)) + ";" for statement in statements]
    return "\n".join([*lines, "COMMIT;", ""])


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
