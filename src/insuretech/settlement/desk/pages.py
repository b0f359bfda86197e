"""The desk's pages: what they show and what their forms do."""

from dataclasses import dataclass
from datetime import date
from typing import Any, Literal, get_args
from urllib.parse import urlencode
from uuid import UUID

import msgspec
from litestar import Response
from litestar.datastructures import UploadFile

from insuretech.kit.clock import Clock, legal_date
from insuretech.kit.files import KeptFile
from insuretech.kit.problems import BadRequest, FieldError, Invalid, Problem
from insuretech.settlement.desk.api import Desk, csv_answer, filter_of, month_of
from insuretech.settlement.desk.views import draw
from insuretech.settlement.desk.visits import StaffVisit, away, inside, signed_in, visit_of
from insuretech.settlement.reconciliation.commands import Deed, StatementUnavailable
from insuretech.settlement.reconciliation.domain.life import NotPossibleNow, Resolution
from insuretech.settlement.reconciliation.files import LARGEST_FILE
from insuretech.settlement.reconciliation.queries import SORTS, Filter
from insuretech.settlement.staff.commands import check_works
from insuretech.settlement.staff.domain import Person

PER_PAGE = 50
SHOWN_FAULTS = 200
Fields = dict[str, str]
Page = Response[Any]


class Told(msgspec.Struct, frozen=True):
    """What a page says about the last form."""

    kind: Literal["good", "warn", "bad", "info"]
    title: str
    text: str


@dataclass(frozen=True)
class Pages:
    """Everything under ``/staff`` that is made for people."""

    desk: Desk
    clock: Clock

    async def visit(self, request: Any) -> tuple[StaffVisit, Person]:
        """Somebody who is signed in. Raises ``SignInNeeded``."""
        visit = await signed_in(request, self.desk.staff)
        if visit.person is None:
            raise BadRequest
        return visit, visit.person

    async def form(self, request: Any) -> tuple[StaffVisit, Person, Any]:
        """A form of somebody who may change things. Raises ``NotYourRole`` or ``FormNotFromHere``."""
        visit, person = await self.visit(request)
        form = await request.form()
        visit.check_proof(_text(form, "csrf"))
        check_works(person)
        return visit, person, form

    # ------------------------------------------------------------ signing in

    async def invitation(self, request: Any, token: str) -> Page:
        """Says whom a link is for. Only the button uses it up: programs that look at links do not sign in."""
        visit = visit_of(request)
        return draw(visit, "sign_in.html", {"invited": await self.desk.staff.invited(token), "token": token})

    async def sign_in(self, request: Any) -> Page:
        visit = visit_of(request)
        visit.check_origin()
        session, _ = await self.desk.staff.sign_in(_text(await request.form(), "token"))
        visit.keep_session(session)
        return away(visit, "/staff/settlement")

    async def sign_out(self, request: Any) -> Page:
        visit, person = await self.visit(request)
        visit.check_proof(_text(await request.form(), "csrf"))
        await self.desk.staff.sign_out(visit.session, person)
        visit.keep_session("")
        return away(visit, "/staff/sign-in")

    def signed_out(self, request: Any) -> Page:
        visit = visit_of(request)
        say = visit.wording.say
        texts = [
            say("This desk is for staff. To sign in, open the personal link you were given."),
            say("Have none, or it is too old? Whoever runs the marketplace makes a new one."),
        ]
        return draw(visit, "message.html", {"title": say("You are not signed in"), "texts": texts, "trace": ""})

    # ------------------------------------------------------------ months

    async def months(self, request: Any, month: str) -> Page:
        visit, _ = await self.visit(request)
        known = await self.desk.overview.months()
        this = legal_date(self.clock.now()).replace(day=1)
        chosen = month_of(month) if month else known[0] if known else this
        states = await self.desk.overview.month(chosen)
        shown = [state for state in states if state.our_lines or state.statement or state.discrepancies]
        context = {
            "month": chosen,
            "months": sorted({*known, chosen, this}, reverse=True),
            "states": shown if known else [],
            "waiting": sum(state.waiting for state in states),
            "names": self.desk.overview.name,
        }
        return draw(visit, "months.html", context, section="months")

    async def comparison(
        self, visit: StaffVisit, party: str, month: date, told: Told | None = None, status: int = 200
    ) -> Page:
        found = await self.desk.overview.comparison(party, month)
        context = {
            "name": self.desk.overview.name(party),
            "month": month,
            "state": found.state,
            "kinds": found.kinds,
            "statements": found.statements,
            "current": next((file for file in found.statements if file.state == "current"), None),
            "fetches": self.desk.reconciliation.source.fetches(party),
            "largest": LARGEST_FILE // 1024**2,
            "told": told,
        }
        return draw(visit, "comparison.html", context, section="months", status=status)

    async def show_comparison(self, request: Any, party: str, month: str) -> Page:
        visit, _ = await self.visit(request)
        told = None
        if request.query_params.get("compared"):
            say = visit.wording.say
            told = Told("good", say("Compared again"), say("Our lines as they are now were held against their file."))
        return await self.comparison(visit, party, month_of(month), told)

    async def upload(self, request: Any, party: str, month: str) -> Page:
        visit, person, form = await self.form(request)
        say = visit.wording.say
        file = form.get("file")
        if not isinstance(file, UploadFile) or not file.filename:
            told = Told("bad", say("No file was chosen"), say("Choose the file and upload it again."))
            return await self.comparison(visit, party, month_of(month), told, 422)
        statement, known = await self.desk.upload(party, month_of(month), file.filename, await file.read(), person)
        return away(visit, f"/staff/settlement/statements/{statement.id}{'?known=1' if known else ''}")

    async def fetch(self, request: Any, party: str, month: str) -> Page:
        visit, person, _ = await self.form(request)
        try:
            statement, known = await self.desk.fetch(party, month_of(month), person)
        except StatementUnavailable as error:
            told = Told("bad", visit.wording.say("The other side gave no file"), error.detail or "")
            return await self.comparison(visit, party, month_of(month), told, error.status)
        return away(visit, f"/staff/settlement/statements/{statement.id}{'?known=1' if known else ''}")

    async def compare(self, request: Any, party: str, month: str) -> Page:
        visit, person, _ = await self.form(request)
        await self.desk.compare(party, month_of(month), person)
        return away(visit, f"/staff/settlement/{party}/{month}?compared=1")

    # ------------------------------------------------------------ statements

    async def statement(self, request: Any, statement_id: UUID, part: str) -> Page:
        visit, _ = await self.visit(request)
        file = await self.desk.overview.statement(statement_id)
        context = {
            "file": file,
            "name": self.desk.overview.name(file.party),
            "known": bool(request.query_params.get("known")),
            "shown": SHOWN_FAULTS,
        }
        return draw(visit, "_statement.html" if part else "statement.html", context, section="months")

    async def original(self, request: Any, statement_id: UUID) -> Page:
        """The file as it came, for those who may; it is noted, as it may hold personal data."""
        _, person = await self.visit(request)
        check_works(person)
        file = await self.desk.overview.statement(statement_id)
        kept = KeptFile(storage_key=file.storage_key, sha256=file.sha256, size=file.size)
        content = await self.desk.reconciliation.vault.read(kept)
        await self.desk.staff.note(person.name, "downloaded", str(file.id), f"{file.party} {file.month:%Y-%m}")
        extension = "xlsx" if content.startswith(b"PK") else "csv"
        headers = {
            "Content-Disposition": f'attachment; filename="{file.party}-{file.month:%Y-%m}.{extension}"',
            "Cache-Control": "private, no-store",
            "X-Content-Type-Options": "nosniff",
        }
        return Response(content, media_type="application/octet-stream", headers=headers)

    # ------------------------------------------------------------ discrepancies

    async def discrepancies(self, request: Any) -> Page:
        visit, _ = await self.visit(request)
        asked, sort = _asked(request)
        offset = _whole(request.query_params.get("offset", "0"))
        page = await self.desk.overview.page(asked, sort=sort, offset=offset, limit=PER_PAGE)
        say = visit.wording.say
        context = {
            "asked": asked,
            "sort": sort,
            "sorts": [
                ("number", say("By number")),
                ("difference", say("By difference")),
                ("changed", say("By change")),
            ],
            "items": page.items,
            "total": page.total,
            "offset": offset,
            "query": _query(asked, sort),
            "previous": _turned(asked, sort, offset - PER_PAGE) if offset else "",
            "following": _turned(asked, sort, offset + PER_PAGE) if offset + PER_PAGE < page.total else "",
            "parties": self.desk.overview.parties,
            "months": await self.desk.overview.months(),
            "names": self.desk.overview.name,
        }
        return draw(visit, "discrepancies.html", context, section="discrepancies")

    async def export(self, request: Any) -> Page:
        _, person = await self.visit(request)
        asked, _ = _asked(request)
        await self.desk.staff.note(person.name, "exported", "", _query(asked, "number"))
        return csv_answer(self.desk, asked)

    async def show_case(self, request: Any, discrepancy_id: UUID) -> Page:
        visit, _ = await self.visit(request)
        return await self.case(visit, discrepancy_id)

    async def case(
        self, visit: StaffVisit, discrepancy_id: UUID, fields: Fields | None = None, problem: Problem | None = None
    ) -> Page:
        """One discrepancy; after a form that was refused with what was typed and why."""
        name = visit.person.name if visit.person else ""
        found = await self.desk.overview.case(discrepancy_id, name)
        asked, sort = _asked(visit.request)
        previous, following = await self.desk.overview.beside(asked, found.discrepancy)
        query = _query(asked, sort)
        title, texts = _told(visit, problem) if problem else ("", [])
        context = {
            "each": found.discrepancy,
            "name": self.desk.overview.name(found.discrepancy.party),
            "names": self.desk.overview.name,
            "notes": found.notes,
            "elsewhere": found.elsewhere,
            "actions": found.actions,
            "can_undo": found.can_undo,
            "query": query,
            "back": _address("/staff/settlement/discrepancies", query),
            "previous": _address(f"/staff/settlement/discrepancies/{previous}", query) if previous else "",
            "following": _address(f"/staff/settlement/discrepancies/{following}", query) if following else "",
            "text": (fields or {}).get("text", ""),
            "resolution": (fields or {}).get("resolution", ""),
            "failure": title,
            "failures": texts,
        }
        status = problem.status if problem else 200
        return draw(visit, "discrepancy.html", context, section="discrepancies", status=status)

    async def act(self, request: Any, discrepancy_id: UUID) -> Page:
        visit, person, form = await self.form(request)
        fields = {name: _text(form, name) for name in ("do", "text", "resolution", "version")}
        try:
            await self.desk.act(discrepancy_id, _deed(fields), person)
        except (Invalid, NotPossibleNow) as problem:
            return await self.case(visit, discrepancy_id, fields, problem)
        return away(visit, visit.address)

    # ------------------------------------------------------------ the rest

    async def deeds(self, request: Any, offset: str) -> Page:
        visit, _ = await self.visit(request)
        start = _whole(offset)
        deeds = await self.desk.staff.books.deeds(PER_PAGE + 1, start)
        more = start + PER_PAGE if len(deeds) > PER_PAGE else 0
        return draw(visit, "deeds.html", {"deeds": deeds[:PER_PAGE], "following": more}, section="deeds")

    async def preferences(self, request: Any) -> Page:
        """Language and colours, as on the site: harmless, so that the origin alone is checked."""
        visit = visit_of(request)
        visit.check_origin()
        form = await request.form()
        if _text(form, "theme") in {"light", "dark"}:
            visit.keep("theme", _text(form, "theme"), 365 * 24 * 3600)
        if _text(form, "lang") in {"ru", "en"}:
            visit.keep("lang", _text(form, "lang"), 365 * 24 * 3600)
        return away(visit, inside(_text(form, "next")))


def _text(form: Any, name: str) -> str:
    value = form.get(name)
    return value.replace("\x00", "").strip() if isinstance(value, str) else ""


def _whole(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 8 else 0


def _asked(request: Any) -> tuple[Filter, str]:
    """The filter in an address; empty fields of the form do not narrow."""
    query = request.query_params
    several = {name: [value for value in query.getall(name, []) if value] for name in ("kind", "status")}
    asked = filter_of(
        query.get("party"),
        query.get("month"),
        several["kind"],
        several["status"],
        query.get("assignee"),
        query.get("number", ""),
    )
    sort = query.get("sort", "number")
    return asked, sort if sort in SORTS else "number"


def _query(asked: Filter, sort: str, **more: int) -> str:
    """A filter as the query of an address; empty when nothing is asked for."""
    pairs: list[tuple[str, str]] = [
        ("number", asked.number),
        ("party", asked.party or ""),
        ("month", f"{asked.month:%Y-%m}" if asked.month else ""),
        *(("kind", kind) for kind in asked.kinds),
        *(("status", status) for status in asked.statuses),
        ("assignee", asked.assignee or ""),
        ("sort", sort if sort != "number" else ""),
        *((name, str(value)) for name, value in more.items() if value),
    ]
    return urlencode([(name, value) for name, value in pairs if value])


def _turned(asked: Filter, sort: str, offset: int) -> str:
    return _address("/staff/settlement/discrepancies", _query(asked, sort, offset=max(0, offset)))


def _address(path: str, query: str) -> str:
    return f"{path}?{query}" if query else path


def _deed(fields: Fields) -> Deed:
    """A form as a deed. Raises ``Invalid``."""
    if fields["do"] not in get_args(Deed.__annotations__["action"]):
        raise Invalid(errors=[FieldError(pointer="/do", code="value", detail="There is no such action.")])
    chosen = fields["resolution"]
    resolution: Any = chosen if chosen in get_args(Resolution) else None
    version = int(fields["version"]) if fields["version"].isdecimal() else None
    return Deed(action=fields["do"], text=fields["text"], resolution=resolution, version=version)  # type: ignore[arg-type]


def _told(visit: StaffVisit, problem: Problem) -> tuple[str, list[str]]:
    """A refusal in words."""
    say = visit.wording.say
    if isinstance(problem, NotPossibleNow):
        return say("It was changed in the meantime"), [say("Look at what happened below, then decide again.")]
    texts = {
        "/text": say("Say in the comment why."),
        "/resolution": say("Choose how it is resolved."),
    }
    return say("Not saved"), [texts.get(error.pointer, error.detail) for error in problem.errors]
