"""What services ask each other directly, over a real socket: the answers, the problems, and who may ask."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest
from litestar import Litestar, Response, get
from litestar.params import FromPath
from structlog.testing import capture_logs

from insuretech.compose import remote
from insuretech.compose.edge import application
from insuretech.compose.internal import corridor_answers, offer_answers, policy_answers
from insuretech.compose.remote import RemoteOffers, RemotePolicies, asked_once, remote_corridor
from insuretech.contracts.events import OfferReceived
from insuretech.contracts.insurers import Policyholder
from insuretech.contracts.money import Money
from insuretech.contracts.policies import LabelledValue, PolicyPaper
from insuretech.contracts.tariffs import Corridor, Factor, TariffUnavailable
from insuretech.contracts.text import Language, Text
from insuretech.kit.http import new_client
from insuretech.kit.http_server import serving
from insuretech.kit.ids import new_id
from insuretech.kit.problems import FieldError, Invalid, Unavailable
from insuretech.kit.settings import Settings, SettingsInvalid
from tests.ports import free_port

SECRET = "a secret of this test"
DAY = date(2026, 11, 22)
CORRIDOR = Corridor(
    edition="2026-01",
    min=Money(Decimal("4321.10")),
    max=Money(Decimal("8697.22")),
    factors=(Factor(code="ТБ", min="1646", max="7535", why="legkovoi", source="source"),),
)
PERSON = Policyholder(
    last_name="Неизвестная",
    first_name="Пелагея",
    middle_name=None,
    birth_date=date(1984, 5, 17),
    email="pelageya.neizvestnaya@example.org",
    phone="79260001122",
    document_kind="passport",
    document_number="4509876543",
)
INSURED = (LabelledValue(label=Text("Марка", "Make"), value=Text("Лада", "Lada")),)


class Answering:
    """The other side: the ports that services answer from, as a test fills them."""

    def __init__(self) -> None:
        self.problem: Exception | None = None
        self.offers: dict[UUID, OfferReceived] = {}
        self.papers: dict[UUID, PolicyPaper] = {}
        self.asked: list[Any] = []

    async def corridor(self, concluded_on: date, answers: dict[str, Any], language: Language) -> Corridor:
        self.asked.append((concluded_on, answers, language))
        if self.problem is not None:
            raise self.problem
        return CORRIDOR

    async def offer(self, offer_id: UUID) -> OfferReceived | None:
        return self.offers.get(offer_id)

    async def insured(self, quote_id: UUID) -> tuple[LabelledValue, ...]:
        self.asked.append(quote_id)
        return INSURED

    async def paper(self, policy_id: UUID) -> PolicyPaper | None:
        return self.papers.get(policy_id)

    async def policy_id(self, number: str, owner: str) -> UUID | None:
        found = [paper.policy_id for paper in self.papers.values() if (paper.number, paper.owner) == (number, owner)]
        return found[0] if found else None


@asynccontextmanager
async def served(app: Litestar) -> AsyncIterator[str]:
    """An application on a port of its own."""
    port = free_port()
    async with serving(app, port):
        yield f"http://127.0.0.1:{port}"


@asynccontextmanager
async def both_sides(there: Answering, *, knows: str = SECRET, sends: str = SECRET) -> AsyncIterator[Settings]:
    """The answering side, and the settings of the asking one."""
    theirs = Settings(internal_secret=knows)
    routes = [corridor_answers(there.corridor, theirs), offer_answers(there, theirs), policy_answers(there, theirs)]
    async with served(application(routes, theirs)) as address:
        yield Settings(internal_secret=sends, services_url=address)


def offer() -> OfferReceived:
    """An offer as its event tells of it."""
    return OfferReceived(
        quote_id=new_id(),
        offer_id=new_id(),
        owner="buyer:abc",
        product="osago",
        product_version="1",
        insurer="bystra",
        offer_number="B-1",
        premium=Money(Decimal("8697.22")),
        expires_at=datetime.now(UTC) + timedelta(hours=1),
        starts_on=DAY,
        ends_on=DAY,
    )


def paper() -> PolicyPaper:
    """A policy as it is printed."""
    return PolicyPaper(
        policy_id=new_id(),
        order_id=new_id(),
        owner="buyer:abc",
        number="ХХХ 0001",
        product="osago",
        product_title=Text("ОСАГО", "OSAGO"),
        insurer_name=Text("Быстра", "Bystra"),
        premium=Money(Decimal("8697.22")),
        starts_on=DAY,
        ends_on=DAY,
        issued_at=datetime.now(UTC),
        policyholder=PERSON,
        insured=INSURED,
        verification_code="AAAA-BBBB",
    )


async def test_answers_arrive_as_they_were_given() -> None:
    """Otherwise a price is checked against another corridor, or a policy printed with other words, than alone."""
    there, known, printed = Answering(), offer(), paper()
    there.offers[known.offer_id], there.papers[printed.policy_id] = known, printed
    async with both_sides(there) as settings, new_client() as client:
        answers = {"vehicle": {"power_hp": "87", "year": 2019, "trailer": False}, "drivers": [{"kbm": 0.5}, None]}
        assert await remote_corridor(settings, client)(DAY, answers, "en") == CORRIDOR
        assert there.asked == [(DAY, answers, "en")]
        offers, policies = RemoteOffers(settings, client), RemotePolicies(settings, client)
        assert await offers.offer(known.offer_id) == known
        assert await offers.insured(known.quote_id) == INSURED
        assert await policies.paper(printed.policy_id) == printed
        assert await policies.policy_id(printed.number, printed.owner) == printed.policy_id


async def test_that_there_is_nothing_is_an_answer() -> None:
    """Otherwise an unknown offer looks like a network that does not work, and is asked for again and again."""
    async with both_sides(Answering()) as settings, new_client() as client:
        assert await RemoteOffers(settings, client).offer(new_id()) is None
        assert await RemotePolicies(settings, client).paper(new_id()) is None
        assert await RemotePolicies(settings, client).policy_id("ХХХ 1", "buyer:abc") is None


@pytest.mark.parametrize("kind", [TariffUnavailable, Invalid])
async def test_problems_with_the_question_arrive_unchanged(kind: type[Invalid] | type[TariffUnavailable]) -> None:
    """Otherwise a buyer whose case has no tariff reads that our site is broken, with no field marked."""
    there = Answering()
    fault = FieldError(pointer="/owner/region", code="unknown", detail="Нет такого региона", params={"region": "X"})
    there.problem = kind("The case is not covered.", errors=[fault])
    async with both_sides(there) as settings, new_client() as client:
        with pytest.raises(kind) as raised:
            await remote_corridor(settings, client)(DAY, {}, "ru")
    assert (raised.value.detail, raised.value.errors) == ("The case is not covered.", [fault])
    assert len(there.asked) == 1, "a problem is an answer, and not asked for again"


async def test_who_does_not_know_the_secret_is_told_nothing() -> None:
    """Otherwise whoever gets past the load balancer reads everybody's passport."""
    there, printed = Answering(), paper()
    there.papers[printed.policy_id] = printed
    path = f"/internal/v1/orders/policies/{printed.policy_id}/paper"
    async with both_sides(there, sends="another secret that is not it") as settings, new_client() as client:
        with pytest.raises(Unavailable):
            await RemotePolicies(settings, client).paper(printed.policy_id)
        for proof in ("", "Bearer ", SECRET, f"Basic {SECRET}", "Bearer \xfc"):
            answer = await client.get(f"{settings.services_url}{path}", headers=[(b"Authorization", proof.encode())])
            assert (answer.status_code, PERSON.last_name in answer.text) == (404, False)
        body = msgspec.json.encode({"number": 1})
        refused = await client.post(f"{settings.services_url}/internal/v1/orders/policies/find", content=body)
    assert refused.status_code == 404, "what is wrong with a question is told to those who may ask it"


async def test_secrets_can_be_changed_without_a_pause() -> None:
    """Otherwise all processes must be stopped at once for it, so nobody ever does it."""
    there = Answering()
    async with both_sides(there, knows=f"a new secret of the test,{SECRET}") as settings, new_client() as client:
        assert await remote_corridor(settings, client)(DAY, {}, "ru") == CORRIDOR
        fresh = msgspec.structs.replace(settings, internal_secret=f"a new secret of the test,{SECRET}")
        assert await remote_corridor(fresh, client)(DAY, {}, "ru") == CORRIDOR


@pytest.mark.parametrize("secret", ["", "short", f"{SECRET},"])
def test_services_apart_do_not_start_with_a_secret_that_is_none(secret: str) -> None:
    """Otherwise a forgotten setting opens what holds personal data."""
    with pytest.raises(SettingsInvalid):
        offer_answers(Answering(), Settings(internal_secret=secret))


async def test_personal_data_are_in_no_log() -> None:
    """Otherwise everybody who may read logs may read passports."""
    there, printed = Answering(), paper()
    there.papers[printed.policy_id] = printed
    with capture_logs() as logged:
        async with both_sides(there) as settings, new_client() as client:
            await RemotePolicies(settings, client).paper(printed.policy_id)
            await RemotePolicies(settings, client).policy_id(printed.number, "buyer:somebody-else")
        async with both_sides(there, sends="another secret that is not it") as settings, new_client() as client:
            with pytest.raises(Unavailable):
                await RemotePolicies(settings, client).policy_id(printed.number, printed.owner)
    assert logged
    assert not [word for word in (PERSON.last_name, PERSON.phone, printed.number, SECRET) if word in str(logged)]


@asynccontextmanager
async def failing(times: int, answer: Callable[[], Response[bytes]]) -> AsyncIterator[tuple[Settings, list[int]]]:
    """Another side that fails so often before it answers; how often it was asked."""
    asked: list[int] = []

    @get("/internal/v1/quotes/offers/{offer_id:uuid}", include_in_schema=False)
    async def ask(offer_id: FromPath[UUID]) -> Response[bytes]:  # noqa: ARG001 - the answer is the same for all
        asked.append(1)
        return answer() if len(asked) <= times else Response(b"null", media_type="application/json")

    async with served(Litestar([ask], openapi_config=None, logging_config=None)) as address:
        yield Settings(internal_secret=SECRET, services_url=address), asked


async def test_a_moment_of_trouble_is_not_seen() -> None:
    """Otherwise every replica that is restarted costs the questions that were under way."""
    async with failing(2, lambda: Response(b"", status_code=503)) as (settings, asked), new_client() as client:
        assert await RemoteOffers(settings, client).offer(new_id()) is None
    assert len(asked) == 3


async def test_lasting_trouble_is_told_in_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise buyers wait as long as a service is away, and with them every connection they hold."""
    monkeypatch.setattr(remote, "TIME_LIMIT", 0.2)
    async with failing(99, lambda: Response(b"", status_code=500)) as (settings, asked), new_client() as client:
        with pytest.raises(Unavailable):
            await RemoteOffers(settings, client).offer(new_id())
        assert len(asked) == remote.ATTEMPTS
        nowhere = msgspec.structs.replace(settings, services_url=f"http://127.0.0.1:{free_port()}")
        async with asyncio.timeout(30):
            with pytest.raises(Unavailable):
                await RemoteOffers(nowhere, client).offer(new_id())


async def test_an_address_that_leads_elsewhere_is_trouble_and_not_an_answer() -> None:
    """Otherwise a load balancer set up wrongly looks like policies that do not exist, and none is printed."""
    elsewhere = Litestar([], openapi_config=None, logging_config=None)
    async with served(elsewhere) as address, new_client() as client:
        settings = Settings(internal_secret=SECRET, services_url=address)
        with pytest.raises(Unavailable):
            await RemotePolicies(settings, client).paper(new_id())


async def test_ten_insurers_that_price_the_same_answers_ask_once() -> None:
    """Otherwise a rehearsal at full load is spent on asking the catalogue ten times what it has just said."""
    there = Answering()
    once = asked_once(there.corridor)
    found = await asyncio.gather(*(once(DAY, {"year": 2019}, "ru") for _ in range(10)))
    await once(DAY, {"year": 2020}, "ru")
    assert found == [CORRIDOR] * 10
    assert len(there.asked) == 2


async def test_a_question_that_failed_is_asked_again() -> None:
    """Otherwise a moment's trouble makes all insurers refuse for ten seconds."""
    there = Answering()
    once = asked_once(there.corridor)
    there.problem = Unavailable()
    with pytest.raises(Unavailable):
        await once(DAY, {}, "ru")
    there.problem = None
    assert await once(DAY, {}, "ru") == CORRIDOR


def test_addresses_of_questions_hold_nothing_personal() -> None:
    """Otherwise numbers of policies stand in the load balancer's log."""
    routes = policy_answers(Answering(), Settings(internal_secret=SECRET)).routes
    assert {route.path for route in routes} == {
        "/internal/v1/orders/policies/{policy_id:uuid}/paper",
        "/internal/v1/orders/policies/find",
    }
