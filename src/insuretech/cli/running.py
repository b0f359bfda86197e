"""How a command line of ours ends: a known failure is one sentence."""

import sys

import typer

from insuretech.kit.failures import Unusable


def run_commands(app: typer.Typer, interrupted: str = "") -> None:
    """Run the command that was asked for. Exit code 1 after a known failure, 130 after Ctrl-C, told by a sentence."""
    try:
        app()
    except Unusable as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)
    except KeyboardInterrupt:
        if interrupted:
            sys.stderr.write(f"{interrupted}\n")
        sys.exit(130)
