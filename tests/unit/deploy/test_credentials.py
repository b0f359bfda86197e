"""Secrets of a cluster: made once, and each where the chart looks for it."""

import asyncio
import os
import subprocess
import sys
from base64 import b64decode
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from deploy.credentials import Database, Others, manifests
from insuretech.compose.services import BUILDERS
from insuretech.kit.db import Database as Connected
from insuretech.kit.db import own_connection
from insuretech.kit.keyring import Keyring
from insuretech.kit.roles import role_password

DATABASE = Database("insuretech-database", "insuretech", "owner", "p@ss/word", b"a certificate")


def values(folder: Path, name: str, database: Database = DATABASE) -> dict[str, str]:
    """What a Secret holds."""
    found = next(one for one in manifests(folder, "x", database)["items"] if one["metadata"]["name"] == name)
    return {key: b64decode(value).decode() for key, value in found["data"].items()}


def test_what_was_made_once_stays(tmp_path: Path) -> None:
    """Every run would change all passwords, and make personal data unreadable."""
    assert manifests(tmp_path / "a", "x", DATABASE) == manifests(tmp_path / "a", "x", DATABASE)
    assert manifests(tmp_path / "a", "x", DATABASE) != manifests(tmp_path / "b", "x", DATABASE)
    Keyring.open(tmp_path / "a" / "keyring.json")


def test_nobody_else_reads_the_folder(tmp_path: Path) -> None:
    """It holds the keys of personal data."""
    manifests(tmp_path / "a", "x", DATABASE)

    assert (tmp_path / "a").stat().st_mode & 0o077 == 0
    assert [file.name for file in (tmp_path / "a").iterdir() if file.stat().st_mode & 0o077] == []


def test_each_service_has_an_address_of_its_own_role(tmp_path: Path) -> None:
    """One that signs in as another would read its data."""
    found = values(tmp_path, "insuretech-database")

    for service in set(BUILDERS) - {"storefront"}:
        url = make_url(found[service])
        assert (url.username, url.password) == (service, role_password(found["secret"], service))
        assert (url.host, url.database, url.query["ssl"]) == ("insuretech-database", "insuretech", "verify-ca")
    assert make_url(found["administrator"]).password == "p@ss/word"
    assert found["ca.crt"] == "a certificate"


def test_without_an_authority_nothing_is_checked_against_one(tmp_path: Path) -> None:
    """Where the server has no certificate nobody could connect."""
    found = values(tmp_path, "insuretech-database", Database("db", "insuretech", "owner", "x"))

    assert "ca.crt" not in found
    assert make_url(found["orders"]).query == {}


def test_points_of_the_cdn_are_told_by_who_knows_the_token(tmp_path: Path) -> None:
    """Without it no purge is taken, and people see a withdrawn product until its page's time is over."""
    names = {one["metadata"]["name"] for one in manifests(tmp_path, "x", DATABASE)["items"]}
    told = next(
        one for one in manifests(tmp_path, "x", DATABASE, Others("geheim"))["items"] if "cdn" in one["metadata"]["name"]
    )

    assert "insuretech-cdn" not in names
    assert {key: b64decode(value) for key, value in told["data"].items()} == {
        "token": b"geheim",
        "ca.crt": b"a certificate",
    }


def test_the_password_is_on_no_command_line(tmp_path: Path) -> None:
    """Everybody on the machine can read those."""
    done = subprocess.run(
        [sys.executable, "-m", "deploy.credentials", "--folder", str(tmp_path / "a"), "--administrator", "owner"],
        env={**os.environ, "DATABASE_PASSWORD": "geheim"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "insuretech-keyring" in done.stdout


@pytest.mark.parametrize("way", ["pool", "session"])
async def test_a_database_that_refuses_encryption_gets_no_password(way: str) -> None:
    """Somebody between us and the database would only have to say "no encryption here" to hear all."""
    asked: list[bytes] = []
    over = asyncio.Event()

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.read(8))
        writer.write(b"N")  # as PostgreSQL without TLS answers an SSLRequest
        asked.append(await reader.read(100))
        writer.close()
        await writer.wait_closed()
        over.set()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    database = Connected("orders", f"postgresql+asyncpg://orders:geheim@127.0.0.1:{port}/insuretech?ssl=require", 2)
    async with server:
        with pytest.raises((OSError, ConnectionError)):
            await (database.ping() if way == "pool" else own_connection(database))
        async with asyncio.timeout(10):
            await over.wait()
    await database.dispose()

    assert asked[0] == bytes.fromhex("00000008 04d2162f".replace(" ", ""))  # SSLRequest (protocol 3.0)
    assert asked[1:] in ([], [b""])
