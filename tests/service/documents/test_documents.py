"""Documents against a real PostgreSQL, a real folder and the real typesetter; only orders are played."""

import io
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from uuid import UUID

import httpx
import msgspec
import pytest
import sqlalchemy as sa
from litestar import Litestar
from pypdf import PdfReader

from insuretech.contracts.events import DocumentReady, PolicyCancelled, PolicyIssued
from insuretech.contracts.money import Money
from insuretech.contracts.policies import PolicyPaper
from insuretech.documents.app import Documents, build
from insuretech.documents.domain import StoredDocument
from insuretech.documents.repository import PostgresDocuments
from insuretech.documents.tables import messaging
from insuretech.kit.clock import FixedClock
from insuretech.kit.db import Database
from insuretech.kit.events import Envelope, Event
from insuretech.kit.http import OutgoingClient, new_client
from insuretech.kit.ids import buyer_of, new_id
from insuretech.kit.keyring import Keyring
from insuretech.kit.live import LiveHub
from insuretech.kit.platform import Platform
from insuretech.kit.relay import deliver
from insuretech.kit.settings import Settings
from insuretech.kit.web import problem_handler
from tests.unit.documents.policies import policy_paper

TOKEN = "the buyer's token"
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
PAPER = policy_paper(owner=buyer_of(TOKEN))
URL = f"/api/v1/policies/{PAPER.number}/document"


class KnownPolicies:
    """Orders, as far as documents see them."""

    def __init__(self, *papers: PolicyPaper) -> None:
        self.papers = {paper.policy_id: paper for paper in papers}

    async def paper(self, policy_id: UUID) -> PolicyPaper | None:
        return self.papers.get(policy_id)

    async def policy_id(self, number: str, owner: str) -> UUID | None:
        found = (one.policy_id for one in self.papers.values() if (one.number, one.owner) == (number, owner))
        return next(found, None)


class World:
    """A documents service with its surroundings."""

    def __init__(self, database: Database, home: Path, http: OutgoingClient) -> None:
        self.database = database
        self.home = home
        self.http = http
        self.policies = KnownPolicies(PAPER)
        self.keyring = Keyring.generate()

    @property
    def built(self) -> Documents:
        settings = Settings(home=self.home, public_url="https://example.org")
        platform = Platform(settings, FixedClock(NOW), self.keyring, self.http, LiveHub(), lambda _: self.database)
        return build(platform, policies=self.policies)

    async def hear(self, event: Event, event_id: UUID | None = None) -> bool:
        """Let the service handle an event once; False when it could not."""
        envelope = Envelope(
            id=event_id or new_id(),
            type=event.type_name(),
            topic=event.topic,
            key=event.key,
            occurred_at=NOW,
            trace_id="0" * 31 + "1",
            payload=msgspec.Raw(msgspec.json.encode(event)),
        )
        (reaction,) = self.built.service.reactions
        return await deliver(reaction, envelope, attempts=1, backoff=0)

    @asynccontextmanager
    async def client(self, token: str | None = TOKEN) -> AsyncIterator[httpx.AsyncClient]:
        """Someone asking over HTTP."""
        app = Litestar(
            list(self.built.service.routes),
            exception_handlers={Exception: problem_handler("https://example.org")},
            logging_config=None,
        )
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        transport = httpx.ASGITransport(app)  # type: ignore[arg-type]  # the two name the same protocol differently
        async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client:
            yield client

    async def fetch(self, token: str | None = TOKEN) -> httpx.Response:
        async with self.client(token) as client:
            return await client.get(URL)

    async def rows(self) -> list[StoredDocument]:
        return await PostgresDocuments(self.database).after(None, 100)

    async def announced(self) -> list[DocumentReady]:
        """The events documents told of so far."""
        statement = sa.select(messaging.outbox.c.payload).order_by(messaging.outbox.c.position)
        async with self.database.reading() as connection:
            payloads = (await connection.execute(statement)).scalars().all()
        return [msgspec.json.decode(payload, type=DocumentReady) for payload in payloads]

    def files(self) -> list[Path]:
        return [path for path in (self.home / "documents").rglob("*") if path.is_file()]


@pytest.fixture
async def world(database: Callable[[str], Database], tmp_path: Path) -> AsyncIterator[World]:
    """A service that knows one policy and has printed nothing yet."""
    async with new_client() as http:
        yield World(database("documents"), tmp_path, http)


def issued(paper: PolicyPaper = PAPER) -> PolicyIssued:
    """What orders tell when an insurer has concluded the contract."""
    return PolicyIssued(
        order_id=paper.order_id,
        policy_id=paper.policy_id,
        offer_id=new_id(),
        quote_id=new_id(),
        number=paper.number,
        owner=paper.owner,
        product=paper.product,
        insurer="beacon",
        premium=paper.premium,
        starts_on=paper.starts_on,
        ends_on=paper.ends_on,
        verification_code=paper.verification_code,
    )


def cancelled(on: date) -> PolicyCancelled:
    """What orders tell when the policy has ended early."""
    return PolicyCancelled(
        order_id=PAPER.order_id,
        policy_id=PAPER.policy_id,
        number=PAPER.number,
        refund=Money.zero(),
        cancelled_on=on,
    )


def words_of(response: httpx.Response) -> str:
    """What one reads in a PDF that was sent."""
    assert response.status_code == 200, response.text
    text = PdfReader(io.BytesIO(response.content)).pages[0].extract_text()
    return " ".join(text.replace("\N{NO-BREAK SPACE}", " ").split())


async def test_the_buyer_gets_the_policy_as_a_private_pdf(world: World) -> None:
    """Otherwise the buyer has paid and holds nothing, or a proxy keeps a copy for the next one."""
    await world.hear(issued())
    response = await world.fetch()
    assert "ХХХ 0166171796" in words_of(response)
    assert response.headers["content-type"] == "application/pdf"
    assert response.headers["cache-control"] == "private, no-store"
    assert response.headers["content-disposition"].startswith('inline; filename="policy-0166171796.pdf"; filename*=')


@pytest.mark.parametrize("token", [None, "another token"])
async def test_nobody_else_gets_it(world: World, token: str | None) -> None:
    """Otherwise whoever guesses a policy number reads a stranger's passport."""
    await world.hear(issued())
    response = await world.fetch(token)
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"


async def test_before_it_is_printed_the_buyer_is_asked_to_wait(world: World) -> None:
    """Otherwise someone quick would be told that their policy does not exist."""
    response = await world.fetch()
    assert response.status_code == 409
    assert response.json()["type"] == "https://example.org/problems/document-not-ready"
    assert response.headers["retry-after"] == "1"
    assert (await world.fetch("another token")).status_code == 404


async def test_a_repeated_event_changes_nothing(world: World) -> None:
    """Otherwise every redelivery leaves another copy of personal data and another event."""
    event_id = new_id()
    for _ in range(2):
        assert await world.hear(issued(), event_id)
    assert await world.hear(issued(), new_id()), "the same news under another id"
    assert len(await world.rows()) == len(world.files()) == len(await world.announced()) == 1


async def test_the_event_tells_where_the_document_lies_and_nothing_about_the_person(world: World) -> None:
    """Otherwise others cannot find the document, or personal data spread through the log of events."""
    await world.hear(issued())
    (ready,), (row,) = await world.announced(), await world.rows()
    assert (ready.document_id, ready.storage_key, ready.sha256) == (row.id, row.storage_key, row.sha256)
    assert ready.sha256 in ready.storage_key
    assert ready.size == len((await world.fetch()).content)
    assert "Константинопольская" not in msgspec.json.encode(ready).decode()


async def test_what_lies_on_the_disk_cannot_be_read_without_the_key(world: World) -> None:
    """Otherwise a stolen disk is a stolen customer base."""
    await world.hear(issued())
    (file,) = world.files()
    content = file.read_bytes()
    assert not content.startswith(b"%PDF")
    assert b"%PDF" not in content
    assert "Константинопольская".encode() not in content


@pytest.mark.parametrize("harm", ["lost", "cut", "changed", "exchanged"])
async def test_a_lost_or_damaged_document_is_printed_again(world: World, harm: str) -> None:
    """Otherwise a fault of the disk takes a buyer's policy away, or shows them somebody else's."""
    await world.hear(issued())
    other = policy_paper(policy_id=new_id(), number="ХХХ 0166171797", owner="buyer:other")
    world.policies.papers[other.policy_id] = other
    (file,) = world.files()
    await world.hear(issued(other))
    content = file.read_bytes()
    match harm:
        case "lost":
            file.unlink()
        case "cut":
            file.write_bytes(content[: len(content) // 2])
        case "changed":
            file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        case "exchanged":
            (stranger,) = set(world.files()) - {file}
            file.write_bytes(stranger.read_bytes())
    assert "ХХХ 0166171796" in words_of(await world.fetch())
    assert world.keyring.decrypt(file.read_bytes(), f"documents.policy:{file.name.split('.')[0]}").startswith(b"%PDF")


async def test_a_document_that_cannot_be_printed_again_is_plainly_gone(world: World) -> None:
    """Otherwise the buyer is told to try again for ever."""
    await world.hear(issued())
    world.files()[0].unlink()
    world.policies.papers.clear()
    response = await world.fetch()
    assert response.status_code == 410
    assert response.json()["type"].endswith("/problems/document-gone")


async def test_an_event_about_an_unknown_policy_is_not_swallowed(world: World) -> None:
    """Otherwise a policy that orders show a moment too late would never be printed."""
    world.policies.papers.clear()
    assert not await world.hear(issued())
    async with world.database.reading() as connection:
        reason = (await connection.execute(sa.select(messaging.dead_letters.c.reason))).scalar_one()
    assert reason == f"PolicyUnknown: orders do not know policy {PAPER.policy_id}"


async def test_an_ended_policy_is_served_with_its_stamp(world: World) -> None:
    """Otherwise the paper goes on saying that there is cover."""
    await world.hear(issued())
    await world.hear(cancelled(date(2027, 1, 5)))
    assert "Договор расторгнут 5 января 2027" in words_of(await world.fetch())
    assert [row.state for row in await world.rows()] == ["in_force", "cancelled"]


async def test_the_stamp_stays_when_the_issue_is_heard_of_later(world: World) -> None:
    """Otherwise replaying an old dead letter would bring an ended policy back to life."""
    await world.hear(cancelled(date(2027, 1, 5)))
    await world.hear(issued())
    assert "Договор расторгнут 5 января 2027" in words_of(await world.fetch())


async def test_a_new_key_takes_over_every_document(world: World) -> None:
    """Otherwise an old key could never be thrown away, or documents would be lost with it."""
    await world.hear(issued())
    await world.hear(cancelled(date(2027, 1, 5)))
    before = (await world.fetch()).content
    world.keyring = world.keyring.with_new_key()
    reencrypt = world.built.service.reencrypt
    assert reencrypt is not None
    assert [await reencrypt(), await reencrypt()] == [2, 0]
    assert {world.keyring.key_id(file.read_bytes()) for file in world.files()} == {"k2"}
    assert len(world.files()) == 2, "nothing readable with the old key is left"
    assert (await world.fetch()).content == before


async def test_a_storage_that_fails_is_try_again_and_not_our_fault(world: World) -> None:
    """Otherwise a full disk is reported as a bug and the buyer is not told to come back."""
    await world.hear(issued())
    (file,) = world.files()
    file.unlink()
    file.parent.rmdir()
    file.parent.write_text("a file where a folder must be")
    response = await world.fetch()
    assert response.status_code == 503
    assert "retry-after" in response.headers


async def test_the_document_is_described_as_a_pdf(world: World) -> None:
    """Otherwise clients generated from the description cannot read the answer."""
    async with world.client() as client:
        description = (await client.get("/schema/openapi.json")).json()
    (path,) = description["paths"].values()
    answers = path["get"]["responses"]
    assert list(answers["200"]["content"]) == ["application/pdf"]
    assert {"200", "404", "409", "410"} <= answers.keys()
