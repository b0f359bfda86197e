"""People in the twin's regions: what names lead them to, and what they get there."""

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from deploy.twin import network
from deploy.twin.whole import Twin

DOMAIN = "insuretech.test"
_PERSON = Path(__file__).with_name("person.py")
_LIMIT = 90.0
T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    """What came back; header names are in lower case, with every value they came with."""

    status: int
    headers: dict[str, list[str]]
    body: str
    protocol: str

    def header(self, name: str) -> str:
        """The only value of a header; empty when there is none."""
        values = self.headers.get(name, [])
        assert len(values) < 2, f"{name} came {len(values)} times: {values}"
        return values[0] if values else ""


class Person:
    """Somebody in a region."""

    def __init__(self, twin: Twin, region: str) -> None:
        self._twin = twin
        self._inside = ("nsenter", f"--net={network.NAMESPACES / network.people_of(twin.inventory, region)}")
        self.net = twin.inventory.places[region]

    def resolve(self, name: str, server: str, net: str = "") -> list[str]:
        """The addresses of a name by a name server, asked for a net or for oneself."""
        words = (sys.executable, str(_PERSON), server, f"{name}.{DOMAIN}", *([net] if net else []))
        return self._run(*words).split()

    def get(self, path: str, *more: str, name: str = "www", at: str) -> Answer:
        """Ask ``https://NAME…/path`` at an address."""
        host = f"{name}.{DOMAIN}"
        authority = self._twin.home / "secrets" / "tls" / "ca.crt"
        said = self._run(
            *("curl", "-sS", "-i", "--max-time", str(_LIMIT), "--tlsv1.3", "--cacert", str(authority)),
            *("--resolve", f"{host}:443:{at}", "-w", "\n%{http_version}", *more, f"https://{host}{path}"),
        )
        return _parsed(said)

    def served(self, path: str, *, name: str, at: str) -> bool:
        """Whether a quick question is answered with 200."""
        host = f"{name}.{DOMAIN}"
        ask = ("curl", "-sk", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "2")
        words = (*self._inside, *ask, "--resolve", f"{host}:443:{at}", f"https://{host}{path}")
        return subprocess.run(words, capture_output=True, text=True, check=False).stdout == "200"

    def connects(self, at: str, port: int) -> bool:
        """Whether a port takes a connection within seconds."""
        words = ("timeout", "3", "bash", "-c", 'exec 3<>"/dev/tcp/$0/$1"', at, str(port))
        return subprocess.run((*self._inside, *words), capture_output=True, check=False).returncode == 0

    def _run(self, *words: str) -> str:
        done = subprocess.run((*self._inside, *words), capture_output=True, text=True, check=False, timeout=_LIMIT + 30)
        assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
        return done.stdout


def _parsed(said: str) -> Answer:
    """The last of the heads (a 100 may come before) and the body."""
    said, _, protocol = said.replace("\r\n", "\n").rpartition("\n")
    head, _, body = said.partition("\n\n")
    while head.split(" ", 2)[1].startswith("1"):
        head, _, body = body.partition("\n\n")
    first, *lines = head.split("\n")
    headers: dict[str, list[str]] = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers.setdefault(name.lower(), []).append(value.strip())
    return Answer(int(first.split(" ")[1]), headers, body, protocol)


def eventually(ask: Callable[[], T], good: Callable[[T], bool], within: float) -> tuple[T, float]:
    """Ask until the answer is good; gives it with the seconds that it took. Fails with the last one."""
    began = time.monotonic()
    while True:
        answer = ask()
        took = time.monotonic() - began
        if good(answer):
            return answer, took
        assert took < within, f"after {took:.1f} s still {answer}"
        time.sleep(0.2)
