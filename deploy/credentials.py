"""``python -m deploy.credentials``: the Secrets that the chart names, from a folder where what is made once is kept.

The folder belongs to whoever runs the playbook: it is to be backed up, as the keys of personal data are in it. What
comes out is for ``kubectl apply`` and is printed nowhere else. What others have made comes by the environment, since
command lines can be read by others: the administrator's password (DATABASE_PASSWORD), the token by which points of the
CDN know us (CDN_PURGE_TOKEN), the key to the bucket of the database's copies (BACKUPS_ACCESS_KEY, BACKUPS_SECRET_KEY).
"""

import json
import os
import secrets
import sys
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy.engine import URL

from insuretech.compose.services import BUILDERS
from insuretech.kit.keyring import Keyring
from insuretech.kit.roles import service_url


@dataclass(frozen=True)
class Database:
    """How services reach PostgreSQL: ``administrator`` owns the schemas; ``authority`` signs the servers' certificates.

    Without an authority connections are whatever the server wants; with it they are encrypted and checked against it.
    """

    host: str
    name: str
    administrator: str
    password: str
    authority: bytes = b""

    def url(self) -> URL:
        query = {"ssl": "verify-ca"} if self.authority else {}
        return URL.create("postgresql", self.administrator, self.password, self.host, 5432, self.name, query)


@dataclass(frozen=True)
class Others:
    """What machines outside of the cluster know as well; empty where there is no such machine.

    ``cdn_token``: by which points of the CDN know us; ``backups_…``: the key to the bucket of the database's copies.
    """

    cdn_token: str = ""
    backups_access_key: str = ""
    backups_secret_key: str = ""

    @classmethod
    def of_environment(cls) -> "Others":
        names = ("CDN_PURGE_TOKEN", "BACKUPS_ACCESS_KEY", "BACKUPS_SECRET_KEY")
        return cls(*(os.environ.get(name, "") for name in names))


NOBODY_ELSE = Others()


def manifests(folder: Path, namespace: str, database: Database, others: Others = NOBODY_ELSE) -> dict[str, Any]:
    """All of them as one list; what is missing in the folder is made."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    keyring = folder / "keyring.json"
    Keyring.open(keyring)
    passwords = _kept(folder / "database-secret", lambda: secrets.token_urlsafe(32))
    addresses = {name: service_url(database.url(), name, passwords) for name in BUILDERS if name != "storefront"}
    found: dict[str, Mapping[str, bytes]] = {
        "insuretech-database": {
            "administrator": _text(database.url()),
            "secret": passwords.encode(),
            **{name: _text(url) for name, url in addresses.items()},
            **({"ca.crt": database.authority} if database.authority else {}),
        },
        "insuretech-internal": {"secret": _kept(folder / "internal", lambda: secrets.token_urlsafe(32)).encode()},
        "insuretech-keyring": {"keyring.json": keyring.read_bytes()},
        "insuretech-s3": {
            "access-key": _kept(folder / "s3-access-key", lambda: f"GK{secrets.token_hex(12)}").encode(),
            "secret-key": _kept(folder / "s3-secret-key", lambda: secrets.token_hex(32)).encode(),
            "rpc-secret": _kept(folder / "s3-rpc-secret", lambda: secrets.token_hex(32)).encode(),
            "admin-token": _kept(folder / "s3-admin-token", lambda: secrets.token_hex(32)).encode(),
        },
    }
    if others.cdn_token:
        found["insuretech-cdn"] = {"token": others.cdn_token.encode(), "ca.crt": database.authority}
    if others.backups_access_key:
        found["insuretech-backups"] = {
            "access-key": others.backups_access_key.encode(),
            "secret-key": others.backups_secret_key.encode(),
        }
    items = [_secret(name, namespace, values) for name, values in found.items()]
    return {"apiVersion": "v1", "kind": "List", "items": items}


def _text(url: URL) -> bytes:
    return url.render_as_string(hide_password=False).encode()


def _kept(path: Path, make: Any) -> str:
    """A secret as it was made the first time; its file is for its owner only."""
    if not path.exists():
        new = path.with_name(f"{path.name}.new")
        new.touch(mode=0o600)
        new.write_text(make(), encoding="ascii")
        new.replace(path)
    return path.read_text(encoding="ascii").strip()


def _secret(name: str, namespace: str, values: Mapping[str, bytes]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "type": "Opaque",
        "data": {key: b64encode(value).decode() for key, value in values.items()},
    }


def main(
    folder: Annotated[Path, typer.Option(help="Where what is made once is kept.")],
    administrator: Annotated[str, typer.Option(help="The database's owner; its password is in DATABASE_PASSWORD.")],
    host: Annotated[str, typer.Option(help="The database as pods call it.")] = "insuretech-database",
    name: Annotated[str, typer.Option(help="The database's name.")] = "insuretech",
    namespace: Annotated[str, typer.Option()] = "insuretech",
    authority: Annotated[Path | None, typer.Option(help="Certificate that the servers are checked against.")] = None,
) -> None:
    """Print the Secrets as JSON for kubectl."""
    signed = authority.read_bytes() if authority else b""
    database = Database(host, name, administrator, os.environ["DATABASE_PASSWORD"], signed)
    json.dump(manifests(folder, namespace, database, Others.of_environment()), sys.stdout)


if __name__ == "__main__":
    typer.run(main)
