"""A mail server that keeps what it is given: the far end of letters to insurers."""

import sys
from pathlib import Path

from cluster import probes
from cluster.ports import Ports
from cluster.processes import Program


def program(folder: Path, ports: Ports) -> Program:
    """Letters end in ``folder``, a Maildir."""
    address = ("127.0.0.1", ports.smtp)
    return Program(
        name="mail",
        role="mail",
        command=(
            *(sys.executable, "-m", "aiosmtpd", "--nosetuid", "--class", "aiosmtpd.handlers.Mailbox", str(folder)),
            *("--listen", f"{address[0]}:{address[1]}"),
        ),
        probe=probes.Probe(address, b"", b"220 "),
        start_limit=20,
    )
