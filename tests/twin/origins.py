"""A real marketplace for each site, on the machine that carries the twin, where edge servers look for the ingress."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from deploy.twin.whole import Twin

PORT = int(os.environ.get("TWIN_INGRESS", "8080"))
_START_LIMIT = 300.0
_STOP_LIMIT = 60.0


class Origins:
    """Processes of `insuretech serve`, one a site."""

    def __init__(self, twin: Twin, folder: Path) -> None:
        self._twin = twin
        self._folder = folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, *sites: str) -> None:
        """Have them running and answering."""
        for site in sites:
            if site not in self._running:
                self._running[site] = self._started(site)
        for site in sites:
            self._wait(site)

    def stop(self, *sites: str) -> None:
        """End them in good order."""
        ending = [self._running.pop(site) for site in sites if site in self._running]
        for one in ending:
            one.send_signal(signal.SIGTERM)
        for one in ending:
            one.wait(_STOP_LIMIT)

    def freeze(self, *sites: str) -> None:
        """They take connections and answer nothing."""
        for site in sites:
            self._running[site].send_signal(signal.SIGSTOP)

    def thaw(self, *sites: str) -> None:
        """Let them go on."""
        for site in sites:
            self._running[site].send_signal(signal.SIGCONT)

    def _started(self, site: str) -> subprocess.Popen[bytes]:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("INSURETECH_")},
            "HOST": str(self._twin.inventory.carrier(site).ip),
            "PORT": str(PORT),
            "INSURETECH_HOME": str(self._folder / site),
            "INSURETECH_PUBLIC_URL": "https://www.insuretech.test",
        }
        with (self._folder / f"{site}.log").open("ab") as log:
            return subprocess.Popen(
                (Path(sys.executable).with_name("insuretech"), "serve"), env=environment, stdout=log, stderr=log
            )

    def _wait(self, site: str) -> None:
        address = self._twin.inventory.carrier(site).ip
        until = time.monotonic() + _START_LIMIT
        while time.monotonic() < until:
            assert self._running[site].poll() is None, (self._folder / f"{site}.log").read_text(errors="replace")[
                -2000:
            ]
            ask = ("curl", "-sf", "-o", "/dev/null", "--max-time", "5", f"http://{address}:{PORT}/api/v1/products")
            if subprocess.run(ask, check=False).returncode == 0:
                return
            time.sleep(0.5)
        raise AssertionError(f"The marketplace of {site} did not start within {_START_LIMIT} s.")
