"""``insuretech contracts …``: what services agree on, as documents."""

from pathlib import Path
from typing import Annotated

import typer

from insuretech.cli.output import AsJson, tell
from insuretech.kit.failures import Unusable


class ContractBroken(Unusable):
    """Events changed so that services of the last release cannot read them; a line for each change."""


commands = typer.Typer(help="What services agree on, as documents.", no_args_is_help=True)


@commands.command()
def asyncapi(
    output: Annotated[Path, typer.Option(help="Where to write it.")] = Path("docs/asyncapi.json"),
    *,
    check: Annotated[bool, typer.Option(help="Write nothing; fail when the file is not up to date.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write the AsyncAPI document of all events."""
    import msgspec

    from insuretech.contracts.asyncapi import asyncapi_document

    _keep(output, msgspec.json.format(msgspec.json.encode(asyncapi_document())) + b"\n", check=check, as_json=as_json)


@commands.command()
def page(
    output: Annotated[Path, typer.Option(help="Where to write it.")] = Path("docs/events.md"),
    *,
    check: Annotated[bool, typer.Option(help="Write nothing; fail when the file is not up to date.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write the page of all events for people."""
    from insuretech.contracts.events_page import events_page

    _keep(output, events_page().encode(), check=check, as_json=as_json)


def _keep(output: Path, document: bytes, *, check: bool, as_json: bool) -> None:
    """Write a document that was drawn from the contracts, or fail when it is not the one that lies there."""
    changed = not output.exists() or output.read_bytes() != document
    if changed and not check:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_bytes(document)
    state = "is up to date" if not changed else "is out of date" if check else "written"
    tell(f"{output}: {state}.", {"file": str(output), "changed": changed}, as_json=as_json)
    if check and changed:
        raise typer.Exit(1)


@commands.command()
def lock(*, as_json: AsJson = False) -> None:
    """Agree on the events as they are now; refused when services of the last release could not read them."""
    from insuretech.contracts.compatibility import agreed_schemas, breaking_changes, lock_file, locked_form
    from insuretech.contracts.events import event_schemas

    broken = breaking_changes(agreed_schemas(), event_schemas())
    if broken:
        raise ContractBroken("\n".join([*broken, "Give the topic a new version in place of changing this one."]))
    path = Path(str(lock_file()))
    path.write_bytes(locked_form())
    tell(f"{path.name}: written.", {"file": str(path)}, as_json=as_json)
