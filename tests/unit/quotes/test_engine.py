"""The fan-out: everyone is asked at once, nobody waits for anybody, everyone ends, and a crash asks nobody twice."""

import asyncio
from datetime import timedelta
from time import perf_counter

import msgspec
import pytest

from insuretech.contracts.events import InsurerGaveNoOffer, OfferReceived, OfferRefused, QuoteCompleted
from insuretech.contracts.insurers import (
    Declined,
    InsurerUnavailable,
    Invalid,
    OfferAnswer,
    OutcomeUnknown,
    Referred,
)
from insuretech.quotes.domain import OUTSIDE_CORRIDOR, LineStatus, OfferStatus, Patience, QuoteStatus
from insuretech.quotes.engine import EngineSettings
from insuretech.quotes.ports import AllEnded, NoOfferLine
from tests.unit.quotes.scripted import HANG, ScriptedInsurer
from tests.unit.quotes.specimens import NOW, answers, offered
from tests.unit.quotes.stage import QUICK, Stage, eventually


async def test_every_insurer_ends_in_a_state_of_its_own() -> None:
    """An insurer without an end state leaves the buyer waiting and the quote never completed."""
    stage = Stage(
        good=ScriptedInsurer(offered()),
        thinking=ScriptedInsurer(offered("6000.00"), pending=2),
        refusing=ScriptedInsurer(Declined(reason="Не берём мотоциклы")),
        careful=ScriptedInsurer(Referred(reason="Посмотрит андеррайтер")),
        strict=ScriptedInsurer(Invalid(reason="Нет такого VIN")),
        down=ScriptedInsurer(offered(), script=[InsurerUnavailable()] * 99, takes=False),
        foggy=ScriptedInsurer(offered("7000.00"), script=[OutcomeUnknown()]),
        broken=ScriptedInsurer(offered(), script=[RuntimeError("a bug in the connector")]),
    )
    async with stage.running():
        quote, lines = await stage.submitted()
        await stage.until_completed(quote)
    assert stage.outcomes(lines) == {
        "good": LineStatus.OFFERED,
        "thinking": LineStatus.OFFERED,
        "refusing": LineStatus.DECLINED,
        "careful": LineStatus.REFERRED,
        "strict": LineStatus.INVALID,
        "down": LineStatus.UNAVAILABLE,
        "foggy": LineStatus.OFFERED,
        "broken": LineStatus.UNAVAILABLE,
    }
    row = stage.database.tables.quotes[quote.id]
    assert (row.status, row.offers, row.last_event) == (QuoteStatus.COMPLETED, 3, 9)
    assert [event.sequence for event in stage.told] == list(range(1, 10))
    assert isinstance(stage.told[-1].data, AllEnded)
    assert stage.database.tables.events[quote.id] == stage.told
    assert len(stage.published(OfferReceived)) == 3
    assert len(stage.published(InsurerGaveNoOffer)) == 5
    assert stage.published(QuoteCompleted) == [QuoteCompleted(quote_id=quote.id, offers=3)]


async def test_insurers_are_given_the_answers_under_our_reference() -> None:
    """Insurers would price something else than what the buyer answered, or under a reference that changes."""
    insurer = ScriptedInsurer(offered())
    stage = Stage(one=insurer)
    async with stage.running():
        quote, lines = await stage.submitted()
        await stage.until_completed(quote)
    [request] = insurer.seen
    assert request.reference == lines[0].id
    assert request.answers == answers()


async def test_one_hanging_insurer_costs_the_others_nothing() -> None:
    """Buyers would see no offer at all until the slowest insurer's time limit is over."""
    stage = Stage(time_limit=1.0, hanging=ScriptedInsurer(offered(), script=[HANG]), quick=ScriptedInsurer(offered()))
    async with stage.running():
        quote, lines = await stage.submitted()
        began = perf_counter()
        await eventually(lambda: bool(stage.told))
        assert perf_counter() - began < 0.7
        await stage.until_completed(quote)
    assert stage.outcomes(lines) == {"hanging": LineStatus.TIMED_OUT, "quick": LineStatus.OFFERED}


async def test_the_limit_counts_from_the_submission() -> None:
    """After a restart an insurer would get its whole minute again and the buyer would wait twice."""
    stage = Stage(time_limit=60, slow=ScriptedInsurer(offered(), script=[HANG]))
    quote, lines = await stage.submitted()
    stage.clock.advance(timedelta(seconds=59.95))
    async with stage.running():
        await stage.until_completed(quote, limit=1)
    assert stage.outcomes(lines) == {"slow": LineStatus.TIMED_OUT}


async def test_an_offer_the_law_forbids_is_refused_and_reported() -> None:
    """A buyer would be shown an OSAGO price outside the corridor, or nobody would learn that an insurer asks it."""
    stage = Stage(dear=ScriptedInsurer(offered("9000.01")))
    async with stage.running():
        quote, lines = await stage.submitted()
        await stage.until_completed(quote)
    assert stage.outcomes(lines) == {"dear": LineStatus.DECLINED}
    assert stage.database.tables.offers == {}
    assert stage.database.tables.reasons[lines[0].id] == OUTSIDE_CORRIDOR
    [refused] = stage.published(OfferRefused)
    assert isinstance(refused, OfferRefused)
    assert refused.premium == offered("9000.01").premium


async def test_an_insurers_own_words_stay_out_of_events() -> None:
    """A refusal that repeats the driver's name would carry personal data to every service and log of events."""
    stage = Stage(chatty=ScriptedInsurer(Declined(reason="Иванов И. И. лишён прав")))
    async with stage.running():
        quote, _ = await stage.submitted()
        await stage.until_completed(quote)
    assert "Иванов" not in msgspec.json.encode(stage.database.tables.published).decode()
    [told, _] = stage.told
    assert isinstance(told.data, NoOfferLine)
    assert told.data.reason.ru == "Иванов И. И. лишён прав"


async def test_a_database_that_goes_away_for_a_moment_loses_no_answer() -> None:
    """An insurer's offer would be forgotten because the database restarted while it came in."""
    stage = Stage(one=ScriptedInsurer(offered(), delay=0.05), two=ScriptedInsurer(offered("6000.00"), pending=1))
    async with stage.running():
        quote, lines = await stage.submitted()
        await asyncio.sleep(0.03)
        stage.database.broken = 3
        await stage.until_completed(quote)
    assert set(stage.outcomes(lines).values()) == {LineStatus.OFFERED}
    assert len(stage.database.tables.offers) == 2


async def test_a_full_engine_leaves_lines_for_later() -> None:
    """A rush of quotes would take all memory; with a bound that loses lines, buyers would wait for nothing."""
    stage = Stage(one=ScriptedInsurer(offered(), delay=0.01))
    async with stage.running(EngineSettings(every=0.005, lease=1, room=3, patience=QUICK.patience)) as engine:
        quotes = [await stage.submitted() for _ in range(12)]
        busiest = 0
        for quote, _ in quotes:
            while stage.database.tables.quotes[quote.id].open_lines:
                busiest = max(busiest, len(engine._working))
                await asyncio.sleep(0.002)
    assert busiest <= 3
    assert all(stage.outcomes(lines) == {"one": LineStatus.OFFERED} for _, lines in quotes)


async def test_a_dead_engine_is_replaced_and_nobody_is_asked_twice() -> None:
    """After a crash in the middle, quotes would stay unfinished, or insurers be asked again for the same thing."""
    slow, thinking = ScriptedInsurer(offered(), delay=0.2), ScriptedInsurer(offered("6000.00"), pending=50)
    unsent = ScriptedInsurer(offered("7000.00"))
    stage = Stage(slow=slow, thinking=thinking, unsent=unsent)
    dead = stage.engine()
    await dead.look_around()
    quote, lines = await stage.submitted("slow", "thinking", claimed_by=dead)
    dead.begin(quote, lines, answers(), fresh=True)
    await eventually(lambda: stage.outcomes(lines)["thinking"] is LineStatus.PENDING)
    for task in dead._tasks:  # as SIGKILL would end it: nothing is handed back
        task.cancel()
    before = dict(stage.outcomes(lines))
    async with stage.running():
        await stage.until_completed(quote)
    assert before == {"slow": LineStatus.SENT, "thinking": LineStatus.PENDING}
    assert set(stage.outcomes(lines).values()) == {LineStatus.OFFERED}
    assert thinking.requests == {lines[1].id: 1}
    # The first engine was cut off before the insurer took the request down, so asking once more is right.
    assert slow.looks[lines[0].id] >= 1


async def test_a_living_engine_is_left_alone() -> None:
    """Two replicas would work on the same line and ask the insurer twice."""
    insurer = ScriptedInsurer(offered(), delay=0.2)
    stage = Stage(one=insurer)
    async with stage.running() as first, stage.running():
        quote, lines = await stage.submitted(claimed_by=first)
        first.begin(quote, lines, answers(), fresh=True)
        await stage.until_completed(quote)
    assert insurer.requests == {lines[0].id: 1}
    assert insurer.looks == {}


async def test_a_stopped_engine_hands_over_at_once() -> None:
    """At every deployment buyers would wait for a lease to lapse."""
    stage = Stage(one=ScriptedInsurer(offered(), delay=0.05))
    patient = EngineSettings(every=0.01, lease=3600, patience=QUICK.patience)
    async with stage.running(patient) as first:
        quote, lines = await stage.submitted(claimed_by=first)
        first.begin(quote, lines, answers(), fresh=True)
        await asyncio.sleep(0.01)
    async with stage.running(patient):
        await stage.until_completed(quote, limit=1)
    assert stage.outcomes(lines) == {"one": LineStatus.OFFERED}


async def test_a_line_never_begun_is_found() -> None:
    """A request cut off between commit and asking would leave a quote that waits for ever."""
    stage = Stage(one=ScriptedInsurer(offered()))
    async with stage.running() as engine:
        quote, lines = await stage.submitted(claimed_by=engine)
        await stage.until_completed(quote, limit=1)
    assert stage.outcomes(lines) == {"one": LineStatus.OFFERED}


async def test_answers_that_cannot_be_read_end_the_quote() -> None:
    """A lost key would keep a process busy for ever and the buyer waiting."""
    stage = Stage(one=ScriptedInsurer(offered()))
    quote, lines = await stage.submitted()
    stage.keyring = type(stage.keyring).generate()
    async with stage.running():
        await stage.until_completed(quote)
    assert stage.outcomes(lines) == {"one": LineStatus.UNAVAILABLE}


# ---------------------------------------------------------------- callbacks


@pytest.fixture
def digest() -> bytes:
    """What a callback is told apart by."""
    return b"d" * 32


async def test_a_callback_wakes_the_line_it_speaks_of(digest: bytes) -> None:
    """Buyers would wait for the next poll although the insurer has called."""
    insurer = ScriptedInsurer(offered(), pending=1, retry_after=3600)
    stage = Stage(one=insurer)
    patience = Patience(longest_poll=3600)
    async with stage.running(EngineSettings(every=0.01, lease=1, patience=patience)) as engine:
        quote, lines = await stage.submitted()
        await eventually(lambda: stage.outcomes(lines)["one"] is LineStatus.PENDING)
        engine.notice(stage.database.tables.lines[lines[0].id], digest)
        await stage.until_completed(quote, limit=1)
    assert stage.outcomes(lines) == {"one": LineStatus.OFFERED}


async def test_an_answer_after_the_limit_is_kept_as_late_and_not_shown(digest: bytes) -> None:
    """A completed comparison would change under the buyer's eyes, or we would never learn how late insurers are."""
    insurer = ScriptedInsurer(offered(), script=[HANG])
    stage = Stage(time_limit=0.02, one=insurer)
    async with stage.running() as engine:
        quote, lines = await stage.submitted()
        await stage.until_completed(quote)
        insurer.known[lines[0].id] = 0
        told = list(stage.told)
        engine.notice(stage.database.tables.lines[lines[0].id], digest)
        await eventually(lambda: lines[0].id in stage.database.tables.late)
    assert stage.outcomes(lines) == {"one": LineStatus.TIMED_OUT}
    assert stage.database.tables.late[lines[0].id].outcome is LineStatus.OFFERED
    assert stage.database.tables.offers == {}
    assert stage.told == told


@pytest.mark.parametrize(
    ("now_says", "statuses"),
    [
        (offered("5500.00", "N-2"), [OfferStatus.REPRICED, OfferStatus.ACTIVE]),
        (Declined(reason="передумали"), [OfferStatus.WITHDRAWN]),
        (offered("9999.00", "N-2"), [OfferStatus.WITHDRAWN]),
        (offered(), [OfferStatus.ACTIVE]),
    ],
    ids=["another price", "taken back", "unlawful price", "the same"],
)
async def test_an_offer_follows_an_insurer_that_changes_its_mind(
    digest: bytes, now_says: OfferAnswer, statuses: list[OfferStatus]
) -> None:
    """A buyer would choose an offer that the insurer has told us it no longer stands by."""
    insurer = ScriptedInsurer(offered())
    stage = Stage(one=insurer)
    async with stage.running() as engine:
        quote, lines = await stage.submitted()
        await stage.until_completed(quote)
        insurer.answer = now_says
        engine.notice(stage.database.tables.lines[lines[0].id], digest)
        await eventually(lambda: stage.database.tables.callbacks.get((lines[0].id, digest), False))
    assert [offer.cycle.status for offer in stage.database.tables.offers.values()] == statuses


async def test_a_reserved_offer_is_left_to_its_order(digest: bytes) -> None:
    """An offer somebody is paying for would be replaced behind the back of the order."""
    insurer = ScriptedInsurer(offered())
    stage = Stage(one=insurer)
    async with stage.running() as engine:
        quote, lines = await stage.submitted()
        await stage.until_completed(quote)
        [offer] = stage.database.tables.offers.values()
        async with stage.database.transaction() as store:
            await store.keep_offer(offer, offer.cycle.reserved(quote.id, NOW))
        insurer.answer = Declined(reason="передумали")
        engine.notice(stage.database.tables.lines[lines[0].id], digest)
        await eventually(lambda: stage.database.tables.callbacks.get((lines[0].id, digest), False))
    [offer] = stage.database.tables.offers.values()
    assert offer.cycle.status is OfferStatus.RESERVED


async def test_a_callback_that_could_not_be_followed_stays_open(digest: bytes) -> None:
    """The insurer's repetition would be taken for a duplicate and its answer never fetched."""
    insurer = ScriptedInsurer(offered())
    stage = Stage(one=insurer)
    async with stage.running() as engine:
        quote, lines = await stage.submitted()
        await stage.until_completed(quote)
        insurer.script = [InsurerUnavailable()]
        async with stage.database.transaction() as store:
            noted = await store.note_callback("one", lines[0].id, digest, NOW)
            assert noted is not None
            assert noted[1]
        engine.notice(stage.database.tables.lines[lines[0].id], digest)
        await asyncio.sleep(0.02)
        async with stage.database.transaction() as store:
            noted = await store.note_callback("one", lines[0].id, digest, NOW)
            assert noted is not None
            assert noted[1]
