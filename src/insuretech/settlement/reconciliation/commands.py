"""What can be done: take a file in, read and compare it, compare again, and work on what was found."""

from dataclasses import dataclass
from datetime import date, timedelta
from hashlib import sha256
from typing import Literal
from uuid import UUID

import msgspec
import structlog

from insuretech.contracts.statements import SourceUnavailable, StatementSource
from insuretech.kit.clock import Clock
from insuretech.kit.files import FileAltered, FileMissing, FileVault, KeptFile
from insuretech.kit.ids import new_id
from insuretech.kit.problems import FieldError, Invalid, NotFound, Problem
from insuretech.settlement.reconciliation.domain.columns import columns_of
from insuretech.settlement.reconciliation.domain.life import (
    NEEDS_WORDS,
    Action,
    NotPossibleNow,
    Resolution,
    Status,
    after,
)
from insuretech.settlement.reconciliation.domain.reading import Fault
from insuretech.settlement.reconciliation.files import LARGEST_FILE
from insuretech.settlement.reconciliation.intake import TIME_LIMIT, reading
from insuretech.settlement.reconciliation.ports import ReconciliationBooks, ReconciliationStore
from insuretech.settlement.reconciliation.reader import Report
from insuretech.settlement.reconciliation.records import Discrepancy, Source, Statement

log = structlog.get_logger(__name__)

_LATER = timedelta(seconds=15)
MOST_ATTEMPTS = 3
"""A file whose reading ends the process three times is refused instead of being tried for ever."""
LONGEST_TEXT = 4000


class FileTooLarge(Problem):
    """A statement is over the limit."""

    status = 413
    slug = "statement-too-large"
    title = "The file is larger than we take"


class StatementUnavailable(Problem):
    """The other side's file cannot be fetched now."""

    status = 502
    slug = "statement-unavailable"
    title = "The other side does not give its file"


class NothingToCompare(Problem):
    """There is no statement for this month."""

    status = 409
    slug = "no-statement"
    title = "There is no statement of the other side for this month yet"


class Received(msgspec.Struct, frozen=True):
    """A statement, and whether this very file had come before."""

    statement: Statement
    known: bool


class Deed(msgspec.Struct, frozen=True, kw_only=True):
    """What a person does to a discrepancy; ``version`` is the one they saw, None if they do not mind."""

    action: Literal["comment", "take", "release", "resolve", "write_off", "reopen", "undo"]
    text: str = ""
    resolution: Resolution | None = None
    version: int | None = None


class _HasFaults(Exception):
    """Ends the transaction in which lines of a faulty file were kept."""


@dataclass
class Reconciliation:
    """Every change of the books of reconciliation."""

    books: ReconciliationBooks
    vault: FileVault
    source: StatementSource
    clock: Clock
    parties: tuple[str, ...]

    async def receive(self, party: str, month: date, name: str, content: bytes, *, by: str, source: Source) -> Received:
        """Keep a file and let it be read soon; the very same file is recognised. Raises ``NotFound``."""
        self._check_party(party)
        month = month.replace(day=1)
        if len(content) > LARGEST_FILE:
            raise FileTooLarge(f"At most {LARGEST_FILE // 1024**2} MB.")
        digest = sha256(content).hexdigest()
        async with self.books.transaction() as store:
            known = await store.known_file(party, month, digest)
            if known is not None:
                return Received(await self._again(store, known), known=True)
        kept = await self.vault.keep(content)
        statement = Statement(
            id=new_id(),
            party=party,
            month=month,
            state="received",
            version=None,
            file_name=_tame(name) or "statement",
            size=kept.size,
            sha256=kept.sha256,
            storage_key=kept.storage_key,
            source=source,
            received_by=by,
            received_at=self.clock.now(),
        )
        async with self.books.transaction() as store:
            await store.lock(party, month)
            known = await store.known_file(party, month, digest)
            if known is not None:
                return Received(known, known=True)
            await store.add_statement(statement)
        return Received(statement, known=False)

    async def fetch(self, party: str, month: date, *, by: str) -> Received:
        """Ask the other side for its file. Raises ``StatementUnavailable``."""
        self._check_party(party)
        if not self.source.fetches(party):
            raise StatementUnavailable("We know no address where this file could be had: upload it.")
        try:
            file = await self.source.fetch(party, month)
        except SourceUnavailable as error:
            raise StatementUnavailable(str(error)) from error
        return await self.receive(party, month, file.name, file.content, by=by, source="fetch")

    async def _again(self, store: ReconciliationStore, known: Statement) -> Statement:
        """A refused file is read again when the ways of reading have changed since."""
        if known.state == "refused" and known.columns_version != columns_of(known.party).version:
            await store.read_anew(known.id)
            return msgspec.structs.replace(known, state="received", faults=[], fault_count=0)
        return known

    # ------------------------------------------------------------ reading

    async def read_next(self) -> bool:
        """Read one file that waits; False when there is none."""
        now = self.clock.now()
        statement = await self.books.claim(now, now + timedelta(seconds=TIME_LIMIT + 60))
        if statement is None:
            return False
        try:
            await self._take_up(statement)
        except BaseException:  # a stop of the program, too
            await self.books.postpone(statement, self.clock.now() + _LATER)
            raise
        return True

    async def _take_up(self, statement: Statement) -> None:
        if statement.attempts > MOST_ATTEMPTS:
            await self._refuse(statement, _whole_file("unreadable", "reading this file has failed several times"))
            return
        file = KeptFile(storage_key=statement.storage_key, sha256=statement.sha256, size=statement.size)
        try:
            content = await self.vault.read(file)
        except (FileMissing, FileAltered):
            await self._refuse(statement, _whole_file("lost", "the file we kept is gone or altered: upload it again"))
            return
        await self._read(statement, content)

    async def _read(self, statement: Statement, content: bytes) -> None:
        columns = columns_of(statement.party)
        report = None
        try:
            async with (
                reading(content, statement.party, statement.id) as opened,
                self.books.transaction() as store,
            ):
                await store.lock(statement.party, statement.month)
                await store.take_lines(opened.lines())
                report = await opened.report()
                _refuse_faulty(report)
                following = await store.succeed(self._with(statement, report))
                await store.compare(following, columns, self.clock.now())
        except _HasFaults:
            if report is not None:
                await self._refuse(statement, report)

    async def _refuse(self, statement: Statement, report: Report) -> None:
        log.warning("statement.refused", party=statement.party, month=str(statement.month), faults=report.fault_count)
        async with self.books.transaction() as store:
            await store.refuse(self._with(statement, report))

    def _with(self, statement: Statement, report: Report) -> Statement:
        return msgspec.structs.replace(statement, **msgspec.structs.asdict(report), read_at=self.clock.now())

    async def compare_again(self, party: str, month: date) -> Statement:
        """Hold our lines as they are now against the current statement. Raises ``NothingToCompare``."""
        self._check_party(party)
        async with self.books.transaction() as store:
            await store.lock(party, month)
            current = await store.current(party, month)
            if current is None:
                raise NothingToCompare
            return await store.compare(current, columns_of(party), self.clock.now())

    def _check_party(self, party: str) -> None:
        if party not in self.parties:
            raise NotFound

    # ------------------------------------------------------------ working

    async def act(self, discrepancy_id: UUID, deed: Deed, *, by: str) -> None:
        """Do something to a discrepancy and note it. Raises ``NotFound``, ``Invalid`` or ``NotPossibleNow``."""
        action, text = Action(deed.action), deed.text.strip()
        _check_words(action, text, deed.resolution)
        async with self.books.transaction() as store:
            found = await store.discrepancy(discrepancy_id)
            if found is None:
                raise NotFound
            if deed.version is not None and deed.version != found.version:
                raise NotPossibleNow("It was changed since you looked at it: look again.")
            status = await self._next(store, found, action, by)
            now = self.clock.now()
            if action is not Action.COMMENT:
                await store.change(
                    found,
                    status=status,
                    assignee=_assignee(found, action, by),
                    resolution=deed.resolution if action is Action.RESOLVE else None,
                    now=now,
                )
            await store.note(found, author=by, action=action, status=status, text=text, now=now)

    async def _next(self, store: ReconciliationStore, found: Discrepancy, action: Action, by: str) -> Status:
        if action is not Action.UNDO:
            return after(action, found.status)
        last = await store.last_step(found.id)
        if last is None or last.author != by or last.action is Action.UNDO or last.status != found.status:
            raise NotPossibleNow("Only your own last step can be taken back; reopen it instead.")
        return last.status_before


def _refuse_faulty(report: Report) -> None:
    if report.fault_count:
        raise _HasFaults


def _whole_file(code: str, detail: str) -> Report:
    return Report(columns_version="", faults=[Fault(line=0, code=code, detail=detail)], fault_count=1)


def _assignee(found: Discrepancy, action: Action, by: str) -> str | None:
    """Who takes a thing has it; who ends it without having taken it had it, too."""
    if action is Action.RELEASE:
        return None
    if action in {Action.TAKE, Action.RESOLVE, Action.WRITE_OFF}:
        return by if action is Action.TAKE else found.assignee or by
    return found.assignee


def _check_words(action: Action, text: str, resolution: Resolution | None) -> None:
    faults = []
    if action in NEEDS_WORDS and not text:
        faults.append(FieldError(pointer="/text", code="required", detail="Say in a sentence why."))
    if len(text) > LONGEST_TEXT:
        faults.append(FieldError(pointer="/text", code="maxLength", detail=f"At most {LONGEST_TEXT} characters."))
    if action is Action.RESOLVE and resolution in {None, "gone"}:
        faults.append(FieldError(pointer="/resolution", code="required", detail="Say how it was resolved."))
    if faults:
        raise Invalid(errors=faults)


def _tame(name: str) -> str:
    """A file's name as it may be shown: without folders and without what is not printable."""
    last = name.replace("\\", "/").rpartition("/")[2]
    return "".join(letter for letter in last if letter.isprintable())[:200]
