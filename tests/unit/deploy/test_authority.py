"""Certificates: whoever connects must be able to trust them, and a run that changes nothing must make none."""

import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from deploy.authority import Authority, issue_all

NAMES = ["spb-db-1", "10.60.1.11", "database.insuretech.internal"]


def test_a_second_run_makes_nothing(tmp_path: Path) -> None:
    """Otherwise every run would restart what uses the certificates."""
    assert issue_all(tmp_path, {"spb-db-1": NAMES}) == ["spb-db-1"]
    before = (tmp_path / "spb-db-1.crt").read_bytes()
    assert issue_all(tmp_path, {"spb-db-1": NAMES}) == []
    assert (tmp_path / "spb-db-1.crt").read_bytes() == before


def test_another_name_or_a_near_end_makes_a_new_one(tmp_path: Path) -> None:
    """Otherwise connections fail on the day it ends, or to the host that was added."""
    Authority(tmp_path).issue("spb-db-1", NAMES)
    assert Authority(tmp_path).issue("spb-db-1", [*NAMES, "spb-edge-1"])
    assert Authority(tmp_path, datetime.now(UTC) + timedelta(days=350)).issue("spb-db-1", [*NAMES, "spb-edge-1"])


def test_a_certificate_without_its_key_is_made_again(tmp_path: Path) -> None:
    """Otherwise a run that was broken off leaves a server that cannot start."""
    Authority(tmp_path).issue("spb-db-1", NAMES)
    (tmp_path / "spb-db-1.key").unlink()
    assert Authority(tmp_path).issue("spb-db-1", NAMES)


def test_another_authority_of_the_same_name_makes_all_anew(tmp_path: Path) -> None:
    """Otherwise machines keep certificates that nobody trusts once the authority has been replaced."""
    Authority(tmp_path).issue("spb-db-1", NAMES)
    (tmp_path / "ca.key").unlink()
    (tmp_path / "ca.crt").unlink()
    assert issue_all(tmp_path, {"spb-db-1": NAMES}) == ["spb-db-1"]
    assert issue_all(tmp_path, {"spb-db-1": NAMES}) == []


def test_keys_are_for_nobody_else(tmp_path: Path) -> None:
    """Otherwise whoever has an account on the controller may speak for every server."""
    Authority(tmp_path).issue("spb-db-1", NAMES)
    assert {(tmp_path / f"{name}.key").stat().st_mode & 0o777 for name in ("ca", "spb-db-1")} == {0o600}


def test_openssl_and_python_take_the_chain(tmp_path: Path) -> None:
    """Otherwise the databases do not trust each other."""
    Authority(tmp_path).issue("spb-db-1", NAMES)
    verified = subprocess.run(
        ["openssl", "verify", "-x509_strict", "-CAfile", tmp_path / "ca.crt", tmp_path / "spb-db-1.crt"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert verified.returncode == 0, verified.stderr
    context = ssl.create_default_context(cafile=str(tmp_path / "ca.crt"))
    context.load_cert_chain(tmp_path / "spb-db-1.crt", tmp_path / "spb-db-1.key")


def test_it_names_hosts_and_addresses(tmp_path: Path) -> None:
    """Otherwise whoever connects by address is refused."""
    Authority(tmp_path).issue("spb-db-1", NAMES)
    certificate = x509.load_pem_x509_certificate((tmp_path / "spb-db-1.crt").read_bytes())
    told = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert told.get_values_for_type(x509.DNSName) == ["spb-db-1", "database.insuretech.internal"]
    assert [str(address) for address in told.get_values_for_type(x509.IPAddress)] == ["10.60.1.11"]
