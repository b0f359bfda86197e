"""Documents against a real PostgreSQL, a real folder and the real typesetter; only orders are played."""

import asyncio
import io
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import UUID

import httpx
import msgspec
import pytest
import sqlalchemy as sa
from litestar import Litestar
from pypdf import PdfReader

from insuretech.connectors.object_storage import FolderStorage
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
from insuretech.kit.files import Finding, ObjectFound, StorageAway
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
        self.unreadable = False

    async def paper(self, policy_id: UUID) -> PolicyPaper | None:
        return None if self.unreadable else self.papers.get(policy_id)

    async def policy_id(self, number: str, owner: str) -> UUID | None:
        found = (one.policy_id for one in self.papers.values() if (one.number, one.owner) == (number, owner))
        return next(found, None)


class MoodyStorage:
    """A folder that can be told not to answer."""

    def __init__(self, folder: FolderStorage) -> None:
        self.folder = folder
        self.away = False

    def _answer(self) -> FolderStorage:
        if self.away:
            raise StorageAway("the storage is away")
        return self.folder

    async def put(self, key: str, content: bytes, *, replace: bool = False) -> None:
        await self._answer().put(key, content, replace=replace)

    async def get(self, key: str) -> bytes | None:
        return await self._answer().get(key)

    async def delete(self, key: str) -> None:
        await self._answer().delete(key)

    async def below(self, prefix: str) -> AsyncIterator[list[ObjectFound]]:
        async for page in self._answer().below(prefix):
            yield page

    async def check(self) -> None:
        await self._answer().check()


class World:
    """A documents service with its surroundings."""

    def __init__(self, database: Database, home: Path, http: OutgoingClient) -> None:
        self.database = database
        self.home = home
        self.http = http
        self.policies = KnownPolicies(PAPER)
        self.keyring = Keyring.generate()

        self.clock = FixedClock(NOW)
        self.storage = MoodyStorage(FolderStorage(home / "documents"))

    @property
    def built(self) -> Documents:
        settings = Settings(home=self.home, public_url="https://example.org")
        platform = Platform(settings, self.clock, self.keyring, self.http, LiveHub(), lambda _: self.database)
        return build(platform, policies=self.policies, storage=self.storage)

    async def told(self, event: Event) -> None:
        """Let the service hear of something and do what it has to."""
        assert await self.hear(event)
        await self.built.press.print_waiting()

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
    await world.told(issued())
    response = await world.fetch()
    assert "ХХХ 0166171796" in words_of(response)
    assert response.headers["content-type"] == "application/pdf"
    assert response.headers["cache-control"] == "private, no-store"
    assert response.headers["content-disposition"].startswith('inline; filename="policy-0166171796.pdf"; filename*=')


@pytest.mark.parametrize("token", [None, "another token"])
async def test_nobody_else_gets_it(world: World, token: str | None) -> None:
    """Otherwise whoever guesses a policy number reads a stranger's passport."""
    await world.told(issued())
    response = await world.fetch(token)
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"


async def test_before_it_is_kept_the_buyer_gets_it_all_the_same(world: World) -> None:
    """Otherwise someone quick would be told to wait, or that their policy does not exist."""
    assert "ХХХ 0166171796" in words_of(await world.fetch())
    assert (await world.fetch("another token")).status_code == 404
    assert not world.files(), "who merely looks keeps nothing"


async def test_a_policy_that_orders_cannot_show_yet_is_to_be_asked_for_again(world: World) -> None:
    """Otherwise someone quick would be told that their policy does not exist."""
    world.policies.unreadable = True
    response = await world.fetch()
    assert response.status_code == 409
    assert response.json()["type"] == "https://example.org/problems/document-not-ready"
    assert response.headers["retry-after"] == "1"


async def test_a_repeated_event_changes_nothing(world: World) -> None:
    """Otherwise every redelivery leaves another copy of personal data and another event."""
    event_id = new_id()
    for _ in range(2):
        assert await world.hear(issued(), event_id)
    await world.told(issued())  # the same news under another id
    await world.told(issued())
    assert len(await world.rows()) == len(world.files()) == len(await world.announced()) == 1


async def test_the_event_tells_where_the_document_lies_and_nothing_about_the_person(world: World) -> None:
    """Otherwise others cannot find the document, or personal data spread through the log of events."""
    await world.told(issued())
    (ready,), (row,) = await world.announced(), await world.rows()
    assert (ready.document_id, ready.storage_key, ready.sha256) == (row.id, row.storage_key, row.sha256)
    assert ready.sha256 in ready.storage_key
    assert ready.size == len((await world.fetch()).content)
    assert "Константинопольская" not in msgspec.json.encode(ready).decode()


async def test_what_lies_on_the_disk_cannot_be_read_without_the_key(world: World) -> None:
    """Otherwise a stolen disk is a stolen customer base."""
    await world.told(issued())
    (file,) = world.files()
    content = file.read_bytes()
    assert not content.startswith(b"%PDF")
    assert b"%PDF" not in content
    assert "Константинопольская".encode() not in content


@pytest.mark.parametrize("harm", ["lost", "cut", "changed", "exchanged"])
async def test_a_lost_or_damaged_document_is_printed_again(world: World, harm: str) -> None:
    """Otherwise a fault of the disk takes a buyer's policy away, or shows them somebody else's."""
    await world.told(issued())
    other = policy_paper(policy_id=new_id(), number="ХХХ 0166171797", owner="buyer:other")
    world.policies.papers[other.policy_id] = other
    (file,) = world.files()
    await world.told(issued(other))
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
    await world.told(issued())
    world.files()[0].unlink()
    world.policies.papers.clear()
    response = await world.fetch()
    assert response.status_code == 410
    assert response.json()["type"].endswith("/problems/document-gone")


async def test_a_policy_unknown_to_orders_is_printed_once_they_know_it(world: World) -> None:
    """Otherwise a policy that orders show a moment too late would never be printed."""
    world.policies.papers.clear()
    await world.told(issued())
    assert not await world.rows()
    (waiting,) = await PostgresDocuments(world.database).wanted(PAPER.number)
    assert waiting.last_error == f"PolicyUnknown: orders do not know policy {PAPER.policy_id}"
    world.policies.papers[PAPER.policy_id] = PAPER
    assert await world.built.press.print_waiting() == 0, "not before its pause is over"
    world.clock.advance(timedelta(seconds=5))
    assert await world.built.press.print_waiting() == 1


async def test_an_ended_policy_is_served_with_its_stamp(world: World) -> None:
    """Otherwise the paper goes on saying that there is cover."""
    await world.told(issued())
    await world.told(cancelled(date(2027, 1, 5)))
    assert "Договор расторгнут 5 января 2027" in words_of(await world.fetch())
    assert [row.state for row in await world.rows()] == ["in_force", "cancelled"]


async def test_the_stamp_stays_when_the_issue_is_heard_of_later(world: World) -> None:
    """Otherwise replaying an old dead letter would bring an ended policy back to life."""
    await world.told(cancelled(date(2027, 1, 5)))
    await world.told(issued())
    assert "Договор расторгнут 5 января 2027" in words_of(await world.fetch())


async def test_a_new_key_takes_over_every_document(world: World) -> None:
    """Otherwise an old key could never be thrown away, or documents would be lost with it."""
    await world.told(issued())
    await world.told(cancelled(date(2027, 1, 5)))
    before = (await world.fetch()).content
    world.keyring = world.keyring.with_new_key()
    reencrypt = world.built.service.reencrypt
    assert reencrypt is not None
    assert [await reencrypt(), await reencrypt()] == [2, 0]
    assert len(world.files()) == 4, "whoever reads by the old row still finds the old object"
    world.clock.advance(timedelta(hours=2))
    await world.built.press.tidy()
    assert {world.keyring.key_id(file.read_bytes()) for file in world.files()} == {"k2"}
    assert len(world.files()) == 2, "nothing readable with the old key is left"
    assert (await world.fetch()).content == before


async def test_issuing_goes_on_without_storage_and_documents_follow(world: World) -> None:
    """Otherwise two hours without object storage are two hours of policies that nobody ever gets."""
    world.storage.away = True
    other = policy_paper(policy_id=new_id(), number="ХХХ 0166171797", owner="buyer:other")
    world.policies.papers[other.policy_id] = other
    press = world.built.press
    assert await world.hear(issued())
    assert await world.hear(issued(other))
    for _ in range(20):
        assert await press.print_waiting() == 0
        world.clock.advance(timedelta(minutes=6))
    assert "ХХХ 0166171796" in words_of(await world.fetch())
    async with world.database.reading() as connection:
        dead = (await connection.execute(sa.select(sa.func.count()).select_from(messaging.dead_letters))).scalar_one()
    assert dead == 0
    world.storage.away = False
    assert await press.print_waiting() == 2
    assert len(await world.announced()) == len(world.files()) == 2
    assert await PostgresDocuments(world.database).wanted(PAPER.number) == []


async def test_a_stamp_that_waits_for_storage_is_on_the_paper_given_out(world: World) -> None:
    """Otherwise an ended policy looks like one in force for as long as the storage is away."""
    await world.told(issued())
    world.storage.away = True
    await world.told(cancelled(date(2027, 1, 5)))
    assert "Договор расторгнут 5 января 2027" in words_of(await world.fetch())


async def test_two_presses_print_each_policy_once(world: World) -> None:
    """Otherwise every replica would keep and announce its own copy."""
    papers = [policy_paper(policy_id=new_id(), number=f"ХХХ {number:010}") for number in range(20)]
    for paper in papers:
        world.policies.papers[paper.policy_id] = paper
        await world.hear(issued(paper))
    kept = await asyncio.gather(*(world.built.press.print_waiting() for _ in range(3)))
    assert sum(kept) == len(await world.announced()) == len(await world.rows()) == 20


async def test_a_print_begun_by_a_process_that_died_is_taken_up(world: World) -> None:
    """Otherwise a kill at the wrong moment leaves a buyer without a document for ever."""
    await world.hear(issued())
    rows = PostgresDocuments(world.database)
    assert len(await rows.claim(world.clock.at, timedelta(seconds=15), 8)) == 1
    assert await world.built.press.print_waiting() == 0
    world.clock.advance(timedelta(seconds=16))
    assert await world.built.press.print_waiting() == 1


# ---------------------------------------------------------------- links


async def make_link(world: World, token: str = TOKEN) -> httpx.Response:
    """Ask for a link to the policy's document."""
    async with world.client(token) as client:
        return await client.post(f"{URL}/link")


async def follow(world: World, url: str) -> httpx.Response:
    """Open a link as someone who has nothing else."""
    async with world.client(None) as client:
        return await client.get(url.removeprefix("https://example.org"))


async def test_a_link_opens_the_document_for_a_week(world: World) -> None:
    """Otherwise a buyer cannot show the policy to a bank without handing over the token to everything they have."""
    await world.told(issued())
    made = await make_link(world)
    assert made.status_code == 201
    assert made.json()["expires_at"] == "2026-11-29T12:00:00Z"
    assert "0166171796" not in made.json()["url"]
    assert "ХХХ 0166171796" in words_of(await follow(world, made.json()["url"]))
    world.clock.advance(timedelta(days=7, seconds=1))
    late = await follow(world, made.json()["url"])
    assert (late.status_code, late.json()["type"]) == (410, "https://example.org/problems/link-expired")


async def test_only_links_of_ours_open(world: World) -> None:
    """Otherwise a link could be made or lengthened by whoever reads our source."""
    await world.told(issued())
    assert (await make_link(world, "another token")).status_code == 404
    url: str = (await make_link(world)).json()["url"]
    changed = [url[:-3] + ("AAA" if url[-3:] != "AAA" else "BBB"), url[:-1], url + "A", url.rpartition("/")[0] + "/x"]
    assert [(await follow(world, one)).status_code for one in changed] == [404] * 4
    world.keyring = Keyring.generate()
    assert (await follow(world, url)).status_code == 404


async def test_a_link_outlives_a_new_key_and_a_storage_that_is_away(world: World) -> None:
    """Otherwise links sent by mail die at the first change of the key, or while a disk is changed."""
    await world.told(issued())
    url = (await make_link(world)).json()["url"]
    world.keyring = world.keyring.with_new_key()
    world.storage.away = True
    assert "ХХХ 0166171796" in words_of(await follow(world, url))


# ---------------------------------------------------------------- the check


async def findings(world: World, *, repair: bool = False) -> list[Finding]:
    """All that the check says."""
    check = world.built.service.check_files
    assert check is not None
    return [finding async for finding in check(repair)]


async def test_a_check_of_whole_documents_finds_nothing(world: World) -> None:
    """Otherwise its alarms would soon be ignored."""
    await world.told(issued())
    await world.told(cancelled(date(2027, 1, 5)))
    assert await findings(world) == []


@pytest.mark.parametrize("harm", ["missing", "altered"])
async def test_the_check_finds_what_is_lost_or_altered_and_prints_it_again(world: World, harm: str) -> None:
    """Otherwise a fault of a disk is found by the buyer who needs the paper at an accident."""
    await world.told(issued())
    (file,) = world.files()
    if harm == "missing":
        file.unlink()
    else:
        file.write_bytes(b"x" + file.read_bytes()[1:])
    (found,) = await findings(world)
    (row,) = await world.rows()
    assert (found.fault, found.id, found.repaired) == (harm, str(row.id), False)
    (repaired,) = await findings(world, repair=True)
    assert repaired.repaired
    assert "with the same bytes" in repaired.detail
    assert await findings(world) == []


async def test_what_cannot_be_printed_again_stays_a_finding(world: World) -> None:
    """Otherwise a loss would look mended."""
    await world.told(issued())
    world.files()[0].unlink()
    world.policies.papers.clear()
    (found,) = await findings(world, repair=True)
    assert (found.fault, found.repaired) == ("gone", False)


async def test_objects_of_nobody_are_found_and_removed_when_they_are_old(world: World) -> None:
    """Otherwise copies of personal data outlive what they belong to."""
    await world.told(issued())
    (file,) = world.files()
    for name, age in (("f" * 64 + ".k1", 2), ("e" * 64 + ".k1", 0)):
        stray = file.parent / name
        stray.write_bytes(b"left by a crash")
        moment = NOW.timestamp() - age * 86400
        os.utime(stray, (moment, moment))
    assert [(one.fault, one.repaired) for one in await findings(world)] == [("unwanted", False)]
    await findings(world, repair=True)
    assert len(world.files()) == 2, "the fresh one may belong to a print on its way"


async def test_prints_that_do_not_get_done_are_told_with_their_reason(world: World) -> None:
    """Otherwise a document that can never be printed is missed by nobody but its buyer."""
    world.policies.papers.clear()
    await world.told(issued())
    assert await findings(world) == []
    world.clock.advance(timedelta(minutes=6))
    (found,) = await findings(world)
    assert (found.fault, found.id) == ("waiting", str(PAPER.policy_id))
    assert "do not know" in found.detail


async def test_a_storage_that_is_away_is_not_a_thousand_missing_documents(world: World) -> None:
    """Otherwise a repair during an outage would print everything anew."""
    await world.told(issued())
    world.storage.away = True
    with pytest.raises(StorageAway):
        await findings(world, repair=True)


async def test_the_document_is_described_as_a_pdf(world: World) -> None:
    """Otherwise clients generated from the description cannot read the answer."""
    async with world.client() as client:
        description = (await client.get("/schema/openapi.json")).json()
    answers = description["paths"]["/api/v1/policies/{number}/document"]["get"]["responses"]
    assert list(answers["200"]["content"]) == ["application/pdf"]
    assert {"200", "404", "409", "410"} <= answers.keys()
