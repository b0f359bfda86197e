"""What commands print: tables for people on a terminal, JSON for programs with ``--json``."""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def show(rows: Iterable[object], *, title: str, as_json: bool, columns: Sequence[str] = ()) -> None:
    """Print structures or mappings of one kind as a table or as a JSON array; ``columns`` chooses for people only."""
    found: list[Mapping[str, Any]] = [
        msgspec.to_builtins(row, builtin_types=(datetime, Decimal), enc_hook=_plain) for row in rows
    ]
    if as_json:
        print_json(found)
        return
    if not found:
        Console().print(f"{title}: none")
        return
    table = Table(title=title, title_justify="left")
    names = columns or tuple(found[0])
    for name in names:
        table.add_column(name.replace("_", " "), overflow="fold")
    for row in found:
        table.add_row(*(_as_text(row[name]) for name in names))
    Console().print(table)


def tell(sentence: str, document: Mapping[str, object], *, as_json: bool) -> None:
    """Print what was done: a sentence for people, the facts for programs."""
    if as_json:
        print_json(document)
    else:
        Console().print(sentence, highlight=False)


def print_json(document: object) -> None:
    """One JSON document, indented, with a line end."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(document)).decode() + "\n")


def _plain(value: object) -> object:
    """JSON that was kept as it came."""
    if isinstance(value, msgspec.Raw):
        return msgspec.json.decode(value)
    raise NotImplementedError(type(value))


def _as_text(value: object) -> str:
    forms: dict[type, Callable[[Any], str]] = {
        type(None): lambda _: "–",
        datetime: lambda moment: moment.astimezone().strftime("%Y-%m-%d %H:%M:%S"),
        str: str,
        dict: lambda fields: msgspec.json.encode(fields).decode(),
        list: lambda items: ", ".join(str(item) for item in items),
    }
    return forms.get(type(value), str)(value)
