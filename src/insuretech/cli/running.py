"""How a command line of ours ends: a known failure is one sentence."""

import sys
from collections.abc import Callable

from insuretech.kit.failures import Unusable


def run_commands(command: Callable[[], object], interrupted: str = "") -> None:
    """Run the command that was asked for. Exit code 1 after a known failure, 130 after Ctrl-C, told by a sentence."""
    try:
        command()
    except Unusable as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)
    except KeyboardInterrupt:
        if interrupted:
            sys.stderr.write(f"{interrupted}\n")
        sys.exit(130)
