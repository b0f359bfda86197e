"""Addresses of the desk. Every handler hands over to the page that knows; failures become pages, too."""

from typing import Any
from uuid import UUID

import structlog
from litestar import Request, Response, Router, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect

from insuretech.kit.problems import Problem
from insuretech.kit.tracing import current_trace_id
from insuretech.kit.web import as_problem
from insuretech.pages.assets import static_files
from insuretech.settlement.desk.api import FILE_LIMITS, Desk, api_routes
from insuretech.settlement.desk.pages import Pages
from insuretech.settlement.desk.views import desk_assets, draw
from insuretech.settlement.desk.visits import StaffVisit, visit_of
from insuretech.settlement.staff.domain import LinkSpent, SignInNeeded

AnyRequest = Request[Any, Any, Any]
Page = Response[Any]
log = structlog.get_logger(__name__)


def desk_routes(desk: Desk, pages: Pages) -> list[Router | HTTPRouteHandler]:
    """Everything under ``/staff``."""
    handlers = [*_doors(pages), *_months(pages), *_statements(pages), *_discrepancies(pages), *_others(pages)]
    people = Router(
        "/staff", route_handlers=handlers, include_in_schema=False, exception_handlers={Exception: page_of_failure}
    )
    return [people, api_routes(desk), static_files(desk_assets())]


def page_of_failure(request: AnyRequest, error: Exception) -> Page:
    """A page for whatever went wrong, also at an address that the desk does not have."""
    problem = error if isinstance(error, Problem) else as_problem(request, error)
    visit = visit_of(request)
    title, texts = _words(visit, problem)
    return draw(
        visit, "message.html", {"title": title, "texts": texts, "trace": current_trace_id()}, status=problem.status
    )


def _words(visit: StaffVisit, problem: Problem) -> tuple[str, list[str]]:
    say = visit.wording.say
    if isinstance(problem, SignInNeeded):
        again = say("This desk is for staff. To sign in, open the personal link you were given.")
        return say("You are not signed in"), [again, say("A session ends after twelve hours, or two without use.")]
    if isinstance(problem, LinkSpent):
        return say("This link no longer works"), [say("It was used, or it is too old. Ask for another.")]
    said: dict[int, tuple[str, str]] = {
        403: (say("You may not do that"), say("Your account may look and not change, or the form is too old.")),
        404: (say("There is no such page"), say("Perhaps it was moved; the desk has everything.")),
        409: (say("That is not possible now"), say("Something is in another state by now. Go back and look again.")),
        413: (say("The file is larger than we take"), say("Ask the other side for the table alone.")),
    }
    broken = (say("Something broke on our side"), say("Nothing was half-done. Try again in a moment."))
    title, text = said.get(404 if problem.status in {400, 405} else problem.status, broken)
    return title, [text]


def _doors(pages: Pages) -> list[Any]:
    @get("/", sync_to_thread=False)
    def home() -> Redirect:
        return Redirect("/staff/settlement", status_code=303)

    @get("/sign-in")
    async def invitation(request: AnyRequest, token: FromQuery[str] = "") -> Page:
        return await pages.invitation(request, token) if token else pages.signed_out(request)

    @post("/sign-in", status_code=200)
    async def sign_in(request: AnyRequest) -> Page:
        return await pages.sign_in(request)

    @post("/sign-out", status_code=200)
    async def sign_out(request: AnyRequest) -> Page:
        return await pages.sign_out(request)

    return [home, invitation, sign_in, sign_out]


def _months(pages: Pages) -> list[Any]:
    @get("/settlement")
    async def months(request: AnyRequest, month: FromQuery[str] = "") -> Page:
        return await pages.months(request, month)

    @get("/settlement/{party:str}/{month:str}")
    async def comparison(request: AnyRequest, party: FromPath[str], month: FromPath[str]) -> Page:
        return await pages.show_comparison(request, party, month)

    @post("/settlement/{party:str}/{month:str}/statements", status_code=200, opt=FILE_LIMITS)
    async def upload(request: AnyRequest, party: FromPath[str], month: FromPath[str]) -> Page:
        return await pages.upload(request, party, month)

    @post("/settlement/{party:str}/{month:str}/fetch", status_code=200)
    async def fetch(request: AnyRequest, party: FromPath[str], month: FromPath[str]) -> Page:
        return await pages.fetch(request, party, month)

    @post("/settlement/{party:str}/{month:str}/comparison", status_code=200)
    async def compare(request: AnyRequest, party: FromPath[str], month: FromPath[str]) -> Page:
        return await pages.compare(request, party, month)

    return [months, comparison, upload, fetch, compare]


def _statements(pages: Pages) -> list[Any]:
    @get("/settlement/statements/{statement_id:uuid}")
    async def statement(request: AnyRequest, statement_id: FromPath[UUID], part: FromQuery[str] = "") -> Page:
        return await pages.statement(request, statement_id, part)

    @get("/settlement/statements/{statement_id:uuid}/file")
    async def original(request: AnyRequest, statement_id: FromPath[UUID]) -> Page:
        return await pages.original(request, statement_id)

    return [statement, original]


def _discrepancies(pages: Pages) -> list[Any]:
    @get("/settlement/discrepancies")
    async def discrepancies(request: AnyRequest) -> Page:
        return await pages.discrepancies(request)

    @get("/settlement/discrepancies.csv")
    async def export(request: AnyRequest) -> Page:
        return await pages.export(request)

    @get("/settlement/discrepancies/{discrepancy_id:uuid}")
    async def case(request: AnyRequest, discrepancy_id: FromPath[UUID]) -> Page:
        return await pages.show_case(request, discrepancy_id)

    @post("/settlement/discrepancies/{discrepancy_id:uuid}", status_code=200)
    async def act(request: AnyRequest, discrepancy_id: FromPath[UUID]) -> Page:
        return await pages.act(request, discrepancy_id)

    return [discrepancies, export, case, act]


def _others(pages: Pages) -> list[Any]:
    @get("/deeds")
    async def deeds(request: AnyRequest, offset: FromQuery[str] = "0") -> Page:
        return await pages.deeds(request, offset)

    @post("/preferences", status_code=200)
    async def preferences(request: AnyRequest) -> Page:
        return await pages.preferences(request)

    return [deeds, preferences]
