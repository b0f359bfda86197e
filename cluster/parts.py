"""What must be on this machine before anything starts: Kafka's jars, Garage, Redis, HAProxy and a Java."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from insuretech.kit.failures import Unusable

KAFKA = "4.3.1"
GARAGE = "2.5.0"


class PartMissing(Unusable):
    """A part is not there; the message says how to get it."""


@dataclass(frozen=True)
class Installed:
    """Where the parts are."""

    kafka: Path
    garage: Path
    java: str = "java"
    redis_server: str = "redis-server"
    haproxy: str = "haproxy"


def cache() -> Path:
    """Where what was fetched and built is kept, outside the checkout: INSURETECH_CACHE or ~/.cache/insuretech."""
    named = os.environ.get("INSURETECH_CACHE")
    return Path(named).expanduser().absolute() if named else Path.home() / ".cache" / "insuretech"


def find() -> Installed:
    """The parts as they are in the cache and on the path; raises ``PartMissing`` naming all that are not there."""
    folder = cache() / "parts"
    installed = Installed(
        kafka=folder / f"kafka-{KAFKA}" / "libs", garage=folder / f"garage-{GARAGE}" / "bin" / "garage"
    )
    missing = [program for program in ("java", "redis-server", "haproxy") if shutil.which(program) is None]
    if not any(installed.kafka.glob("kafka-server-*.jar")):
        missing.append(f"Kafka {KAFKA}")
    if missing:
        raise PartMissing(f"Missing: {', '.join(missing)}. Run: python -m cluster parts")
    return installed
