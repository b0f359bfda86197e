"""The table of addresses by which a load balancer leads requests to services."""

import re

import pytest

from insuretech.compose.addresses import ADDRESSES, INSIDE, OF_EACH_PROCESS, service_of
from insuretech.compose.apart import build
from insuretech.compose.services import BUILDERS
from insuretech.kit.keyring import Keyring
from insuretech.kit.settings import Settings

SETTINGS = Settings(
    database_url="postgresql://nobody@nowhere/none",
    services_url="http://balancer",
    internal_secret="a secret of this test",
)


@pytest.mark.parametrize("service", BUILDERS)
async def test_every_route_of_a_service_is_led_to_it(service: str) -> None:
    """Otherwise a resource works in one process, and in the cluster nobody finds it."""
    process = build([service], SETTINGS, Keyring.generate())
    paths = {re.sub(r"\{[^}]*\}", "some-name", route.path) for route in process.app.routes}
    await process.stop()
    public = sorted(path for path in paths if not path.startswith(OF_EACH_PROCESS))
    assert {path: service_of(path) for path in public} == dict.fromkeys(public, service)


def test_probes_and_numbers_of_processes_are_led_nowhere() -> None:
    """Otherwise everybody could read our numbers, and a probe would tell of any replica."""
    assert service_of("/metrics") is service_of("/healthz/ready") is None


def test_what_services_ask_each_other_is_in_one_place() -> None:
    """Otherwise a balancer that closes this place to the outside leaves a way in."""
    assert INSIDE == "/internal/"
    assert {address.begins.split("/")[1] for address in ADDRESSES} == {
        "api",
        "staff",
        "settlement",
        "sandbox",
        "internal",
        "",
    }
