"""How a browser comes into the twin."""

import base64
import hashlib
import subprocess
from pathlib import Path

from deploy.twin import person
from deploy.twin.inventory import Machine
from deploy.twin.whole import Twin
from tests.unit.deploy.made import inventory


def made(path: Path) -> str:
    """A certificate of its own key; what a browser knows the key by."""
    words = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1")
    key = path.with_suffix(".key")
    subprocess.run((*words, "-subj", "/CN=x", "-keyout", key, "-out", path), check=True, capture_output=True)
    der = subprocess.run(
        ("openssl", "pkey", "-in", key, "-pubout", "-outform", "DER"), check=True, capture_output=True
    ).stdout
    return base64.b64encode(hashlib.sha256(der).digest()).decode()


def test_a_browser_trusts_whom_people_reach_and_nobody_else(tmp_path: Path) -> None:
    """A person who opens the twin would see a warning in place of the site, or trust whoever stands in between."""
    functions = {"spb-edge-1": "edge", "cdn-central": "cdn", "spb-db-1": "postgresql"}
    machines = tuple(
        Machine(name=name, site="spb", address=f"10.60.1.{number}", memory=1, groups=(function,))
        for number, (name, function) in enumerate(functions.items(), start=11)
    )
    made_up = inventory(*machines, people={"central": "10.61.1.10"})
    folder = tmp_path / "secrets" / "tls"
    folder.mkdir(parents=True)
    keys = {name: made(folder / f"{name}.crt") for name in functions}

    words = person.browser(Twin(tmp_path, made_up), "central", "chromium", person.ADDRESS)

    assert f"--ignore-certificate-errors-spki-list={keys['spb-edge-1']},{keys['cdn-central']}" in words
    assert words[-1] == person.ADDRESS
