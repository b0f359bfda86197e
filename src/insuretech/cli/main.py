"""Where ``insuretech`` begins.

What serves lives for months, so that ``serve`` and ``service`` are begun without what reads a command line: Typer and
the Pydantic it brings are eleven megabytes of every process and a third of a second of its start. Everything else, and
these two with anything that has to be read first, goes through the commands.
"""

import sys

from insuretech.cli.running import run_commands
from insuretech.cli.serve import serve, serve_some


def main() -> None:
    """Entry point of the console script."""
    match sys.argv[1:]:
        case ["serve"]:
            run_commands(serve)
        case ["service", *names] if names and not any(name.startswith("-") for name in names):
            run_commands(lambda: serve_some(names))
        case _:
            from insuretech.cli.app import app

            run_commands(app)
