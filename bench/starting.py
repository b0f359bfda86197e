"""How long a start takes with the data there, and what the running process needs of memory."""

from pathlib import Path
from statistics import median

from bench import stage
from bench.report import Figure
from tests.system.answers import ANSWERS
from tests.system.buyer import Buyer
from tests.system.sandbox import Sandbox

PURCHASES = 20


async def measure(rounds: int) -> list[Figure]:
    """Starts on an existing folder, then memory right after a start and after some purchases."""
    with stage.marketplace() as market:
        first = market.ready_after
        starts, stops = [], []
        for _ in range(rounds):
            stops.append(market.stop())
            market.start()
            starts.append(market.ready_after)
        idle = stage.memory_of(market.pid)
        async with stage.client(market.base_url) as http:
            await Sandbox(http).calm()
            buyer = Buyer(http, patience=60)
            for number in range(PURCHASES):
                product = ("osago", "mortgage", "travel")[number % 3]
                await buyer.buy(product, ANSWERS[product](), "bystra")
        busy = stage.memory_of(market.pid)
        press: list[float] = []
        others: list[float] = []
        for pid in market.processes():
            if pid != market.pid:
                (press if _is_press(pid) else others).append(stage.memory_of(pid).proportional)
        return [
            Figure(
                name="start with data there",
                value=median(starts),
                value_unit="s",
                direction="at most",
                aim=5.0,
                ours=median(starts),
                limit=None,
                unit="s",
                notes=f"from the command to the line Ready; first start on an empty folder {first:.2f} s, "
                f"stop {median(stops):.2f} s",
                runs=starts,
            ),
            Figure(
                name="memory of the process",
                value=busy.resident,
                value_unit="MB",
                direction="at most",
                aim=120.0,
                ours=busy.resident,
                limit=None,
                unit="MB",
                notes=f"resident after {PURCHASES} purchases; {idle.resident:.0f} MB after the start; "
                f"PSS {busy.proportional:.0f} MB; beside it PostgreSQL {sum(others):.0f} MB (PSS), and while it prints "
                f"policies the press {sum(press):.0f} MB",
            ),
        ]


def _is_press(pid: int) -> bool:
    """Whether a process prints; it is gone a quarter of a minute after the last page."""
    return b"press_child" in Path(f"/proc/{pid}/cmdline").read_bytes()
