"""``python -m deploy.parts``: compile what is missing, check what is there, say where it is."""

import sys
from typing import Annotated

import typer
from rich.console import Console

from cluster.fetching import Reporter
from deploy.parts.building import build
from deploy.parts.catalogue import PARTS, USUAL
from insuretech.kit.failures import Unusable


def main(
    names: Annotated[list[str] | None, typer.Argument(help=f"Some of {', '.join(PARTS)}; else the usual.")] = None,
) -> None:
    """Compile parts with Go, once, into the cache."""
    wanted = names or list(USUAL)
    if unknown := [name for name in wanted if name not in PARTS]:
        raise typer.BadParameter(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    console = Console(highlight=False, soft_wrap=True)
    try:
        made = build(Reporter(console), wanted)
    except Unusable as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(str(error), style="red")
        sys.exit(1)
    for name, built in made.items():
        console.print(f"{name} {built.part.version}: {built.program}")


if __name__ == "__main__":
    typer.run(main)
