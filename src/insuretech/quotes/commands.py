"""What can be done with quotes: submit one, hear a callback, follow what becomes of an offer at the orders' side."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from hashlib import sha256
from typing import NoReturn, Protocol
from uuid import UUID

import msgspec
import structlog
from prometheus_client import Counter

from insuretech.contracts.insurers import InsurerDirectory
from insuretech.contracts.tariffs import CorridorSource
from insuretech.contracts.text import Language
from insuretech.kit.clock import Clock, legal_date
from insuretech.kit.idempotency import Scope, StoredAnswer
from insuretech.kit.ids import buyer_of, new_id, new_secret
from insuretech.kit.keyring import Keyring
from insuretech.kit.problems import (
    BadRequest,
    FieldError,
    Invalid,
    NotFound,
    Problem,
    RequestInFlight,
    Unavailable,
    come_again,
)
from insuretech.quotes.answers import end_lines
from insuretech.quotes.domain import LINES, QUOTES, Limits, LineStatus, MoveRefused, Offer, QuoteStatus
from insuretech.quotes.ports import (
    Answered,
    Answers,
    Line,
    Quote,
    QuoteEvent,
    Store,
    Transaction,
    answers_context,
    stored_answer_context,
)
from insuretech.quotes.questions import Cover, KnownProduct, cover_of, faults_of

log = structlog.get_logger(__name__)

SUBMITTED = Counter("insuretech_quotes_submitted_total", "Quotes accepted, by product.", ["product"])
REFUSED = Counter("insuretech_quotes_refused_total", "Quotes not taken as there was more to do than could be done.")
ABANDONED = Counter("insuretech_quotes_abandoned_total", "Quotes not begun as the caller had hung up before.")
CALLBACKS = Counter("insuretech_insurer_callbacks_total", "Callbacks of insurers, by kind.", ["insurer", "kind"])

OSAGO = "osago"
"""The product whose premium the law keeps in a corridor."""
BUSY = "More quotes are asked for than can be collected at once; none was begun."
GONE = "Whoever asked has hung up; none was begun."
ROUTE = "POST /api/v1/quotes"
ANYBODY = "anonymous"
"""Whose idempotency keys those of buyers are: nobody has an account before the first quote."""


class ProductNotSold(Problem):
    """No such product is sold, or not any more."""

    status = 422
    slug = "product-not-sold"
    title = "This product is not sold"

    def __init__(self) -> None:
        error = FieldError(pointer="/product", code="unknown", detail="GET /api/v1/products lists what is sold.")
        super().__init__(errors=[error])


class CallbackNotGenuine(BadRequest):
    """The signature or the body of a callback is not the insurer's."""

    slug = "callback-not-genuine"
    title = "This callback is not signed by the insurer"


class QuoteCreated(msgspec.Struct, frozen=True, kw_only=True):
    """A quote that is being collected; ``access_token`` opens it and all that follows, and is told only here."""

    id: UUID
    access_token: str
    status: QuoteStatus
    expires_at: datetime


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """A request for a quote; ``body`` is what ``key`` (an idempotency key, if any) was sent with.

    ``abandoned`` says whether the caller has hung up by now.
    """

    product: str
    answers: Answers
    language: Language
    body: bytes
    key: str | None
    abandoned: Callable[[], bool] = lambda: False


class Asking(Protocol):
    """Whoever asks insurers."""

    id: UUID

    def has_room(self) -> bool:
        """Whether more lines can be worked on at once; else they wait in the database."""
        ...

    def begin(self, quote: Quote, lines: Sequence[Line], answers: Answers, *, fresh: bool) -> None:
        """Start asking; the quote is committed and its lines are claimed by us.

        ``fresh`` says that nobody has asked for them yet, although they are marked as sent already.
        """
        ...

    def notice(self, line: Line, digest: bytes) -> None:
        """The insurer of this line has something to say; ``digest`` names the callback."""
        ...

    def tell(self, quote_id: UUID, events: Sequence[QuoteEvent]) -> None:
        """Hand committed events to live streams."""
        ...


# ---------------------------------------------------------------- submitting


@dataclass(frozen=True)
class QuoteDesk:
    """Takes requests for quotes and callbacks of insurers. ``quote_ttl`` is seconds; ``begun`` hears of new quotes.

    ``overloaded`` says that this process cannot keep up with the quotes it has; it takes no new one then. ``queued``
    says that it is the database that cannot, which is then asked for nothing new at all.
    ``statements`` opens stores each of whose calls stands for itself.
    """

    transaction: Transaction
    statements: Transaction
    engine: Asking
    insurers: InsurerDirectory
    corridor: CorridorSource
    keyring: Keyring
    clock: Clock
    quote_ttl: float
    begun: Callable[[UUID, str], None] = lambda _, __: None
    overloaded: Callable[[], bool] = lambda: False
    queued: Callable[[], bool] = lambda: False

    async def submit_quote(self, submission: Submission) -> QuoteCreated:
        """Check the answers, keep the quote and start asking every insurer of the product at once.

        Raises ``ProductNotSold``, ``Invalid``, ``TariffUnavailable``, ``Unavailable`` and the problems of idempotency
        keys. A caller that hangs up does not come between keeping and asking.
        """
        return await asyncio.shield(self._submit(submission))

    async def _submit(self, submission: Submission) -> QuoteCreated:
        """A key that was used before gives its first answer, whatever stands against the request by now.

        That is looked for before anything else, also when no new quote is taken: it costs little, and whoever has the
        answer does not come again. Only where it would have to stand in a long queue it is not.
        """
        if self.queued():
            self._refuse()
        scope = Scope(client=ANYBODY, route=ROUTE, key=submission.key) if submission.key else None
        async with self.statements() as store:
            if scope is not None and (before := await store.answer(scope, submission.body)):
                return self._first_answer(scope, before)
            self._see_whether_to_begin(submission)
            product = await store.product_on_sale(submission.product)
        if product is None:
            raise ProductNotSold
        try:
            return await self._begin_quote(submission, scope, product)
        except RequestInFlight:
            async with self.statements() as store:
                if scope is not None and (before := await store.answer(scope, submission.body)):
                    return self._first_answer(scope, before)
            raise

    def _first_answer(self, scope: Scope, stored: StoredAnswer) -> QuoteCreated:
        plain = self.keyring.decrypt(stored.body, stored_answer_context(scope.key))
        return msgspec.json.decode(plain, type=QuoteCreated)

    def _see_whether_to_begin(self, submission: Submission) -> None:
        """Raises ``Unavailable`` when this process cannot keep up, or nobody waits for the answer any more."""
        if submission.abandoned():
            ABANDONED.inc()
            raise Unavailable(GONE)
        if self.overloaded():
            self._refuse()

    def _refuse(self) -> NoReturn:
        REFUSED.inc()
        raise Unavailable(BUSY, headers=come_again())

    async def _begin_quote(self, submission: Submission, scope: Scope | None, product: KnownProduct) -> QuoteCreated:
        """Raises ``RequestInFlight`` when the key was used in these very moments."""
        now = self.clock.now()
        answers, cover = _checked(product, submission, legal_date(now))
        limits = await self._limits(product, answers, legal_date(now), submission.language)
        token = new_secret()
        quote = self._quote(product, answers, cover, limits, buyer_of(token), now)
        claimed = self.engine.has_room()
        lines = self._lines(product, quote, claimed=claimed)
        created = _created(quote, token, closed=not lines)
        answered = self._answered(scope, submission.body, created) if scope else None
        self._see_whether_to_begin(submission)  # the corridor may have taken its time
        async with (self.statements if lines else self.transaction)() as store:
            if not await store.add_quote(quote, lines, self.engine.id if claimed else None, answered):
                raise RequestInFlight  # or answered by now, for whoever looks
            events = [] if lines else await end_lines(store, quote, [], now)
        SUBMITTED.labels(quote.product).inc()
        self.begun(quote.id, quote.owner)
        self.engine.tell(quote.id, events)
        if claimed:
            self.engine.begin(quote, lines, answers, fresh=True)
        return created

    def _answered(self, scope: Scope, body: bytes, created: QuoteCreated) -> Answered:
        secret = self.keyring.encrypt(msgspec.json.encode(created), stored_answer_context(scope.key))
        return Answered(scope=scope, body=body, answer=StoredAnswer(201, secret))

    async def _limits(self, product: KnownProduct, answers: Answers, today: date, language: Language) -> Limits | None:
        """The legal corridor; catalogue may be asked over the network, so no transaction is open meanwhile."""
        if product.definition.code != OSAGO:
            return None
        try:
            corridor = await self.corridor(today, answers, language)
        except Problem as problem:
            problem.errors = [_under_answers(error) for error in problem.errors]
            raise
        return Limits(corridor.min, corridor.max, corridor.edition)

    def _quote(
        self,
        product: KnownProduct,
        answers: Answers,
        cover: Cover,
        limits: Limits | None,
        owner: str,
        now: datetime,
    ) -> Quote:
        quote_id = new_id()
        return Quote(
            id=quote_id,
            owner=owner,
            product=product.definition.code,
            product_version=product.definition.version,
            answers=self.keyring.encrypt(msgspec.json.encode(answers), answers_context(quote_id)),
            limits=limits,
            starts_on=cover.starts_on,
            ends_on=cover.ends_on,
            created_at=now,
            expires_at=now + timedelta(seconds=self.quote_ttl),
        )

    def _lines(self, product: KnownProduct, quote: Quote, *, claimed: bool) -> list[Line]:
        """A line for each insurer; those we claim are kept as sent, which after a crash means: look up first."""
        status = LINES.move(LineStatus.QUEUED, LineStatus.SENT) if claimed else LineStatus.QUEUED
        connected = set(self.insurers.codes())
        return [
            Line(
                id=new_id(),
                quote_id=quote.id,
                insurer=code,
                status=status,
                deadline=quote.created_at + timedelta(seconds=self.insurers.profile(code).time_limit),
            )
            for code in product.definition.insurers
            if code in connected
        ]

    # ------------------------------------------------------------ callbacks

    async def hear_callback(self, insurer: str, body: bytes, signature: str) -> None:
        """Take a callback: when it is genuine and new, the insurer is asked what it has to say.

        Raises ``NotFound`` for an insurer we are not connected with and ``CallbackNotGenuine``.
        """
        if insurer not in self.insurers.codes():
            raise NotFound
        reference = self.insurers.connector(insurer).verify_callback(body, signature)
        if reference is None:
            CALLBACKS.labels(insurer, "refused").inc()
            raise CallbackNotGenuine
        digest = sha256(body).digest()
        async with self.statements() as store:
            noted = await store.note_callback(insurer, reference, digest, self.clock.now())
        if noted is None:
            CALLBACKS.labels(insurer, "not_ours").inc()
            return
        line, fresh = noted
        CALLBACKS.labels(insurer, "fresh" if fresh else "repeated").inc()
        if fresh:
            self.engine.notice(line, digest)


def _checked(product: KnownProduct, submission: Submission, today: date) -> tuple[Answers, Cover]:
    answers = product.check.tidied(submission.answers)
    faults = faults_of(product, answers, today)
    cover = cover_of(product.definition.term, answers)
    if faults or cover is None:
        raise Invalid(errors=[_under_answers(fault.field_error(submission.language)) for fault in faults])
    return answers, cover


def _under_answers(error: FieldError) -> FieldError:
    """Pointers into the answers become pointers into the body of the request."""
    inside = "" if error.pointer == "/concluded_on" else error.pointer.removeprefix("/answers")
    return msgspec.structs.replace(error, pointer="/answers" + inside)


def _created(quote: Quote, token: str, *, closed: bool) -> QuoteCreated:
    status = QUOTES.move(QuoteStatus.DRAFT, QuoteStatus.COLLECTING)
    if closed:
        status = QUOTES.move(status, QuoteStatus.COMPLETED)
    return QuoteCreated(id=quote.id, access_token=token, status=status, expires_at=quote.expires_at)


# ---------------------------------------------------------------- what becomes of an offer


async def reserve_offer(store: Store, offer_id: UUID, order_id: UUID, at: datetime) -> None:
    """An order was placed on an offer at that moment."""
    await _follow(store, offer_id, lambda offer: offer.reserved(order_id, at))


async def release_offer(store: Store, offer_id: UUID, order_id: UUID, at: datetime, now: datetime) -> None:
    """An order ended without a policy at that moment: its offer is free again, or expired."""
    await _follow(store, offer_id, lambda offer: offer.released(order_id, at, now))


async def consume_offer(store: Store, offer_id: UUID, order_id: UUID) -> None:
    """A policy was issued on an offer."""
    await _follow(store, offer_id, lambda offer: offer.consumed(order_id))


async def _follow(store: Store, offer_id: UUID, step: Callable[[Offer], Offer]) -> None:
    """Take a step of an offer. One that is not allowed is old news: later news of the same offer came first."""
    kept = await store.offer(offer_id)
    if kept is None:
        log.info("offer.unknown", offer_id=str(offer_id))
        return
    try:
        after = step(kept.cycle)
    except MoveRefused as refused:
        log.info("offer.step_skipped", offer_id=str(offer_id), why=str(refused))
        return
    await store.keep_offer(kept, after)
