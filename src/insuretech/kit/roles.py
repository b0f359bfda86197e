"""How services sign in to the database: each under a role of its own name, with a password of its own.

The passwords follow from one secret by HMAC-SHA256, so that ``migrate`` can set them and a deployment can hand each
service its own, while no service's password tells another's. Without the secret the roles share the administrator's
password (if it has one), as on a developer's machine.
"""

import base64
import hmac
import os
from hashlib import pbkdf2_hmac, sha256

from sqlalchemy.engine import URL


def role_password(secret: str, service: str) -> str:
    """The password of a service's role: 43 characters without special ones."""
    digest = hmac.new(secret.encode(), f"insuretech database role {service}".encode(), "sha256").digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def service_url(address: URL, service: str, secret: str = "") -> URL:
    """How a service connects: an address that names the service's role is taken as it is.

    Any other is the administrator's, whose place the service's role takes.
    """
    if address.username == service:
        return address
    password = role_password(secret, service) if secret else address.password
    return address.set(username=service, password=password)


def scram_verifier(password: str) -> str:
    """What PostgreSQL keeps of a password of ASCII characters (RFC 5803), under a fresh salt."""
    salt, rounds = os.urandom(16), 4096
    salted = pbkdf2_hmac("sha256", password.encode(), salt, rounds)
    stored = sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    texts = [base64.b64encode(part).decode() for part in (salt, stored, server)]
    return f"SCRAM-SHA-256${rounds}:{texts[0]}${texts[1]}:{texts[2]}"
