"""Hot reads against a bare Litestar handler that returns the same bytes, by turns, one core for either."""

from statistics import median

from bench import load, stage
from bench.report import Figure

CONNECTIONS = 32
TARGETS = {"product list": "/api/v1/products", "product page data": "/api/v1/products/osago"}


async def measure(seconds: float, rounds: int) -> list[Figure]:
    """A figure for each target."""
    with stage.on_cores(stage.SERVER_CORES), stage.marketplace() as market:
        async with stage.client(market.base_url) as http:
            http.headers["Accept-Encoding"] = "identity"
            bodies = {}
            for name, path in TARGETS.items():
                answer = await http.get(path)
                answer.raise_for_status()
                bodies[name.replace(" ", "-")] = answer.content
        with stage.bare_litestar(bodies) as bare:
            await stage.answering(bare)
            return [
                await _compare(name, path, market.port, bare, seconds=seconds, rounds=rounds)
                for name, path in TARGETS.items()
            ]


async def _compare(name: str, path: str, ours: int, bare: int, *, seconds: float, rounds: int) -> Figure:
    """Ours, bare, ours, bare …; the median of each."""
    sides = {
        "ours": (ours, load.request("GET", path)),
        "bare": (bare, load.request("GET", f"/{name.replace(' ', '-')}")),
    }
    rates: dict[str, list[float]] = {"ours": [], "bare": []}
    with stage.on_cores(stage.LOAD_CORES):
        for port, request in sides.values():
            await load.steady(port, request, connections=CONNECTIONS, seconds=min(1.0, seconds))
        for _ in range(rounds):
            for side, (port, request) in sides.items():
                run = await load.steady(port, request, connections=CONNECTIONS, seconds=seconds)
                if run.failures:
                    raise RuntimeError(f"{name}, {side}: {run.failures[0][:300]!r}")
                rates[side].append(run.rate)
    ours_rate, bare_rate = median(rates["ours"]), median(rates["bare"])
    return Figure(
        name=name,
        value=ours_rate / bare_rate,
        value_unit="of the limit",
        direction="at least",
        aim=0.7,
        ours=ours_rate,
        limit=bare_rate,
        unit="requests/s",
        notes=f"{CONNECTIONS} connections, server on one core, load on another; median of {rounds} turns",
        runs=[ours / limit for ours, limit in zip(rates["ours"], rates["bare"], strict=True)],
    )
