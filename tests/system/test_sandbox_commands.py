"""The sandbox is set from the command line while the marketplace runs."""

import subprocess

import msgspec

from tests.system.buyer import PATIENCE
from tests.system.running import COMMAND, RunningMarketplace


def insuretech(market: RunningMarketplace, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command beside the marketplace."""
    return subprocess.run(
        [str(COMMAND), *arguments],
        env=market.environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def test_an_insurer_is_set_and_shown(market: RunningMarketplace) -> None:
    """Otherwise a rehearsal of an outage needs somebody at the page."""
    listed = msgspec.json.decode(insuretech(market, "sandbox", "insurers", "list", "--json").stdout)
    code, delay = listed[0]["code"], listed[0]["delay_min_ms"]

    changed = insuretech(market, "sandbox", "insurers", "set", code, "outcome=decline", "premium=null", "--json")

    assert changed.returncode == 0, changed.stderr
    shown = msgspec.json.decode(insuretech(market, "sandbox", "insurers", "show", code).stdout)
    assert (shown["outcome"], shown["delay_min_ms"]) == ("decline", delay)
    back = insuretech(
        market, "sandbox", "insurers", "set", code, f"outcome={msgspec.json.encode(listed[0]['outcome']).decode()}"
    )
    assert back.stdout == f"{code} behaves so from now on.\n"


def test_a_wrong_value_is_told_in_words(market: RunningMarketplace) -> None:
    """Otherwise a slip is silently ignored and the rehearsal proves nothing."""
    code = msgspec.json.decode(insuretech(market, "sandbox", "insurers", "list", "--json").stdout)[0]["code"]

    wrong = insuretech(market, "sandbox", "insurers", "set", code, "outcome=maybe")

    assert wrong.returncode == 1
    assert "outcome" in wrong.stderr
    assert insuretech(market, "sandbox", "insurers", "set", "nobody", "outcome=offer").returncode == 1
    assert insuretech(market, "sandbox", "insurers", "set", code, "outcome").returncode == 2


def test_books_are_printed(market: RunningMarketplace) -> None:
    """Otherwise our books cannot be held against the world's from a script."""
    books = msgspec.json.decode(insuretech(market, "sandbox", "books", "--json").stdout)

    assert set(books) >= {"policies", "payments"}


def test_commands_work_beside_a_running_marketplace(market: RunningMarketplace) -> None:
    """Otherwise looking at the outbox needs the shop to be closed."""
    states = msgspec.json.decode(insuretech(market, "outbox", "status", "--json").stdout)

    assert {"catalogue", "quotes", "orders"} <= {state["service"] for state in states}
