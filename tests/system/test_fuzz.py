"""A fuzzer that knows the API's own description: no answer that the document does not describe.

``FUZZ_EXAMPLES`` is the number of made-up requests of each kind, good and bad, for every operation (``make fuzz``
takes many more).
"""

import asyncio
import os
import random
import zlib
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import CHECKS
from schemathesis.core.result import Ok

from tests.system.answers import ANSWERS
from tests.system.buyer import PATIENCE, Buyer
from tests.system.running import RunningMarketplace
from tests.system.sandbox import Sandbox

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "15"))
SKIPPED_CHECKS = (
    # These suppose a 401 for a missing token; here what is not yours does not exist (404).
    "ignored_auth",
    "use_after_free",
    "ensure_resource_availability",
    # Answers are held against the product's question set, which the document cannot hold; the 422 is described.
    "positive_data_acceptance",
)

pytestmark = pytest.mark.timeout(600 + 5 * EXAMPLES)


@dataclass(frozen=True)
class Known:
    """Things that exist, so that some requests get past the door."""

    token: str
    ids: dict[str, str]


async def one_purchase(market: RunningMarketplace) -> Known:
    """Something to be found, made before the fuzzing begins."""
    async with httpx.AsyncClient(base_url=market.base_url, timeout=PATIENCE, trust_env=False) as http:
        await Sandbox(http).calm()
        order, state = await Buyer(http).buy("travel", ANSWERS["travel"](), "bystra")
        ids = {"quote_id": order.quote.id, "order_id": order.id, "number": state["policy"]["number"]}
        return Known(order.quote.token, {**ids, "code": "travel"})


def test_every_answer_is_described(market: RunningMarketplace) -> None:
    """Otherwise a client written by the document breaks on an answer nobody told it of."""
    known = asyncio.run(one_purchase(market))
    described = schemathesis.openapi.from_url(f"{market.base_url}/schema/openapi.json")
    found = []
    for result in described.get_all_operations():
        assert isinstance(result, Ok), result
        operation = result.ok()
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            try:
                with suppress(Unsatisfiable):  # nothing of it can be got wrong
                    fuzz(operation.as_strategy(generation_mode=mode), known)
            except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001 - the other operations are tried too
                found.append(f"{operation.label}, {mode.value} requests: {error}")
    assert not found, "\n\n".join(found)


def fuzz(cases: Any, known: Known) -> None:
    """Send made-up requests and hold every answer against the document."""
    excluded = [check(name) for name in SKIPPED_CHECKS]

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(cases)
    def send(case: Case[Any]) -> None:
        before = dict(case.path_parameters)
        headers = at_home(case, known)
        mended = case.path_parameters != before  # then what was wrong with the request may be right now
        without = [*excluded, check("negative_data_rejection")] if mended else excluded
        case.call_and_validate(headers=headers, timeout=PATIENCE, excluded_checks=without)

    send()


def check(name: str) -> Any:
    """One of the fuzzer's checks; its registry is typed wider than what is made of it."""
    return CHECKS.get_one(name)


def at_home(case: Case[Any], known: Known) -> dict[str, str]:
    """Let half of the requests come from the owner, most of them to what exists; gives the headers."""
    chance = random.Random(zlib.crc32(repr((case.path_parameters, case.query, case.body)).encode()))
    if chance.random() < 0.5:
        return {}
    for name in case.path_parameters:
        if name in known.ids and chance.random() < 0.8:
            case.path_parameters[name] = known.ids[name]
    return {"Authorization": f"Bearer {known.token}"}
