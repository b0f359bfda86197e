"""The certificate authority of two sites, on the machine that runs the playbook: ``python -m deploy.authority FOLDER``.

Reads from standard input who shall have a certificate, as JSON ``{"spb-db-1": ["spb-db-1", "10.60.1.11"], …}``, and
makes what is missing, is about to end, or carries other names. Says by a line which ones it made. Keys are P-256, so
that every client there is can use them; certificates serve both sides of a connection.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_AUTHORITY_LIVES = timedelta(days=3650)
_LIVES = timedelta(days=397)  # the longest that browsers take
_RENEW = timedelta(days=60)
"""A certificate that ends sooner is made anew, so that two runs a month are plenty."""


class Authority:
    """The authority of a folder; made when it is not there. ``now`` is a moment for tests."""

    def __init__(self, folder: Path, now: datetime | None = None) -> None:
        self.folder = folder
        self.now = now or datetime.now(UTC)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._key, self.certificate = self._own()

    def issue(self, name: str, names: Sequence[str]) -> bool:
        """Have a certificate of these host names and addresses in ``NAME.crt`` and ``NAME.key``; whether it is new."""
        if not names:
            raise ValueError(f"{name} needs at least one name")
        if self._good(name, names):
            return False
        key = ec.generate_private_key(ec.SECP256R1())
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        certificate = (
            self._builder(_name(name), _LIVES)
            .issuer_name(self.certificate.subject)
            .public_key(key.public_key())
            .add_extension(x509.SubjectAlternativeName(list(map(_alternative, names))), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        self._write(name, key, certificate)
        return True

    def _own(self) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
        key_file, certificate_file = self.folder / "ca.key", self.folder / "ca.crt"
        if key_file.exists() and certificate_file.exists():
            key = serialization.load_pem_private_key(key_file.read_bytes(), None)
            assert isinstance(key, ec.EllipticCurvePrivateKey)  # noqa: S101 - we made it
            return key, x509.load_pem_x509_certificate(certificate_file.read_bytes())
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name("InsureTech authority")
        certificate = (
            self._builder(name, _AUTHORITY_LIVES)
            .issuer_name(name)
            .public_key(key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        self._write("ca", key, certificate)
        return key, certificate

    def _builder(self, subject: x509.Name, lives: timedelta) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.now - timedelta(hours=1))  # clocks differ
            .not_valid_after(self.now + lives)
        )

    def _good(self, name: str, names: Sequence[str]) -> bool:
        path = self.folder / f"{name}.crt"
        if not path.exists() or not (self.folder / f"{name}.key").exists():
            return False
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        told = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return (
            certificate.not_valid_after_utc - self.now > _RENEW
            and self._signed(certificate)
            and set(told) == set(map(_alternative, names))
        )

    def _signed(self, certificate: x509.Certificate) -> bool:
        """Whether our key has: another authority of this folder may have had the same name."""
        try:
            certificate.verify_directly_issued_by(self.certificate)
        except (InvalidSignature, TypeError, ValueError):
            return False
        return True

    def _write(self, name: str, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        """The key first: a certificate without its key is made again."""
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (self.folder / f"{name}.crt").unlink(missing_ok=True)
        path = self.folder / f"{name}.key"
        path.unlink(missing_ok=True)
        path.touch(mode=0o600)
        path.write_bytes(pem)
        (self.folder / f"{name}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def issue_all(folder: Path, wanted: Mapping[str, Sequence[str]]) -> list[str]:
    """Certificates for all of them; the names of those that are new."""
    authority = Authority(folder)
    return [name for name, names in sorted(wanted.items()) if authority.issue(name, names)]


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def main() -> None:
    """Entry point."""
    for name in issue_all(Path(sys.argv[1]), json.load(sys.stdin)):
        sys.stdout.write(f"made {name}\n")


if __name__ == "__main__":
    main()
