"""Run as a script between a supervisor and a program: makes the program a safe child, then becomes it.

    python -I -S launcher.py <parent pid> <program> <argument>…

Done here and not in ``subprocess``'s ``preexec_fn``, which is unsafe once threads run:

- a session of its own, so that Ctrl-C in the terminal reaches the supervisor alone, which stops all in order;
- the kernel kills the program when the supervisor dies, however it dies (``PR_SET_PDEATHSIG``). With SIGKILL, as a
  program that is frozen would not hear anything else; all of them are made to survive it.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
ORPHANED = 77  # exit code of "the parent was gone before we began"


def main(parent: int, command: list[str]) -> None:
    """Prepare this process and replace it by the program; never returns."""
    os.setsid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(ORPHANED)
    os.execv(command[0], command)  # noqa: S606 - the very purpose of this file


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
