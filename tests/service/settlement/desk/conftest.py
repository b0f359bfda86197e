"""The desk over HTTP, without a server: pages, API, and people who sign in."""

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from insuretech.compose.edge import application
from insuretech.connectors.directory import open_directory
from insuretech.connectors.object_storage import FolderStorage
from insuretech.kit.clock import FixedClock
from insuretech.kit.db import Database
from insuretech.kit.http import new_client
from insuretech.kit.keyring import Keyring
from insuretech.kit.live import LiveHub
from insuretech.kit.platform import Platform
from insuretech.kit.settings import Settings
from insuretech.settlement.wiring import Office, open_office
from tests.service.settlement.office import Office as Books
from tests.service.settlement.office import SourceOnPaper

BASE = "http://desk.test"


@dataclass
class Desk:
    """The desk and a way in."""

    office: Office
    books: Books
    source: SourceOnPaper
    transport: httpx.ASGITransport

    def browser(self, **headers: str) -> httpx.AsyncClient:
        """A browser of its own: nobody is signed in."""
        return httpx.AsyncClient(transport=self.transport, base_url=BASE, headers=headers)

    async def signed_in(self, name: str = "olga", role: str = "settlement") -> httpx.AsyncClient:
        """A browser in which this person has followed a link."""
        link = await self.office.staff.add(name, role)  # type: ignore[arg-type]
        browser = self.browser(accept="text/html")
        token = link.rpartition("token=")[2]
        answer = await browser.post("/staff/sign-in", data={"token": token})
        assert answer.status_code == 303
        return browser


async def proof(browser: httpx.AsyncClient, path: str = "/staff/settlement/bystra/2026-10") -> str:
    """What the forms of a page carry."""
    found = re.search(r'name="csrf" value="([0-9a-f]+)"', (await browser.get(path)).text)
    assert found is not None
    return found[1]


@pytest.fixture
async def desk(
    database: Callable[[str], Database], clock: FixedClock, tmp_path: Path, office: Books
) -> AsyncIterator[Desk]:
    """The desk over the test's database; ``office`` writes lines of ours into the same."""
    settings = Settings(home=tmp_path, public_url=BASE)
    async with new_client() as http:
        keyring = Keyring.open(tmp_path / "keyring.json")
        platform = Platform(settings, clock, keyring, http, LiveHub(), lambda _: database("settlement"))
        source = SourceOnPaper()
        opened = open_office(
            platform, insurers=open_directory(platform), storage=FolderStorage(tmp_path / "files"), source=source
        )
        app = application(opened.routes, settings)
        yield Desk(opened, office, source, httpx.ASGITransport(app, raise_app_exceptions=False))  # type: ignore[arg-type]
