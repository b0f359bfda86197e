"""How one insurer is asked: what is repeated, what is looked up first, when we give up."""

import asyncio
from uuid import UUID

import pytest

from insuretech.contracts.insurers import Declined, InsurerUnavailable, OfferRequest, OutcomeUnknown, Pending
from insuretech.kit.ids import new_id
from insuretech.quotes.conversation import Conversation, GaveUp
from insuretech.quotes.domain import LineStatus, Patience
from tests.unit.quotes.scripted import ScriptedInsurer
from tests.unit.quotes.specimens import offered

QUICK = Patience(first_pause=0.001, longest_pause=0.004, shortest_poll=0.001, longest_poll=0.05)


class Told:
    """Counts how often an insurer was noted as having accepted."""

    def __init__(self) -> None:
        self.times = 0

    async def __call__(self) -> None:
        self.times += 1


def talk(insurer: ScriptedInsurer, accepted: Told | None = None) -> tuple[Conversation, UUID]:
    """A conversation with this insurer, and the reference it is about."""
    reference = new_id()
    request = OfferRequest(reference=reference, product="osago", product_version="1", answers={})
    return Conversation("one", insurer, request, accepted or Told(), QUICK), reference


async def test_an_answer_at_once_needs_one_call() -> None:
    """Insurers would be asked more often than needed."""
    insurer = ScriptedInsurer(offered())
    conversation, reference = talk(insurer)
    assert await conversation.answer(LineStatus.QUEUED) == offered()
    assert (insurer.requests[reference], insurer.looks[reference]) == (1, 0)


async def test_a_refused_connection_is_tried_again() -> None:
    """One dropped connection would cost the buyer an offer."""
    insurer = ScriptedInsurer(offered(), script=[InsurerUnavailable(), InsurerUnavailable()], takes=False)
    conversation, reference = talk(insurer)
    assert await conversation.answer(LineStatus.QUEUED) == offered()
    assert insurer.requests[reference] == 3


async def test_a_lost_answer_is_looked_up_not_asked_again() -> None:
    """An insurer that took the request would be asked twice for the same thing."""
    insurer = ScriptedInsurer(offered(), script=[OutcomeUnknown()])
    conversation, reference = talk(insurer)
    assert await conversation.answer(LineStatus.QUEUED) == offered()
    assert (insurer.requests[reference], insurer.looks[reference]) == (1, 1)


async def test_only_a_request_that_never_arrived_is_sent_again() -> None:
    """An insurer that never got the request would be left out, although it says that it knows nothing."""
    insurer = ScriptedInsurer(offered(), script=[OutcomeUnknown()], takes=False)
    conversation, reference = talk(insurer)
    assert await conversation.answer(LineStatus.QUEUED) == offered()
    assert (insurer.requests[reference], insurer.looks[reference]) == (2, 1)


@pytest.mark.parametrize("state", [LineStatus.SENT, LineStatus.PENDING])
async def test_after_a_restart_the_insurer_is_looked_up_first(state: LineStatus) -> None:
    """Every restart in the middle would ask insurers again for what they are working on."""
    insurer = ScriptedInsurer(offered())
    conversation, reference = talk(insurer)
    insurer.known[reference] = 0
    assert await conversation.answer(state) == offered()
    assert (insurer.requests[reference], insurer.looks[reference]) == (0, 1)


async def test_after_a_restart_what_was_never_sent_is_sent() -> None:
    """An insurer we crashed in front of would never be asked."""
    insurer = ScriptedInsurer(offered())
    conversation, reference = talk(insurer)
    assert await conversation.answer(LineStatus.SENT) == offered()
    assert (insurer.requests[reference], insurer.looks[reference]) == (1, 1)


async def test_a_pending_answer_is_polled_and_told_once() -> None:
    """An insurer that thinks it over would never be heard again, or every poll would be written down."""
    insurer, accepted = ScriptedInsurer(Declined(reason="no"), pending=3), Told()
    conversation, reference = talk(insurer, accepted)
    assert await conversation.answer(LineStatus.QUEUED) == Declined(reason="no")
    assert (insurer.requests[reference], insurer.looks[reference], accepted.times) == (1, 3, 1)


async def test_a_callback_cuts_the_waiting_short() -> None:
    """Buyers would wait for the next poll although the insurer has called."""
    insurer = ScriptedInsurer(offered(), pending=1, retry_after=3600)
    conversation, _ = talk(insurer)
    conversation.patience = Patience(longest_poll=3600)
    talking = asyncio.create_task(conversation.answer(LineStatus.QUEUED))
    await asyncio.sleep(0.01)
    assert not talking.done()
    conversation.woken.set()
    assert await asyncio.wait_for(talking, 60) == offered()


@pytest.mark.parametrize("error", [InsurerUnavailable, OutcomeUnknown])
async def test_a_dead_insurer_is_given_up(error: type[Exception]) -> None:
    """Buyers would wait a minute for an insurer that refuses every call."""
    insurer = ScriptedInsurer(offered(), script=[error()] * 100, takes=False)
    conversation, _ = talk(insurer)
    with pytest.raises(GaveUp):
        await conversation.answer(LineStatus.QUEUED)
    assert sum(insurer.requests.values()) + sum(insurer.looks.values()) == QUICK.failures


async def test_an_insurer_that_forgets_what_it_took_is_given_up_in_the_end() -> None:
    """Unknown outcome and "never heard of it" in turns would go on for the whole time limit without a pause."""
    insurer = ScriptedInsurer(offered(), takes=False)

    async def forgetful(request: OfferRequest) -> Pending:
        insurer.requests[request.reference] += 1
        raise OutcomeUnknown

    insurer.request_offer = forgetful  # type: ignore[method-assign]
    conversation, reference = talk(insurer)
    with pytest.raises(GaveUp):
        await conversation.answer(LineStatus.QUEUED)
    assert insurer.requests[reference] == QUICK.failures


async def test_what_an_insurer_has_taken_is_looked_up_until_the_limit() -> None:
    """A short outage while the insurer works on it would lose an offer that is on its way."""
    insurer = ScriptedInsurer(offered(), pending=1)
    conversation, reference = talk(insurer)
    insurer.known[reference] = 1
    insurer.script = [InsurerUnavailable()] * (QUICK.failures * 2)
    assert await conversation.answer(LineStatus.PENDING) == offered()
