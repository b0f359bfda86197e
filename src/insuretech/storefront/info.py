"""Pages of explanation: ranking, data, about, consents, verification, problem types, design, and errors."""

from collections.abc import Callable
from typing import Any

import msgspec
from litestar import Response

from insuretech.contracts.text import Text
from insuretech.kit.tracing import current_trace_id
from insuretech.storefront.api_reference import operations
from insuretech.storefront.desk import Desk
from insuretech.storefront.ports import Refused
from insuretech.storefront.specimens import design_context
from insuretech.storefront.visits import Visit
from insuretech.storefront.words import problem_words, prose, told


class ProblemPage(msgspec.Struct, frozen=True, kw_only=True):
    """A problem type as its page shows it."""

    slug: str
    status: int
    type: str
    title: Text | str
    meaning: Text
    advice: Text


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """What an error page says."""

    title: str
    text: str
    icon: str = "warn"
    trace_id: str = ""


class Info:
    """Pages that explain."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def prose(self, visit: Visit, name: str) -> Response[Any]:
        return await self._desk.page(visit, "prose.html", {"text": prose()[name]})

    async def design(self, visit: Visit) -> Response[Any]:
        return await self._desk.page(visit, "design.html", design_context(self._desk.clock.now(), visit.wording.say))

    async def consent(self, visit: Visit, code: str, version: str) -> Response[Any]:
        """The text of a consent under its version, also one no longer asked for."""
        consent = await self._desk.marketplace.consent(code, version)
        paragraphs = consent.text.in_language(visit.language).split("\n\n")
        return await self._desk.page(visit, "consent.html", {"consent": consent, "paragraphs": paragraphs})

    async def verify(self, visit: Visit, code: str) -> Response[Any]:
        """Whether a policy is real and runs, for whoever holds its code."""
        try:
            policy = await self._desk.marketplace.verification(code)
        except Refused as refused:
            if refused.status != 404:
                raise
            return await self._desk.page(visit, "verify.html", {"policy": None}, status=404)
        say = visit.wording.say
        mood, headline, sentence = "", say("The policy is genuine and valid"), say("It was issued and covers today.")
        if policy.status == "cancelled":
            mood, headline, sentence = (
                "bad",
                say("The policy has ended early"),
                say("It was genuine and is no longer valid."),
            )
        elif policy.status == "not_started":
            headline, sentence = say("The policy is genuine"), say("Its cover has not begun yet.")
        elif policy.status == "expired":
            mood, headline, sentence = "warn", say("The policy has run out"), say("It was genuine; its term is over.")
        facts = [
            (say("Policy"), policy.number),
            (say("Insurer"), policy.insurer),
            (say("What"), policy.product),
            (say("From"), policy.starts_on),
            (say("Until"), policy.ends_on),
        ]
        context = {"policy": policy, "mood": mood, "headline": headline, "sentence": sentence, "facts": facts}
        return await self._desk.page(visit, "verify.html", context)

    async def api_reference(self, visit: Visit) -> Response[Any]:
        """The API's operations, from its own description."""
        resources = operations(await self._desk.marketplace.description())
        return await self._desk.page(visit, "api.html", {"resources": resources})

    async def problems(self, visit: Visit) -> Response[Any]:
        pages = [self._problem(visit, slug) for slug in sorted(self._desk.problem_kinds())]
        return await self._desk.page(visit, "problems.html", {"problems": pages})

    async def problem(self, visit: Visit, slug: str) -> Response[Any]:
        if slug not in self._desk.problem_kinds():
            raise Refused(404, "not-found", "There is no such problem type.")
        return await self._desk.page(visit, "problem.html", {"problem": self._problem(visit, slug)})

    def _problem(self, visit: Visit, slug: str) -> ProblemPage:
        kind = self._desk.problem_kinds()[slug]
        words = problem_words().get(slug)
        general = words or problem_words()["default"]
        return ProblemPage(
            slug=slug,
            status=kind.status,
            type=f"{self._desk.address(visit)}/problems/{slug}",
            title=words.title if words else kind.title,
            meaning=general.meaning,
            advice=general.advice,
        )

    def failure(self, visit: Visit, status: int, slug: str = "") -> Response[Any]:
        """A page for people when something is not there or went wrong; a refusal of the API in its own words."""
        title, text, icon = _failures(visit.wording.say, status)
        if status in {409, 410, 422, 503} and slug in problem_words():
            title, text = told(visit, slug)
        trace_id = current_trace_id() if status >= 500 else ""
        context = {"error": Failure(title=title, text=text, icon=icon, trace_id=trace_id)}
        return self._desk.remembered_page(visit, "error.html", context, status)


def _failures(say: Callable[[str], str], status: int) -> tuple[str, str, str]:
    """Title, sentence and icon of an error page."""
    match status:
        case 403:
            text = say("Please open the page again and repeat: for your safety we take forms only from our own pages.")
            return say("This form has grown old"), text, "lock"
        case 413:
            text = say("Please shorten the answers; nothing else was lost.")
            return say("That is more than we can keep"), text, "warn"
        case 503:
            text = say("A part of our service does not answer. Nothing was half-done; please try again in a minute.")
            return say("We cannot do this right now"), text, "clock"
        case _ if status >= 500:
            text = say("It is noted. Nothing was half-done; please try again in a minute.")
            return say("Something broke on our side"), text, "warn"
        case _:
            text = say("Look for a slip in the address; a page of another browser opens by your personal link.")
            return say("There is no such page here"), text, "search"
