"""PostgreSQL of the cluster, as a program of its own: ``python -m cluster.database FOLDER``."""

import asyncio
import signal
import sys
import threading
from pathlib import Path

from sqlalchemy.engine import make_url

from cluster import probes
from cluster.processes import Program
from insuretech.compose.database import create_database
from insuretech.kit.embedded_postgres import SUPERUSER, EmbeddedPostgres
from insuretech.kit.failures import Unusable

NAME = "insuretech"
_SETTINGS = {
    "max_connections": "400",  # twenty processes, each with a pool and a listener
    "shared_buffers": "128MB",
    "max_wal_size": "1GB",
    "log_min_messages": "warning",
}
_WATCH = 1.0  # seconds


def server(folder: Path) -> EmbeddedPostgres:
    """The server of a folder, not started."""
    return EmbeddedPostgres(folder, settings=_SETTINGS)


def socket_path(folder: Path) -> Path:
    """Where it answers while it runs."""
    return server(folder).socket_folder / ".s.PGSQL.5432"


def program(folder: Path) -> Program:
    """The process that runs it and stops with it."""
    return Program(
        name="postgres",
        role="postgres",
        zone="spb",
        command=(sys.executable, "-m", "cluster.database", str(folder)),
        environment={"PYTHONPATH": str(Path(__file__).parent.parent)},
        probe=probes.postgres(socket_path(folder)),
        start_limit=60,
        stop_limit=20,
    )


def run(folder: Path) -> None:
    """Serve until SIGTERM or SIGINT; returns early, with an error, when the server ends by itself."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    with server(folder) as postgres:
        asyncio.run(create_database(make_url(postgres.dsn(SUPERUSER, NAME))))
        while not stopping.wait(_WATCH):
            if not postgres.alive():
                raise Unusable(f"PostgreSQL ended by itself; its log is {postgres.log}.")


if __name__ == "__main__":
    try:
        run(Path(sys.argv[1]))
    except Unusable as error:
        sys.exit(str(error))
