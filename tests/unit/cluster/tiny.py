"""``python -m tests.unit.cluster.tiny FOLDER [slow|broken]``: a supervisor over three programs that answer a probe."""

import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from rich.console import Console

from cluster.fetching import Reporter
from cluster.probes import Probe
from cluster.processes import Processes, Program
from cluster.stages import ClusterFailed, Stage
from cluster.supervisor import Supervisor
from insuretech.kit.failures import Unusable

_PROGRAM = """
import signal, socket, sys
from pathlib import Path
name, address, mood = sys.argv[1:]
if mood == "broken":
    sys.exit("the disk is full")
def stop(*_):
    with open("stopped", "a") as book:
        book.write(name + "\\\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
if mood == "slow":
    signal.pause()
Path(address).unlink(missing_ok=True)
server = socket.socket(socket.AF_UNIX)
server.bind(address)
server.listen()
while True:
    connection, _ = server.accept()
    connection.sendall(b"well")
    connection.close()
""".replace("\\\\n", "\\n")


@dataclass(frozen=True)
class TinyCluster:
    """One program first, then two."""

    folder: Path
    mood: str

    @cached_property
    def processes(self) -> Processes:
        return Processes(self.folder)

    @property
    def control_socket(self) -> Path:
        return self.folder / "control.sock"

    @cached_property
    def stages(self) -> list[Stage]:
        return [
            Stage("First", [self._tiny("first", "good")]),
            Stage("Others", [self._tiny("second", self.mood), self._tiny("third", "good")]),
        ]

    def program(self, name: str) -> Program:
        for stage in self.stages:
            for one in stage.programs:
                if one.name == name:
                    return one
        raise ClusterFailed(f"There is no {name}.")

    def prepare(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.processes.end_leftovers()

    def clear(self) -> None:
        self.control_socket.unlink(missing_ok=True)

    def _tiny(self, name: str, mood: str) -> Program:
        address = self.folder / f"{name}.sock"
        command = (sys.executable, "-I", "-S", "-c", _PROGRAM, name, str(address), mood)
        return Program(name, "tiny", command, Probe(address, b"", b"well"), start_limit=30, stop_limit=5)


if __name__ == "__main__":
    cluster = TinyCluster(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "good")
    console = Console()
    try:
        Supervisor(cluster, Reporter(console)).run(lambda: console.print("Ready"))
    except Unusable as error:
        sys.exit(str(error))
