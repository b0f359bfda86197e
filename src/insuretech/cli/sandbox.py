"""``insuretech sandbox …``: the invented insurers and the payment provider of the running marketplace."""

from typing import Annotated, Any

import msgspec
import typer

from insuretech.cli.output import AsJson, print_json, show, tell
from insuretech.kit.failures import Unusable
from insuretech.kit.settings import load_settings

commands = typer.Typer(help="The invented insurers and the payment provider.", no_args_is_help=True)
insurers = typer.Typer(help="How the invented insurers behave.", no_args_is_help=True)
commands.add_typer(insurers, name="insurers")


class SandboxUnreachable(Unusable):
    """The marketplace does not run, or refuses what was asked of its sandbox."""


@insurers.command("list")
def list_insurers(*, as_json: AsJson = False) -> None:
    """Every insurer with its character and how it behaves now."""
    show(
        _call("GET", "insurers"),
        title="Insurers of the sandbox",
        as_json=as_json,
        columns=("code", "name", "outcome", "issue", "character"),
    )


@insurers.command("show")
def show_insurer(code: Annotated[str, typer.Argument(help="The insurer's code.")]) -> None:
    """One insurer with all of its behaviour, always as JSON."""
    print_json(_call("GET", f"insurers/{code}"))


@insurers.command("set")
def set_behaviour(
    code: Annotated[str, typer.Argument(help="The insurer's code.")],
    changes: Annotated[list[str], typer.Argument(help="Say outcome=decline or delay_min_ms=500.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Change how an insurer behaves, at once; what is not named stays."""
    document = _call("PUT", f"insurers/{code}", dict(_change(change) for change in changes))
    tell(f"{code} behaves so from now on.", document, as_json=as_json)


@commands.command()
def books(*, as_json: AsJson = False) -> None:
    """What the outside world believes: policies that insurers concluded and money that was moved."""
    found = _call("GET", "books")
    if as_json:
        print_json(found)
        return
    show(found["policies"], title="Policies at the insurers", as_json=False)
    show(found["payments"], title="Payments at the provider", as_json=False)


def _change(text: str) -> tuple[str, object]:
    """``name=value``; the value is JSON where it can be, and a word otherwise."""
    name, equals, value = text.partition("=")
    if not equals:
        raise typer.BadParameter(f"{text!r} is not of the form name=value", param_hint="CHANGES")
    try:
        return name, msgspec.json.decode(value)
    except msgspec.DecodeError:
        return name, value


def _call(method: str, path: str, body: object = None) -> Any:
    """What the sandbox of the running marketplace answers."""
    import httpx

    address = f"{load_settings().sandbox_base}/sandbox/api/{path}"
    try:
        with httpx.Client(timeout=10, trust_env=False) as client:
            answer = client.request(method, address, json=body)
    except httpx.HTTPError as error:
        raise SandboxUnreachable(
            f"No marketplace answers at {address}: "
            "start it with `insuretech serve`, or say with PORT= where it listens."
        ) from error
    if answer.is_error:
        raise SandboxUnreachable(_refusal(answer.content, answer.status_code))
    return answer.json()


def _refusal(body: bytes, status: int) -> str:
    """The sentences of a problem document on one line."""
    try:
        problem = msgspec.json.decode(body)
        faults = [f"{fault['pointer'].lstrip('/')}: {fault['detail']}" for fault in problem.get("errors") or ()]
        said = "; ".join(faults) or problem.get("detail") or problem["title"]
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
        said = f"the sandbox answers {status}"
    return f"{said.rstrip('.')}."
