"""``python -m deploy.images``: make the images that machines of a cluster are given."""

import sys
from typing import Annotated

import typer
from rich.console import Console

from cluster.fetching import Reporter
from deploy.images.catalogue import ARCHIVES, USUAL
from deploy.images.making import folder, make
from insuretech.kit.failures import Unusable


def main(
    names: Annotated[list[str] | None, typer.Argument(help=f"Some of {', '.join(ARCHIVES)}; else the usual.")] = None,
) -> None:
    """Make OCI archives, each with a list of its parts. What has not changed is taken as it was made."""
    wanted = names or list(USUAL)
    if unknown := [name for name in wanted if name not in ARCHIVES]:
        raise typer.BadParameter(f"no such image: {', '.join(unknown)}; there are {', '.join(ARCHIVES)}")
    console = Console(highlight=False, soft_wrap=True)
    try:
        made = make(Reporter(console), wanted)
    except Unusable as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(str(error), style="red")
        sys.exit(1)
    for name in wanted:
        for image in made[name].images:
            console.print(f"{image.reference}: {folder() / made[name].file}, parts in {image.sbom}")


if __name__ == "__main__":
    typer.run(main)
