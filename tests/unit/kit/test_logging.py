"""What a person at the terminal reads of libraries."""

import subprocess
import sys

PROGRAM = """
import asyncio, logging
from insuretech.kit.logging import configure_logging
configure_logging()
log = logging.getLogger("sqlalchemy.pool.impl.Pool")
for error in (asyncio.CancelledError(), ConnectionError("the server is gone")):
    try:
        raise error
    except (asyncio.CancelledError, ConnectionError):
        log.exception("Exception closing connection")
"""


def test_being_told_to_stop_is_no_failure() -> None:
    """Otherwise Ctrl-C at the wrong moment of a start prints a stack trace at an impatient person."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert "CancelledError" not in done.stderr
    assert done.stderr.count("Exception closing connection") == 1
    assert "the server is gone" in done.stderr
