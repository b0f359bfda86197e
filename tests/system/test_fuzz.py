"""A fuzzer that knows the API's own description: no answer that the document does not describe.

``FUZZ_EXAMPLES`` is the number of made-up requests for every operation (``make fuzz`` takes many more).
"""

import asyncio
import os
import random
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import CHECKS

from tests.system.answers import ANSWERS
from tests.system.buyer import Buyer
from tests.system.running import RunningMarketplace
from tests.system.sandbox import Sandbox

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "30"))
SKIPPED_CHECKS = ("ignored_auth", "use_after_free", "ensure_resource_availability")
"""They suppose a 401 for a missing token; here what is not yours does not exist (404)."""

pytestmark = pytest.mark.timeout(60 + 3 * EXAMPLES)


@dataclass(frozen=True)
class Known:
    """Things that exist, so that some requests get past the door."""

    token: str
    ids: dict[str, str]


@pytest.fixture(scope="session")
def known(market: RunningMarketplace) -> Known:
    """One purchase, made before the fuzzing begins."""

    async def buy() -> Known:
        async with httpx.AsyncClient(base_url=market.base_url, timeout=20, trust_env=False) as http:
            await Sandbox(http).calm()
            order, state = await Buyer(http).buy("travel", ANSWERS["travel"](), "bystra")
            return Known(
                order.quote.token,
                {
                    "quote_id": order.quote.id,
                    "order_id": order.id,
                    "number": state["policy"]["number"],
                    "code": "travel",
                },
            )

    return asyncio.run(buy())


@pytest.fixture(scope="session")
def described(market: RunningMarketplace) -> Any:
    """The API as it describes itself."""
    return schemathesis.openapi.from_url(f"{market.base_url}/schema/openapi.json")


api = schemathesis.pytest.from_fixture("described")


@api.parametrize()
@settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_every_answer_is_described(case: schemathesis.Case[Any], known: Known) -> None:
    """Otherwise a client written by the document breaks on an answer nobody told it of."""
    chance = random.Random(case.as_curl_command())
    headers = {}
    if chance.random() < 0.5:
        headers["Authorization"] = f"Bearer {known.token}"
        parameters = case.path_parameters or {}
        for name in parameters:
            if name in known.ids and chance.random() < 0.8:
                parameters[name] = known.ids[name]
    excluded = [CHECKS.get_one(name) for name in SKIPPED_CHECKS]
    case.call_and_validate(headers=headers, timeout=20, excluded_checks=excluded)  # type: ignore[arg-type]  # the registry is wider
