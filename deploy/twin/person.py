"""Being a person of a region: in their network, with the twin's name servers, trusting the twin's authority."""

import base64
import hashlib
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from deploy.commands import TwinFailed
from deploy.twin import network
from deploy.twin.whole import Twin

HOST = "www.insuretech.test"
ADDRESS = f"https://{HOST}"
NEAR = {"central": "spb", "eastern": "msk"}
"""Regions, and the site that is near to their people."""
_IN_THEIR_PLACE = 'mount --bind "$0" "$(readlink -f /etc/resolv.conf)" && exec "$@"'


def words(twin: Twin, region: str, command: tuple[str, ...]) -> tuple[str, ...]:
    """A command as a person of a region would run it: it resolves names as they do."""
    if region not in twin.inventory.people:
        raise TwinFailed(f"People are in {', '.join(twin.inventory.people)}, not in {region}.")
    where = network.NAMESPACES / network.people_of(twin.inventory, region)
    inside = ("unshare", "--mount", "--propagation", "private", "sh", "-c", _IN_THEIR_PLACE)
    return ("nsenter", f"--net={where}", *inside, str(_resolver(twin, region)), *command)


def environment(twin: Twin) -> dict[str, str]:
    """What makes programs trust the twin's authority."""
    authority = str(_authority(twin))
    return {"CURL_CA_BUNDLE": authority, "SSL_CERT_FILE": authority}


def browser(twin: Twin, region: str, program: str, address: str) -> tuple[str, ...]:
    """A browser of their own, with a profile that goes with the twin; it trusts the machines that people reach, too.

    Those by their own keys: they do not send the authority's certificate along, so its key would be met nowhere.
    """
    reached = [one.name for one in twin.inventory.machines if {"edge", "cdn"} & set(one.groups)]
    trusted = ",".join(_fingerprint(_authority(twin).with_name(f"{name}.crt")) for name in reached)
    command = (
        program,
        "--no-sandbox",  # it runs as root, since only root gets into their network
        "--no-first-run",
        f"--user-data-dir={twin.home / 'people' / region}",
        f"--ignore-certificate-errors-spki-list={trusted}",
        address,
    )
    return words(twin, region, command)


def servers(twin: Twin, region: str) -> list[str]:
    """Addresses of the name servers, the near site's first, the witness' last."""
    near = NEAR.get(region, "")
    found = [one for one in twin.inventory.machines if "dns" in one.groups]
    return [one.address for one in sorted(found, key=lambda one: (one.site == "witness", one.site != near, one.name))]


def _resolver(twin: Twin, region: str) -> Path:
    path = twin.home / "people" / f"{region}.resolv.conf"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [*(f"nameserver {address}" for address in servers(twin, region)), "options timeout:1 attempts:2"]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="ascii")
    return path


def _authority(twin: Twin) -> Path:
    return twin.home / "secrets" / "tls" / "ca.crt"


def _fingerprint(path: Path) -> str:
    """SHA-256 of the public key, as Chromium wants it."""
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except FileNotFoundError:
        raise TwinFailed(f"The twin has no certificates yet ({path}); `make twin` first.") from None
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(key).digest()).decode()
