"""What every connector does alike: send a request, tell a safe failure from an unknown outcome."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import reduce
from operator import or_
from typing import Any, Generic, Protocol, TypeVar

import httpx
import msgspec

from insuretech.contracts.insurers import InsurerUnavailable, OutcomeUnknown
from insuretech.kit.http import NoAnswer, NotSent, Outbound

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

_MEANINGFUL = {httpx.codes.NOT_FOUND, httpx.codes.CONFLICT, httpx.codes.UNPROCESSABLE_ENTITY}


async def exchange(
    outbound: Outbound, method: str, path: str, *, content: bytes | None = None, headers: dict[str, str]
) -> httpx.Response:
    """One call to an insurer; gives answers below 400 and 404, 409 and 422, to which dialects give a meaning.

    Not sent, 429, 503 and any other refusal of the request mean that nothing was done: ``InsurerUnavailable``. A lost
    answer and any other failure of the server leave it open: ``OutcomeUnknown``.
    """
    try:
        response = await outbound.call(method, path, content=content, headers=headers)
    except NotSent as error:
        raise InsurerUnavailable(str(error)) from error
    except NoAnswer as error:
        raise OutcomeUnknown(str(error)) from error
    status = response.status_code
    if status < httpx.codes.BAD_REQUEST or status in _MEANINGFUL:
        return response
    if status < httpx.codes.INTERNAL_SERVER_ERROR or status == httpx.codes.SERVICE_UNAVAILABLE:
        raise InsurerUnavailable(f"HTTP {status}")
    raise OutcomeUnknown(f"HTTP {status}")


@contextmanager
def reading_answer() -> Iterator[None]:
    """Whatever is wrong with an answer that came: it says nothing about what the insurer has done."""
    try:
        yield
    except (msgspec.MsgspecError, ValueError, ArithmeticError, LookupError, TypeError, RecursionError) as error:
        raise OutcomeUnknown("the answer cannot be read") from error


class WireAnswer(Protocol[T_co]):
    """One kind of answer in an insurer's JSON, able to say itself in the port's terms."""

    def read(self) -> T_co: ...


class Answers(Generic[T]):
    """The kinds of JSON answer one operation may have, told apart by their tag; any other is ``OutcomeUnknown``."""

    def __init__(self, *kinds: type[WireAnswer[T]]) -> None:
        union: Any = reduce(or_, kinds)
        self._decoder = msgspec.json.Decoder(union)

    def read(self, response: httpx.Response) -> T:
        with reading_answer():
            answer: WireAnswer[T] = self._decoder.decode(response.content)
            return answer.read()
