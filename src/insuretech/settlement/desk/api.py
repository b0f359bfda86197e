"""The desk's JSON API under ``/staff/api/v1``: the same as its pages, for programs."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal, TypeVar
from uuid import UUID

import msgspec
from litestar import Request, Response, Router, delete, get, post
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.response import Stream

from insuretech.kit.bodies import BODY_LIMITS
from insuretech.kit.problems import BadRequest, NotFound, responses
from insuretech.kit.web import bearer_token
from insuretech.settlement.desk.visits import caller, visit_of
from insuretech.settlement.reconciliation.commands import Deed, Reconciliation
from insuretech.settlement.reconciliation.domain.life import Status
from insuretech.settlement.reconciliation.domain.matching import Kind
from insuretech.settlement.reconciliation.files import LARGEST_FILE
from insuretech.settlement.reconciliation.overview import Case, Comparison, Overview
from insuretech.settlement.reconciliation.queries import Filter
from insuretech.settlement.reconciliation.records import Discrepancy, MonthState, Statement
from insuretech.settlement.reconciliation.spreadsheet import csv_pieces
from insuretech.settlement.staff.commands import Staff
from insuretech.settlement.staff.domain import SESSION_LASTS, Person, Role

AnyRequest = Request[Any, Any, Any]
T = TypeVar("T")

UPLOAD_SECONDS = 600.0
FILE_LIMITS = {BODY_LIMITS: (LARGEST_FILE + 64 * 1024, UPLOAD_SECONDS)}
MONTH = re.compile(r"(20\d\d)-(0[1-9]|1[0-2])\Z")
Sort = Literal["number", "difference", "changed"]


class SignIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The one-time token of a sign-in link."""

    token: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class Session(msgspec.Struct, frozen=True):
    """A session for a program: ``token`` goes into ``Authorization: Bearer``."""

    token: str
    name: str
    role: Role
    expires_at: datetime


class Me(msgspec.Struct, frozen=True):
    """Who is signed in; ``csrf_token`` goes into ``X-CSRF-Token`` where a cookie and no bearer token signs in."""

    name: str
    role: Role
    csrf_token: str


class Months(msgspec.Struct, frozen=True):
    """Months in which anything happened, as ``2026-10``, the newest first."""

    months: list[str]


class Parties(msgspec.Struct, frozen=True):
    """Every party of a month and where it stands."""

    parties: list[MonthState]


class Discrepancies(msgspec.Struct, frozen=True):
    """A part of a list; ``total`` counts all that are meant."""

    discrepancies: list[Discrepancy]
    total: int


@dataclass(frozen=True)
class Desk:
    """What pages and API of the desk work with."""

    staff: Staff
    reconciliation: Reconciliation
    overview: Overview
    wake: Any
    """Tells the reader of files that one has come."""

    async def upload(self, party: str, month: date, name: str, content: bytes, by: Person) -> tuple[Statement, bool]:
        """Take a file in and have it read; the statement, and whether the file was known."""
        received = await self.reconciliation.receive(party, month, name, content, by=by.name, source="upload")
        return await self._received(received.statement, by, "uploaded", known=received.known)

    async def fetch(self, party: str, month: date, by: Person) -> tuple[Statement, bool]:
        """Have the other side's file fetched and read."""
        received = await self.reconciliation.fetch(party, month, by=by.name)
        return await self._received(received.statement, by, "fetched", known=received.known)

    async def _received(self, statement: Statement, by: Person, deed: str, *, known: bool) -> tuple[Statement, bool]:
        self.wake()
        await self.staff.note(by.name, deed, str(statement.id), f"{statement.party} {statement.month:%Y-%m}")
        return statement, known

    async def compare(self, party: str, month: date, by: Person) -> Statement:
        compared = await self.reconciliation.compare_again(party, month)
        await self.staff.note(by.name, "compared", str(compared.id), f"{party} {month:%Y-%m}")
        return compared

    async def act(self, discrepancy: UUID, deed: Deed, by: Person) -> None:
        await self.reconciliation.act(discrepancy, deed, by=by.name)
        await self.staff.note(by.name, deed.action, str(discrepancy))


def month_of(text: str) -> date:
    """``2026-10`` as its first day. Raises ``NotFound``."""
    found = MONTH.match(text)
    if found is None:
        raise NotFound
    return date(int(found[1]), int(found[2]), 1)


def filter_of(
    party: str | None,
    month: str | None,
    kind: list[str] | None,
    status: list[str] | None,
    assignee: str | None,
    number: str,
) -> Filter:
    """What narrows a list, as it stands in an address. Raises ``BadRequest``."""
    kinds, statuses = tuple(kind or ()), tuple(status or ())
    if set(kinds) - {each.value for each in Kind} or set(statuses) - {each.value for each in Status}:
        raise BadRequest("There is no such kind or status of a discrepancy.")
    return Filter(
        party=party or None,
        month=month_of(month) if month else None,
        kinds=kinds,
        statuses=statuses,
        assignee=assignee or None,
        number=number.strip()[:64],
    )


_READS = responses(401, 403)
_CHANGES = responses(401, 403, 409, 413, 415, 422)
_MONTH = "`month` as 2026-10"


def api_routes(desk: Desk) -> Router:
    """Serves ``/staff/api/v1``."""
    handlers = [*_sessions(desk), *_files(desk), *_lists(desk), *_cases(desk)]
    return Router("/staff/api/v1", route_handlers=handlers, tags=["staff"])


def _sessions(desk: Desk) -> list[Any]:
    @post(
        "/session",
        status_code=201,
        responses=responses(410, 413, 415, 422),
        summary="Sign a program in by a link's token",
    )
    async def sign_in(data: JSONBody[SignIn]) -> Session:
        token, person = await desk.staff.sign_in(data.token)
        return Session(token, person.name, person.role, datetime.now(UTC) + SESSION_LASTS)

    @delete("/session", status_code=204, responses=_READS, summary="Sign out")
    async def sign_out(request: AnyRequest) -> None:
        person = await caller(request, desk.staff, changes=False)
        token = bearer_token(request)
        if token is None:
            visit_of(request).check_proof(request.headers.get("x-csrf-token", ""))
        await desk.staff.sign_out(token or visit_of(request).session, person)

    @get("/me", responses=_READS, summary="Who is signed in")
    async def me(request: AnyRequest) -> Me:
        person = await caller(request, desk.staff, changes=False)
        return Me(person.name, person.role, visit_of(request).proof)

    return [sign_in, sign_out, me]


def _files(desk: Desk) -> list[Any]:
    @post(
        "/reconciliations/{party:str}/{month:str}/statements",
        status_code=201,
        responses=_CHANGES,
        opt=FILE_LIMITS,
        summary="Bring the other side's file for a month in",
        description=f"The body is the file itself, CSV or XLSX; {_MONTH}. A file that came before is answered with 201 "
        "and the statement it was taken for.",
    )
    async def upload(
        request: AnyRequest, party: FromPath[str], month: FromPath[str], name: FromQuery[str] = "statement"
    ) -> Statement:
        person = await caller(request, desk.staff, changes=True)
        statement, _ = await desk.upload(party, month_of(month), name, await request.body(), person)
        return statement

    @post(
        "/reconciliations/{party:str}/{month:str}/fetch",
        status_code=201,
        responses=responses(401, 403, 409, 502),
        summary="Have the other side's own file fetched",
        description=f"{_MONTH}.",
    )
    async def fetch(request: AnyRequest, party: FromPath[str], month: FromPath[str]) -> Statement:
        person = await caller(request, desk.staff, changes=True)
        statement, _ = await desk.fetch(party, month_of(month), person)
        return statement

    @post(
        "/reconciliations/{party:str}/{month:str}/comparison",
        status_code=200,
        responses=responses(401, 403, 409),
        summary="Compare the month with the current file again",
        description=f"Takes our lines as they are now; {_MONTH}.",
    )
    async def compare(request: AnyRequest, party: FromPath[str], month: FromPath[str]) -> Statement:
        person = await caller(request, desk.staff, changes=True)
        return await desk.compare(party, month_of(month), person)

    @get("/statements/{statement_id:uuid}", responses=_READS, summary="A file and what became of it")
    async def statement(request: AnyRequest, statement_id: FromPath[UUID]) -> Statement:
        await caller(request, desk.staff, changes=False)
        return await desk.overview.statement(statement_id)

    return [upload, fetch, compare, statement]


def _lists(desk: Desk) -> list[Any]:
    @get("/reconciliations", responses=_READS, summary="Months in which anything happened")
    async def months(request: AnyRequest) -> Months:
        await caller(request, desk.staff, changes=False)
        return Months([f"{month:%Y-%m}" for month in await desk.overview.months()])

    @get("/reconciliations/{month:str}", responses=_READS, summary="Every party of a month", description=f"{_MONTH}.")
    async def month_states(request: AnyRequest, month: FromPath[str]) -> Parties:
        await caller(request, desk.staff, changes=False)
        return Parties(await desk.overview.month(month_of(month)))

    @get(
        "/reconciliations/{party:str}/{month:str}",
        responses=_READS,
        summary="A month with one party",
        description=f"{_MONTH}.",
    )
    async def comparison(request: AnyRequest, party: FromPath[str], month: FromPath[str]) -> Comparison:
        await caller(request, desk.staff, changes=False)
        return await desk.overview.comparison(party, month_of(month))

    return [months, month_states, comparison]


def _cases(desk: Desk) -> list[Any]:
    @get("/discrepancies", responses=_READS, summary="Discrepancies, a page at a time")
    async def discrepancies(  # noqa: PLR0913, PLR0917 - one for each thing that narrows a list
        request: AnyRequest,
        party: FromQuery[str | None] = None,
        month: FromQuery[str | None] = None,
        kind: FromQuery[list[str] | None] = None,
        status: FromQuery[list[str] | None] = None,
        assignee: FromQuery[str | None] = None,
        number: FromQuery[str] = "",
        sort: FromQuery[Sort] = "number",
        offset: Annotated[int, QueryParameter(ge=0, le=10_000_000)] = 0,
        limit: Annotated[int, QueryParameter(ge=1, le=500)] = 100,
    ) -> Discrepancies:
        await caller(request, desk.staff, changes=False)
        asked = filter_of(party, month, kind, status, assignee, number)
        page = await desk.overview.page(asked, sort=sort, offset=offset, limit=limit)
        return Discrepancies(page.items, page.total)

    @get("/discrepancies/{discrepancy_id:uuid}", responses=_READS, summary="One discrepancy with its trail")
    async def case(request: AnyRequest, discrepancy_id: FromPath[UUID]) -> Case:
        person = await caller(request, desk.staff, changes=False)
        return await desk.overview.case(discrepancy_id, person.name)

    @post(
        "/discrepancies/{discrepancy_id:uuid}/deeds",
        status_code=200,
        responses=_CHANGES,
        summary="Do something to a discrepancy",
        description="`version` is that of the discrepancy you saw: when somebody was quicker, the answer is 409.",
    )
    async def act(request: AnyRequest, discrepancy_id: FromPath[UUID], data: JSONBody[Deed]) -> Case:
        person = await caller(request, desk.staff, changes=True)
        await desk.act(discrepancy_id, data, person)
        return await desk.overview.case(discrepancy_id, person.name)

    return [discrepancies, case, act]


def csv_answer(desk: Desk, asked: Filter) -> Response[Any]:
    """The discrepancies that are meant as a file."""
    name = "-".join(("discrepancies", asked.party or "all", f"{asked.month:%Y-%m}" if asked.month else "all"))

    async def pieces() -> AsyncIterator[bytes]:
        async for piece in csv_pieces(desk.overview.every(asked)):
            yield piece

    headers = {"Content-Disposition": f'attachment; filename="{name}.csv"', "Cache-Control": "private, no-store"}
    return Stream(pieces, media_type="text/csv", headers=headers)
