"""The services as processes: three of each, by turns in either site, told by their environment where everything is."""

import secrets
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cluster import probes
from cluster.ports import SERVICES, Ports
from cluster.processes import Program
from insuretech.compose.services import BUILDERS

REPLICAS = 3
ZONES = ("spb", "msk")
COMMAND = Path(sys.executable).with_name("insuretech")


@dataclass(frozen=True)
class Services:
    """The service processes of a data folder; ``surroundings`` is what all of them are told."""

    folder: Path
    ports: Ports
    surroundings: Mapping[str, str]
    names: Sequence[str] = tuple(name for name in SERVICES if name in BUILDERS)
    replicas: int = REPLICAS

    def instances(self, name: str) -> dict[str, int]:
        """Port of each replica of a service by its instance's name."""
        return {f"{name}-{number}": self.ports.service(name, number) for number in range(1, self.replicas + 1)}

    def programs(self) -> list[Program]:
        return [
            self._program(name, instance, ZONES[number % len(ZONES)], port)
            for name in self.names
            for number, (instance, port) in enumerate(self.instances(name).items())
        ]

    def command(self, *words: str) -> tuple[tuple[str, ...], dict[str, str]]:
        """A command of ours, such as ``migrate``, and the environment in which it meets the cluster."""
        return (str(COMMAND), *words), {**self.surroundings, "INSURETECH_HOME": str(self.folder)}

    def _program(self, name: str, instance: str, zone: str, port: int) -> Program:
        own = {
            "PORT": str(port),
            "HOST": "127.0.0.1",
            "INSURETECH_HOME": str(self.folder / instance),
            "INSURETECH_INSTANCE": instance,
            "INSURETECH_ZONE": zone,
            "PYTHONUNBUFFERED": "1",
            "NO_COLOR": "1",
        }
        return Program(
            name=instance,
            role=name,
            zone=zone,
            command=(str(COMMAND), "service", name),
            environment={**self.surroundings, **own},
            probe=probes.http(port, "/healthz/ready"),
            start_limit=120,
            stop_limit=20,
        )


def make_secrets(folder: Path, known: Mapping[str, str]) -> None:
    """One secret a file, for the owner only: those that are ours to make, once, and those that others made."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in ("internal", "database"):
        if not (folder / name).exists():
            _write_private(folder / name, secrets.token_urlsafe(32))
    for name, secret in known.items():
        _write_private(folder / name, secret)


def _write_private(path: Path, secret: str) -> None:
    new = path.with_name(f"{path.name}.new")
    new.touch(mode=0o600)
    new.write_text(secret, encoding="ascii")
    new.replace(path)
