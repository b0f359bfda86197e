"""The page at ``/sandbox``: how everyone behaves, the calls they got and their books; sets behaviour by forms."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from litestar import Request, Response, Router, get, post
from litestar.di import NamedDependency, Provide
from litestar.exceptions import HTTPException
from litestar.params import FromPath

from insuretech.kit.problems import Invalid, NotFound
from insuretech.sandbox.behaviours import PROVIDER
from insuretech.sandbox.commands.controls import Controls
from insuretech.sandbox.domain import ProviderBehaviour
from insuretech.sandbox.forms import INSURER, FormInvalid, differences, read_form, shown_values
from insuretech.sandbox.forms import PROVIDER as PROVIDER_FORM
from insuretech.sandbox.queries import Totals, WholeBooks
from insuretech.sandbox.routes.html import page, see_other, stylesheet

AnyRequest = Request[Any, Any, Any]

_SHOWN_CALLS = 40
_SHOWN_BOOKS = 20
_REFRESH = {"2", "5", "15"}


@dataclass(frozen=True)
class Overview:
    """What the page is made of."""

    controls: Controls
    books: Callable[[int], Awaitable[WholeBooks]]
    totals: Callable[[], Awaitable[Totals]]

    async def page(self, request: AnyRequest, *, fault: str = "", status: int = 200) -> Response[bytes]:
        """The page, with the reason why nothing was set where there is one."""
        behaviours = self.controls.behaviours
        party = request.query_params.get("insurer") or None
        refresh = request.query_params.get("refresh", "")
        insurers = [
            {
                "character": character,
                "values": shown_values(behaviours[code]),
                "changed": differences(behaviours[code], character.behaviour),
            }
            for code, character in behaviours.roster.items()
        ]
        return page(
            "overview.html",
            status=status,
            insurers=insurers,
            insurer_form=INSURER,
            provider_form=PROVIDER_FORM,
            provider_values=shown_values(behaviours.provider),
            calls=self.controls.calls.latest(party, _SHOWN_CALLS),
            party=party,
            parties=[*behaviours.roster, PROVIDER],
            books=await self.books(_SHOWN_BOOKS),
            totals=await self.totals(),
            fault=fault,
            refresh=refresh if refresh in _REFRESH else "",
        )


@get("/")
async def show_overview(request: AnyRequest, overview: NamedDependency[Overview]) -> Response[bytes]:
    """The page."""
    return await overview.page(request)


@post("/settings/{code:str}", status_code=303)
async def set_by_form(request: AnyRequest, code: FromPath[str], overview: NamedDependency[Overview]) -> Response[bytes]:
    """Set the behaviour of an insurer, or of the payment provider, to what was filled in."""
    controls, form = overview.controls, await _form(request)
    try:
        if code == PROVIDER:
            provider = _asked(controls.provider(), ProviderBehaviour(), form)
            await controls.set_provider(provider, provider.__struct_fields__)
        elif code in controls.behaviours.roster:
            insurer = _asked(controls.behaviours[code], controls.behaviours.roster[code].behaviour, form)
            await controls.set_insurer(code, insurer, insurer.__struct_fields__)
        else:
            raise NotFound
    except FormInvalid as invalid:
        return await overview.page(request, fault=f"{code}: {invalid}", status=422)
    except Invalid as invalid:
        return await overview.page(request, fault=f"{code}: {invalid.errors[0].detail}", status=422)
    return see_other(f"/sandbox#{code}")


@post("/reset", status_code=303)
async def reset_by_form(request: AnyRequest, overview: NamedDependency[Overview]) -> Response[bytes]:
    """Everyone by character again; with field ``books`` the books are emptied too."""
    await overview.controls.reset(books="books" in await _form(request))
    return see_other("/sandbox")


def _asked(current: Any, usual: Any, form: dict[str, list[str]]) -> Any:
    """The behaviour a form asks for: by character, flawless, or as filled in."""
    match form.get("preset", [""])[0]:
        case "character":
            return usual
        case "plain":
            return type(current)()
        case _:
            return read_form(current, form)


async def _form(request: AnyRequest) -> dict[str, list[str]]:
    """A form's fields; a form that another site has made the browser send is refused."""
    if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        raise HTTPException("This form was sent from another site.", status_code=403)
    form = await request.form()
    return {name: [value for value in form.getall(name) if isinstance(value, str)] for name in form}


def overview_routes(overview: Overview) -> Router:
    """Serves ``/sandbox``, its stylesheet and its forms."""
    return Router(
        "/",
        route_handlers=[
            stylesheet,
            Router(
                "/sandbox",
                route_handlers=[show_overview, set_by_form, reset_by_form],
                dependencies={"overview": Provide(lambda: overview, sync_to_thread=False)},
                include_in_schema=False,
            ),
        ],
    )
