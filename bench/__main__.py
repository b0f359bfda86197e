"""``python -m bench [measurement …] [--quick]``: measure, print the table, keep JSON and picture in bench/results."""

import argparse
import signal
import sys
from collections.abc import Awaitable, Callable
from time import monotonic

import uvloop

from bench import (
    events,
    partitions,
    placing,
    projected,
    quoting,
    reads,
    reconciling,
    replicas,
    report,
    settlement,
    stage,
    starting,
)
from bench.report import Figure

Measurement = Callable[[bool], Awaitable[list[Figure]]]


async def _reads(quick: bool) -> list[Figure]:
    return await reads.measure(seconds=1.0 if quick else 3.0, rounds=1 if quick else 5)


async def _placing(quick: bool) -> list[Figure]:
    return await placing.measure(orders=100 if quick else 800, seconds=2 if quick else 5, rounds=1 if quick else 3)


async def _quoting(quick: bool) -> list[Figure]:
    return [await quoting.measure_our_part(50 if quick else 500)]


async def _live(quick: bool) -> list[Figure]:
    return await quoting.measure_live(quotes=100 if quick else 2500, rate=50 if quick else 100)


async def _replicas(quick: bool) -> list[Figure]:
    return await replicas.measure(quotes=90 if quick else 2500, rate=15 if quick else 30)


async def _projections(quick: bool) -> list[Figure]:
    return await projected.measure(seconds=1.0 if quick else 3.0, rounds=1 if quick else 5)


async def _starting(quick: bool) -> list[Figure]:
    return await starting.measure(rounds=1 if quick else 5)


async def _events(quick: bool) -> list[Figure]:
    return await events.measure(backlog=4000 if quick else 60_000, seconds=5 if quick else 60)


async def _partitions(quick: bool) -> list[Figure]:
    return await partitions.measure(orders=600 if quick else 20_000)


async def _million(_: bool) -> list[Figure]:
    return await partitions.measure(orders=1_000_000)


async def _settlement(quick: bool) -> list[Figure]:
    return await settlement.measure(lines=20_000 if quick else 1_000_000)


async def _reconciling(quick: bool) -> list[Figure]:
    return await reconciling.measure(lines=20_000 if quick else 1_000_000)


MEASUREMENTS: dict[str, Measurement] = {
    "reads": _reads,
    "orders": _placing,
    "quotes": _quoting,
    "live": _live,
    "replicas": _replicas,
    "projections": _projections,
    "start": _starting,
    "events": _events,
    "partitions": _partitions,
    "settlement": _settlement,
    "reconciliation": _reconciling,
}


async def _measure(names: list[str], quick: bool) -> list[Figure]:
    figures = []
    for name in names:
        began = monotonic()
        figures += await MEASUREMENTS[name](quick)
        stage.console.print(f"{name}: {monotonic() - began:.0f} s", style="dim")
    return figures


def main() -> None:
    """Run what was asked for, or everything."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="measurement", help=f"of {', '.join(MEASUREMENTS)}; all by default")
    parser.add_argument("--quick", action="store_true", help="few and short turns, nothing kept: does it work at all")
    parser.add_argument("--full", action="store_true", help="what takes tens of minutes: a million orders' rows")
    asked = parser.parse_args()
    if asked.full:
        MEASUREMENTS["partitions"] = _million
    if unknown := set(asked.names) - set(MEASUREMENTS):
        parser.error(f"no such measurement: {', '.join(sorted(unknown))}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is ended
    figures = uvloop.run(_measure(asked.names or list(MEASUREMENTS), asked.quick))
    report.show(figures, stage.console)
    if not asked.quick:
        for path in report.keep(figures):
            stage.console.print(f"Kept in {path}", style="dim")


if __name__ == "__main__":
    main()
