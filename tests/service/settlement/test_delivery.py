"""From a closed register to the insurer's answer: files, signature, sending over HTTP and by mail, and what breaks."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from decimal import Decimal
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, cast

import httpx
import msgspec
import openpyxl
import pytest
from aiosmtpd.smtp import SMTP
from litestar import Litestar
from pypdf import PdfReader
from sqlalchemy.exc import IntegrityError

from insuretech.connectors.register_api import RegisterApi
from insuretech.contracts.events import RegisterAcknowledged, RegisterClosed, RegisterSent
from insuretech.contracts.registers import DisputedLine, Manifest
from insuretech.kit.db import Database
from insuretech.kit.http import NoAnswer, new_client
from insuretech.kit.settings import Settings
from insuretech.sandbox.behaviours import Behaviours
from insuretech.sandbox.domain import Behaviour
from insuretech.sandbox.registers import RegisterDesk
from insuretech.sandbox.repository import StoredBehaviours, StoredRegisters
from insuretech.sandbox.roster import load_roster
from insuretech.sandbox.routes.registers import register_routes
from insuretech.settlement.domain import LineState, Register, RegisterStatus, Task, TaskState
from insuretech.settlement.sending import LEASE, NotPossible
from insuretech.settlement.verifying import verify_folder
from tests.service.settlement.world import AFTER_OCTOBER, OCTOBER, World, cancelled, captured, issued, refunded

SECRET = Settings().sandbox_secret


class Counter(httpx.AsyncBaseTransport):
    """The insurer's API in this process; counts calls and cuts off some of them."""

    def __init__(self, app: Litestar) -> None:
        self._inner = httpx.ASGITransport(cast(Any, app))
        self.calls: list[str] = []
        self.cut: set[int] = set()

    async def call(
        self, method: str, path: str, *, content: bytes | None = None, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        """As ``Outbound.call``; a call that is cut off was carried out all the same."""
        url = f"http://insurer/sandbox/insurers/bystra/registers{path}"
        response = await self.handle_async_request(httpx.Request(method, url, content=content, headers=headers))
        await response.aread()
        self.calls.append(f"{method} {response.status_code}")
        if len(self.calls) in self.cut:
            raise NoAnswer("cut off")
        return response

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self._inner.handle_async_request(request)


class Insurer:
    """The sandbox's side."""

    def __init__(self, world: World, database: Database) -> None:
        self.behaviours = Behaviours(load_roster(), StoredBehaviours(database))
        self.desk = RegisterDesk(StoredRegisters(database), world.clock)
        routes = register_routes(self.desk, self.behaviours, world.clock, SECRET)
        self.api = Counter(Litestar([routes], logging_config=None))
        world.settlement.dispatch.channels = {
            **world.settlement.dispatch.channels,
            "api": RegisterApi(lambda _: cast(Any, self.api), SECRET),
        }


@pytest.fixture
def insurer(world: World, database: Callable[[str], Database]) -> Insurer:
    """Insurers of the sandbox, reached without a socket."""
    return Insurer(world, database("sandbox"))


async def closed(world: World, insurer: str = "bystra") -> Register:
    """October with three policies, one of which was given back in part, closed."""
    policies = [issued(f"{1000 + number}.55", insurer=insurer) for number in range(3)]
    for one in policies:
        await world.hear_all([one, captured(one)])
    await world.hear_all([refunded(policies[0], "500.25"), cancelled(policies[0], "500.25")])
    world.clock.at = AFTER_OCTOBER
    (register,) = await world.settlement.bookkeeping.close(insurer, OCTOBER)
    return register


async def stands(world: World, register: Register) -> tuple[RegisterStatus, TaskState]:
    """Where the register and its task are."""
    found = await world.settlement.books.register(register.id)
    task = await world.settlement.books.task(register.id)
    assert found is not None
    assert task is not None
    return found.status, task.state


async def task_of(world: World, register: Register) -> Task:
    """What is to be done with the register."""
    task = await world.settlement.books.task(register.id)
    assert task is not None
    return task


def kept(world: World) -> list[Path]:
    """Files in storage."""
    return sorted(path for path in (world.settings.home / "documents" / "registers").rglob("*") if path.is_file())


# ---------------------------------------------------------------- files


async def test_files_hold_every_line_and_no_name(world: World) -> None:
    """The insurer books what it reads here; what is missing or personal must not be in it."""
    register = await closed(world)
    assert await world.settlement.dispatch.step()
    assert await stands(world, register) == (RegisterStatus.PREPARED, TaskState.WAITING)
    lists = {path.suffix: path for path in kept(world)}
    assert set(lists) == {".csv", ".xlsx", ".pdf"}
    content = lists[".csv"].read_bytes()
    assert content.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))
    assert [row["line"] for row in rows] == [str(number) for number in range(1, 9)]
    assert sum(Decimal(row["premium"]) for row in rows) == register.premium
    assert sum(Decimal(row["commission"]) for row in rows) == register.commission
    book = openpyxl.load_workbook(lists[".xlsx"])
    lines = list(book["Строки"].iter_rows(values_only=True))
    assert len(lines) == 9
    assert [row[2] for row in lines[1:]] == [row["policy_number"] for row in rows]
    assert sum(Decimal(str(row[8])) for row in lines[1:]) == register.premium
    text = " ".join(PdfReader(lists[".pdf"]).pages[0].extract_text().split())
    assert "Реестр договоров и платежей 2026-10/bystra" in text
    assert "Быстра" in text
    assert "вымышлен" in text


async def test_the_same_register_gives_the_same_files(world: World) -> None:
    """A replica that takes over after a crash must not leave two versions that both look right."""
    register = await closed(world)
    await world.settlement.dispatch.preparation.prepare(register)
    before = kept(world)
    contents = [path.read_bytes() for path in before]
    await world.settlement.dispatch.preparation.prepare(register)
    assert kept(world) == before
    assert [path.read_bytes() for path in before] == contents
    assert not list((world.settings.home / "spool").iterdir())


async def test_strange_words_break_no_file(world: World) -> None:
    """A policy number is the insurer's own text: it must neither break the workbook nor become a formula."""
    policy_ = issued()
    policy_ = msgspec.structs.replace(policy_, number="=<A&B>\x07,\"'")
    await world.hear_all([policy_])
    world.clock.at = AFTER_OCTOBER
    await world.settlement.bookkeeping.close("bystra", OCTOBER)
    await world.settlement.dispatch.step()
    lists = {path.suffix: path for path in kept(world)}
    (row,) = csv.DictReader(io.StringIO(lists[".csv"].read_text("utf-8-sig")))
    assert row["policy_number"] == "'=<A&B>\x07,\"'"
    cell = openpyxl.load_workbook(lists[".xlsx"])["Строки"]["C2"]
    assert (cell.value, cell.data_type) == ("=<A&B>,\"'", "s")


async def test_files_signed_once_are_kept_by_the_database(world: World) -> None:
    """A file exchanged after signing would be one that the insurer never got."""
    await closed(world)
    await world.settlement.dispatch.step()
    for statement in ("update settlement.register_files set sha256 = 'x'", "delete from settlement.signatures"):
        with pytest.raises(IntegrityError):
            await world.execute(statement)


async def test_verification_finds_what_was_changed(world: World) -> None:
    """A signature that nobody checks protects nothing: a file, a missing file, and a strange key are all told."""
    register = await closed(world)
    verify = world.settlement.verification.verify
    assert [check.right for check in await verify(register)] == [True, False]
    await world.settlement.dispatch.step()
    assert all(check.right for check in await verify(register))
    content = next(path for path in kept(world) if path.suffix == ".csv")
    content.write_bytes(content.read_bytes().replace(b"1000.55", b"9000.55"))
    next(path for path in kept(world) if path.suffix == ".pdf").unlink()
    wrong = {check.what for check in await verify(register) if not check.right}
    assert wrong == {"register-2026-10-bystra.csv", "register-2026-10-bystra.pdf"}


async def test_keys_are_shared_rotated_and_reencrypted(world: World) -> None:
    """Replicas that signed with keys of their own, or a lost old key, would make registers that cannot be verified."""
    register = await closed(world)
    first, second = await asyncio.gather(world.settlement.seal.key(), world.settlement.seal.key())
    assert first == second
    await world.settlement.dispatch.step()
    world.clock.advance(timedelta(minutes=1))
    assert await world.settlement.seal.new_key() == await world.settlement.seal.key() != first
    assert all(check.right for check in await world.settlement.verification.verify(register))
    world.settlement.seal.keyring._take(*_with_new_key(world))
    assert await world.settlement.seal.reencrypt() == 2
    assert await world.settlement.seal.reencrypt() == 0
    assert len(world.settlement.seal.sign(await world.settlement.seal.key(), b"message")) == 64


def _with_new_key(world: World) -> tuple[str, dict[str, bytes]]:
    ring = world.keyring.with_new_key()
    return ring.current, ring._keys


# ---------------------------------------------------------------- over HTTP


async def test_a_register_goes_out_and_is_acknowledged(world: World, insurer: Insurer) -> None:
    """The whole way without a person, and told to others at every station once."""
    register = await closed(world)
    while await world.settlement.dispatch.step():
        if (await task_of(world, register)).state is TaskState.SENT:
            world.clock.advance(timedelta(seconds=30))
    assert await stands(world, register) == (RegisterStatus.ACKNOWLEDGED, TaskState.ACKNOWLEDGED)
    told = await world.announced()
    assert [type(event) for event in told] == [RegisterClosed, RegisterSent, RegisterAcknowledged]
    received = await insurer.desk.books.register("bystra", register.id)
    assert received is not None
    assert msgspec.json.decode(received.manifest, type=Manifest).payable == register.payable
    lines = await world.settlement.books.lines("bystra", OCTOBER, None, 100)
    assert {state for _, state in lines} == {LineState.ACKNOWLEDGED}


async def test_a_break_anywhere_costs_a_repeat_and_no_double(world: World, insurer: Insurer) -> None:
    """Lost answers are of every day; the insurer must end up with each byte once."""
    register = await closed(world)
    for broken in range(1, 6):
        insurer.api.cut = {len(insurer.api.calls) + broken}
        for _ in range(3):
            await world.settlement.dispatch.step()
            world.clock.advance(timedelta(minutes=10))
        if (await task_of(world, register)).state is TaskState.SENT:
            break
    insurer.api.cut = set()
    while await world.settlement.dispatch.step():
        world.clock.advance(timedelta(seconds=30))
    assert await stands(world, register) == (RegisterStatus.ACKNOWLEDGED, TaskState.ACKNOWLEDGED)
    sizes = await insurer.desk.books.sizes(register.id)
    files = await world.settlement.books.files(register)
    assert sizes == {one.file.sha256: one.file.size for one in files}


async def test_an_insurer_that_is_down_is_tried_again_and_then_left_to_a_person(world: World, insurer: Insurer) -> None:
    """Bounded tries, with the reason to be seen; a push by hand begins anew when it is back."""
    await insurer.behaviours.set("bystra", Behaviour(outcome="down"))
    register = await closed(world)
    for _ in range(30):
        await world.settlement.dispatch.step()
        world.clock.advance(timedelta(hours=1))
    task = await task_of(world, register)
    assert (task.state, task.due_at) == (TaskState.FAILED, None)
    assert "503" in (task.error or "")
    await insurer.behaviours.set("bystra", Behaviour())
    task = await world.settlement.dispatch.push(register.id)
    assert task.state is TaskState.SENT


async def test_two_replicas_do_not_send_the_same_register(world: World, insurer: Insurer) -> None:
    """While one is at it the task is leased; after its death the lease runs out and another goes on."""
    await closed(world)
    results = await asyncio.gather(*(world.settlement.dispatch.step() for _ in range(3)))
    assert sorted(results) == [False, False, True]
    task = await world.settlement.books.claim(world.clock.now(), LEASE)  # taken by one that is killed now
    assert task is not None
    assert not await world.settlement.dispatch.step()
    world.clock.advance(LEASE)
    assert await world.settlement.dispatch.step()
    assert "POST 200" in insurer.api.calls


async def test_what_was_altered_on_the_way_is_refused(world: World, insurer: Insurer) -> None:
    """The insurer checks hashes and signature; a refusal is final and waits for a person."""
    assert insurer.behaviours["bystra"].outcome == "offer"
    register = await closed(world)
    await world.settlement.dispatch.step()
    content = next(path for path in kept(world) if path.suffix == ".csv")
    content.write_bytes(content.read_bytes().replace(b"1000.55", b"9000.55"))
    await world.settlement.dispatch.step()
    task = await task_of(world, register)
    assert task.state is TaskState.FAILED
    assert "not the file that was signed" in (task.error or "")


# ---------------------------------------------------------------- by mail


class Letters:
    """A mail server that keeps what it gets; its first answers may be refusals."""

    def __init__(self) -> None:
        self.letters: list[EmailMessage] = []
        self.answers: list[str] = []

    async def handle_DATA(self, _server: object, _session: object, envelope: Any) -> str:  # noqa: N802 - its name
        if self.answers:
            return self.answers.pop(0)
        self.letters.append(message_from_bytes(envelope.content, policy=policy.default))
        return "250 OK"


@asynccontextmanager
async def mail(letters: Letters) -> AsyncIterator[str]:
    """A mail server on a free port; gives its address."""
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(letters), "127.0.0.1", 0)
    try:
        yield f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await server.wait_closed()


async def test_a_register_goes_out_by_mail(database: Callable[[str], Database], tmp_path: Path) -> None:
    """An insurer without an API gets a letter it can check by itself; what was refused for now goes again."""
    letters = Letters()
    letters.answers = ["451 later"]
    async with mail(letters) as url, new_client() as http:
        settings = Settings(home=tmp_path, public_url="https://example.org", smtp_url=url)
        world = World(database("settlement"), tmp_path, http, settings)
        register = await closed(world, "tihohod")
        for _ in range(3):
            await world.settlement.dispatch.step()
            world.clock.advance(timedelta(minutes=1))
    assert (await stands(world, register))[0] is RegisterStatus.SENT
    (letter,) = letters.letters
    assert letter["Message-ID"] == f"<register.{register.id}@example.org>"
    assert letter["To"] == "registers@tihohod.example"
    folder = tmp_path / "received"
    folder.mkdir()
    for part in letter.iter_attachments():
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        (folder / (part.get_filename() or "")).write_bytes(content)
    key = await world.settlement.seal.key()
    assert [check.right for check in verify_folder(folder, key.public_key)] == [True] * 4
    assert not verify_folder(folder, bytes(32))[-1].right


async def test_a_letter_for_nobody_waits_for_a_person(database: Callable[[str], Database], tmp_path: Path) -> None:
    """An address that is wrong for good is not tried for a day; without a mail server the reason is to be read."""
    letters = Letters()
    letters.answers = ["550 no such user"]
    async with mail(letters) as url, new_client() as http:
        settings = Settings(home=tmp_path, public_url="https://example.org", smtp_url=url)
        world = World(database("settlement"), tmp_path, http, settings)
        register = await closed(world, "tihohod")
        await world.settlement.dispatch.step()
        await world.settlement.dispatch.step()
    assert (await task_of(world, register)).error == "the mail server answers 550"
    assert (await stands(world, register)) == (RegisterStatus.PREPARED, TaskState.FAILED)


async def test_people_acknowledge_dispute_and_settle(world: World, insurer: Insurer) -> None:
    """Answers by letter are noted by hand; a disputed line stays apart until its dispute has ended."""
    register = await closed(world)
    dispatch, books = world.settlement.dispatch, world.settlement.books
    with pytest.raises(NotPossible, match="not sent"):
        await dispatch.acknowledge(register)
    await dispatch.step()
    await dispatch.step()
    found = await books.register(register.id)
    assert found is not None
    line = (await world.lines())[0]
    await dispatch.acknowledge(found, [DisputedLine(line_id=line.id, reason="another premium")])
    disputed = await books.lines("bystra", OCTOBER, LineState.DISPUTED, 10)
    assert [one.id for one, _ in disputed] == [line.id]
    assert insurer.api.calls
    await dispatch.settle(found)
    settled = await books.lines("bystra", OCTOBER, LineState.SETTLED, 10)
    assert len(settled) == register.lines - 1
    async with books.transaction() as store:
        after = await books.register(register.id)
        assert after is not None
        assert not await store.move_line(after, settled[0][0].id, LineState.DISPUTED, "too late", AFTER_OCTOBER)
        assert await store.move_line(after, line.id, LineState.SETTLED, "agreed", AFTER_OCTOBER)


async def test_a_dispute_about_anothers_line_is_refused(world: World, insurer: Insurer) -> None:
    """A slip in an answer must not touch a line that was never told to this insurer."""
    register = await closed(world)
    await world.hear(issued(insurer="tihohod"), AFTER_OCTOBER)
    await world.settlement.dispatch.step()
    await world.settlement.dispatch.step()
    assert insurer.api.calls
    found = await world.settlement.books.register(register.id)
    assert found is not None
    strange = (await world.lines())[-1]
    with pytest.raises(NotPossible, match="is not of"):
        await world.settlement.dispatch.acknowledge(found, [DisputedLine(line_id=strange.id, reason="?")])
    assert (await stands(world, register))[0] is RegisterStatus.SENT


async def test_storage_that_is_away_delays_and_loses_nothing(world: World) -> None:
    """A disk that is full on the first of the month must not stop the closing."""
    register = await closed(world)
    blocked = world.settings.home / "documents"
    blocked.write_text("a file where a folder must be")
    await world.settlement.dispatch.step()
    assert await stands(world, register) == (RegisterStatus.CLOSED, TaskState.PREPARING)
    blocked.unlink()
    world.clock.advance(timedelta(minutes=1))
    await world.settlement.dispatch.step()
    assert await stands(world, register) == (RegisterStatus.PREPARED, TaskState.WAITING)


async def test_uncollected_policies_are_told(world: World) -> None:
    """A policy concluded while the hold was lost costs us its premium until somebody acts."""
    paid, unpaid, given_back = issued("100.00"), issued("200.00"), issued("300.00")
    await world.hear_all([paid, captured(paid), unpaid, refunded(unpaid, voided=True)])
    await world.hear_all([given_back, captured(given_back), refunded(given_back), cancelled(given_back)])
    (found,) = await world.settlement.books.uncollected(AFTER_OCTOBER, None, 10)
    assert (found.policy_number, found.premium, found.collected) == (unpaid.number, Decimal(200), Decimal(0))
    assert await world.settlement.books.uncollected(AFTER_OCTOBER, AFTER_OCTOBER.date().replace(day=1), 10) == []
