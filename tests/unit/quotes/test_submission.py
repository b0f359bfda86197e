"""Submitting a quote: what is accepted, what is refused and how it is said, and what is kept."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from insuretech.contracts.events import QuoteCompleted, QuoteSubmitted
from insuretech.contracts.tariffs import Corridor, TariffUnavailable
from insuretech.contracts.text import Language
from insuretech.kit.clock import FixedClock
from insuretech.kit.ids import buyer_of, new_id
from insuretech.kit.keyring import Keyring
from insuretech.kit.pressure import Pressure
from insuretech.kit.problems import AGAIN_AFTER, FieldError, IdempotencyKeyReused, Invalid, Unavailable
from insuretech.quotes.commands import CallbackNotGenuine, ProductNotSold, QuoteDesk, Submission
from insuretech.quotes.domain import LineStatus, QuoteStatus
from insuretech.quotes.ports import Answers, Line, Quote, QuoteEvent, answers_context
from tests.unit.quotes.fake_store import FakeDatabase
from tests.unit.quotes.scripted import ScriptedDirectory, ScriptedInsurer
from tests.unit.quotes.specimens import CORRIDOR, LIMITS, NOW, TODAY, answers, offered, product


class IdleEngine:
    """Takes note of what it is given and asks nobody."""

    def __init__(self) -> None:
        self.id = new_id()
        self.room = True
        self.begun: list[tuple[Quote, Sequence[Line], Answers]] = []
        self.noticed: list[tuple[Line, bytes]] = []
        self.told: list[QuoteEvent] = []

    def has_room(self) -> bool:
        return self.room

    def begin(self, quote: Quote, lines: Sequence[Line], answers: Answers, *, fresh: bool) -> None:
        assert fresh
        self.begun.append((quote, lines, answers))

    def notice(self, line: Line, digest: bytes) -> None:
        self.noticed.append((line, digest))

    def tell(self, quote_id: UUID, events: Sequence[QuoteEvent]) -> None:  # noqa: ARG002
        self.told.extend(events)


class Desk:
    """A desk with everything around it in memory; two insurers are connected, the product names a third."""

    def __init__(self) -> None:
        self.database = FakeDatabase()
        self.engine = IdleEngine()
        self.keyring = Keyring.generate()
        self.corridor_problem: TariffUnavailable | None = None
        self.asked: list[tuple[date, dict[str, Any]]] = []
        self.pressure = Pressure()
        self.desk = QuoteDesk(
            transaction=self.database.transaction,
            statements=self.database.transaction,
            engine=self.engine,
            insurers=ScriptedDirectory(one=ScriptedInsurer(offered()), two=ScriptedInsurer(offered())),
            corridor=self.corridor,
            keyring=self.keyring,
            clock=FixedClock(NOW),
            quote_ttl=3600,
            overloaded=self.pressure.is_high,
            queued=self.pressure.is_queued,
        )
        self.database.tables.on_sale["osago"] = product("two", "one", "gone")
        self.database.tables.on_sale["travel"] = product("one", code="travel")
        self.database.tables.on_sale["nobody"] = product("gone", code="nobody")

    async def corridor(self, concluded_on: date, given: dict[str, Any], _: Language) -> Corridor:
        self.asked.append((concluded_on, given))
        if self.corridor_problem:
            raise self.corridor_problem
        return CORRIDOR


@pytest.fixture
def desk() -> Desk:
    """A desk that sells three products."""
    return Desk()


def asked(
    code: str = "osago", given: dict[str, Any] | None = None, *, key: str | None = None, language: Language = "ru"
) -> Submission:
    """A request for a quote."""
    given = answers() if given is None else given
    return Submission(product=code, answers=given, language=language, body=msgspec.json.encode(given), key=key)


async def test_no_new_quote_is_begun_by_a_process_that_cannot_keep_up(desk: Desk) -> None:
    """Everybody would wait, give up and ask again, and answers nobody waits for any more would still be collected."""
    desk.pressure.note(30)
    await desk.desk.submit_quote(asked())  # one long breath is not too much work
    for _ in range(4):
        desk.pressure.note(1.5)
    with pytest.raises(Unavailable) as refused:
        await desk.desk.submit_quote(asked(key="k"))
    assert int(refused.value.headers["Retry-After"]) in AGAIN_AFTER
    assert len(desk.database.tables.quotes) == 1
    for _ in range(2):
        desk.pressure.note(0)
    await desk.desk.submit_quote(asked(key="k"))
    assert len(desk.database.tables.quotes) == 2


async def test_who_repeats_a_request_is_answered_although_no_new_quote_is_taken(desk: Desk) -> None:
    """Whoever lost the answer would be sent away, and come again and again while the process has least time for it."""
    first = await desk.desk.submit_quote(asked(key="key-1"))
    desk.asked.clear()
    for _ in range(4):
        desk.pressure.note(1.5)
    desk.database.tables.on_sale.clear()
    assert await desk.desk.submit_quote(asked(key="key-1")) == first
    assert desk.asked == [], "the corridor was asked for a quote that was there already"


async def test_who_would_have_to_stand_in_a_long_queue_for_the_database_is_told_to_come_again(desk: Desk) -> None:
    """Everybody would wait in it until they hang up, and what was begun would wait behind them."""
    await desk.desk.submit_quote(asked(key="key-1"))
    for _ in range(4):
        desk.pressure.note(0, waited=3)
    with pytest.raises(Unavailable) as refused:
        await desk.desk.submit_quote(asked(key="key-1"))
    assert int(refused.value.headers["Retry-After"]) in AGAIN_AFTER


async def test_a_quote_that_nobody_waits_for_any_more_is_not_begun(desk: Desk) -> None:
    """Ten insurers would be asked for nobody, while those who do wait get slower answers."""
    with pytest.raises(Unavailable):
        await desk.desk.submit_quote(msgspec.structs.replace(asked(key="key-1"), abandoned=lambda: True))
    assert desk.asked == []
    assert desk.database.tables.quotes == {}
    await desk.desk.submit_quote(asked(key="key-1"))  # the repeat finds the key unused
    assert len(desk.database.tables.quotes) == 1


async def test_who_hangs_up_during_the_look_at_the_corridor_has_no_quote(desk: Desk) -> None:
    """That look goes over the network, so most of the time before a quote begins is spent there."""
    with pytest.raises(Unavailable):
        await desk.desk.submit_quote(msgspec.structs.replace(asked(), abandoned=lambda: bool(desk.asked)))
    assert len(desk.asked) == 1
    assert desk.database.tables.quotes == {}


async def test_a_quote_is_kept_with_a_line_for_each_connected_insurer(desk: Desk) -> None:
    """An insurer of the product would be left out, or the quote wait for one we cannot ask."""
    created = await desk.desk.submit_quote(asked())
    row = desk.database.tables.quotes[created.id]
    assert created.status is QuoteStatus.COLLECTING
    assert created.expires_at == NOW + timedelta(hours=1)
    assert row.quote.limits == LIMITS
    assert (row.quote.starts_on, row.quote.ends_on) == (date(2026, 11, 26), date(2027, 11, 25))
    lines = list(desk.database.tables.lines.values())
    assert [(line.insurer, line.status) for line in lines] == [("two", LineStatus.SENT), ("one", LineStatus.SENT)]
    assert {line.deadline for line in lines} == {NOW + timedelta(seconds=60)}
    [event] = desk.database.tables.published
    assert isinstance(event, QuoteSubmitted)
    assert event.insurers == ("two", "one")
    assert [(quote.id, list(begun)) for quote, begun, _ in desk.engine.begun] == [(created.id, lines)]


async def test_the_token_and_the_answers_are_not_kept_in_the_clear(desk: Desk) -> None:
    """Whoever reads a dump of the database would open every quote and see plates, births and licences."""
    created = await desk.desk.submit_quote(asked(key="key-1"))
    tables = desk.database.tables
    row = tables.quotes[created.id]
    assert row.quote.owner == buyer_of(created.access_token)
    kept = repr((row, tables.requests, tables.published))
    assert created.access_token not in kept
    assert "А123ВС77" not in kept
    assert "1990-05-05" not in kept
    secret = desk.keyring.decrypt(row.quote.answers, answers_context(created.id))
    assert msgspec.json.decode(secret) == answers()


async def test_answers_are_tidied_before_insurers_get_them(desk: Desk) -> None:
    """A plate typed in Latin letters would be unknown to every insurer."""
    await desk.desk.submit_quote(asked(given=answers(plate="a123bc77")))
    [(_, _, given)] = desk.engine.begun
    assert given["plate"] == "А123ВС77"


@pytest.mark.parametrize("code", ["casco", "OSAGO"])
async def test_a_product_that_is_not_sold_is_refused(desk: Desk, code: str) -> None:
    """A withdrawn product would still be quoted."""
    with pytest.raises(ProductNotSold) as refused:
        await desk.desk.submit_quote(asked(code))
    assert [error.pointer for error in refused.value.errors] == ["/product"]
    assert desk.database.tables.quotes == {}


async def test_everything_wrong_is_said_at_once_and_where(desk: Desk) -> None:
    """A person would mend one field after another, each with a new round trip."""
    wrong = {"drivers": [{"birth_date": "2020-01-01", "licence_since": "2021-01-01"}, {}], "use": {"months": "x"}}
    with pytest.raises(Invalid) as refused:
        await desk.desk.submit_quote(asked(given=wrong, language="en"))
    assert {error.pointer for error in refused.value.errors} == {
        "/answers/plate",
        "/answers/drivers/0/licence_since",
        "/answers/drivers/1/birth_date",
        "/answers/drivers/1/licence_since",
        "/answers/use/starts_on",
        "/answers/use/months",
    }
    assert all(error.detail.isascii() for error in refused.value.errors)
    assert desk.database.tables.quotes == {}


async def test_a_case_outside_the_tariff_points_into_the_answers(desk: Desk) -> None:
    """The wizard could not tell which answer leads out of the tariff tables."""
    error = FieldError(pointer="/owner/territory", code="unknown", detail="no such place")
    dated = FieldError(pointer="/concluded_on", code="unknown", detail="no edition")
    desk.corridor_problem = TariffUnavailable(errors=[error, dated])
    with pytest.raises(TariffUnavailable) as refused:
        await desk.desk.submit_quote(asked())
    assert [found.pointer for found in refused.value.errors] == ["/answers/owner/territory", "/answers"]


async def test_the_corridor_is_that_of_the_day_in_moscow_and_only_for_osago(desk: Desk) -> None:
    """A new tariff edition would apply a day late, or travel offers be held against the OSAGO tariff."""
    await desk.desk.submit_quote(asked())
    created = await desk.desk.submit_quote(asked("travel"))
    assert desk.asked == [(TODAY, answers())]
    assert desk.database.tables.quotes[created.id].quote.limits is None


async def test_a_repeated_request_gets_the_first_answer(desk: Desk) -> None:
    """A retry after a lost answer would ask all insurers again and leave two quotes."""
    first = await desk.desk.submit_quote(asked(key="key-1"))
    assert await desk.desk.submit_quote(asked(key="key-1")) == first
    assert len(desk.database.tables.quotes) == len(desk.engine.begun) == 1
    with pytest.raises(IdempotencyKeyReused):
        await desk.desk.submit_quote(asked(given=answers(plate="В321ОР77"), key="key-1"))


async def test_without_a_key_every_request_is_a_new_quote(desk: Desk) -> None:
    """Two people with the same answers would share a quote."""
    first, second = await desk.desk.submit_quote(asked()), await desk.desk.submit_quote(asked())
    assert first.id != second.id
    assert first.access_token != second.access_token


async def test_a_full_engine_leaves_the_quote_to_be_picked_up(desk: Desk) -> None:
    """In a rush a quote would be claimed by a process that never works on it."""
    desk.engine.room = False
    await desk.desk.submit_quote(asked())
    assert set(desk.database.tables.claims.values()) == {None}
    assert {line.status for line in desk.database.tables.lines.values()} == {LineStatus.QUEUED}
    assert desk.engine.begun == []


async def test_a_product_without_connected_insurers_is_completed_at_once(desk: Desk) -> None:
    """The buyer would watch an empty quote for ever."""
    created = await desk.desk.submit_quote(asked("nobody"))
    assert created.status is QuoteStatus.COMPLETED
    assert [event.kind for event in desk.engine.told] == ["completed"]
    assert desk.database.tables.published[-1] == QuoteCompleted(quote_id=created.id, offers=0)


# ---------------------------------------------------------------- callbacks


async def test_a_genuine_callback_is_followed_once(desk: Desk) -> None:
    """An insurer that repeats its callbacks would be asked every time, or the first one be ignored."""
    created = await desk.desk.submit_quote(asked())
    line = next(line for line in desk.database.tables.lines.values() if line.insurer == "one")
    body = str(line.id).encode()
    await desk.desk.hear_callback("one", body, "genuine")
    assert [noticed.id for noticed, _ in desk.engine.noticed] == [line.id]
    await desk.desk.hear_callback("one", body, "genuine")
    assert len(desk.engine.noticed) == 1
    assert created.id == line.quote_id


async def test_a_forged_callback_is_refused(desk: Desk) -> None:
    """Anyone could make us call insurers as often as they like."""
    await desk.desk.submit_quote(asked())
    line = next(iter(desk.database.tables.lines.values()))
    with pytest.raises(CallbackNotGenuine):
        await desk.desk.hear_callback("one", str(line.id).encode(), "forged")
    assert desk.engine.noticed == []


@pytest.mark.parametrize("insurer", ["one", "two"])
async def test_a_callback_about_something_else_changes_nothing(desk: Desk, insurer: str) -> None:
    """A callback about an order, or about another insurer's quote, would be answered with an error and repeated."""
    await desk.desk.submit_quote(asked())
    of_one = next(line for line in desk.database.tables.lines.values() if line.insurer == "one")
    reference = new_id() if insurer == "one" else of_one.id
    await desk.desk.hear_callback(insurer, str(reference).encode(), "genuine")
    assert desk.engine.noticed == []
