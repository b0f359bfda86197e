"""What there is to see of a running cluster, each second: processes, memory, lag, rates."""

import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from time import monotonic

from cluster.control import HEALTHY, Control, State
from cluster.processes import cpu_seconds, descendants

_LAG, _BACKLOG = "insuretech_consumer_lag", "insuretech_relay_backlog"
_SAMPLE = re.compile(r"^(insuretech_\w+)(?:\{[^}]*\})? ([0-9.eE+-]+|NaN)$", re.MULTILINE)


@dataclass(frozen=True)
class Row:
    """One process. ``rate`` is requests a second, ``processor`` the share of one core; ``None`` is "not known".

    ``lag`` are records it has not handled yet, ``waiting`` events of its service that are not in Kafka yet.
    """

    state: State
    processor: float | None = None
    rate: float | None = None
    lag: int | None = None
    waiting: int | None = None


@dataclass(frozen=True)
class Snapshot:
    """All of it at one moment; ``rate`` is requests a second at the public address, ``errors`` answers of 5xx."""

    rows: tuple[Row, ...] = ()
    rate: float = 0.0
    errors: float = 0.0
    open_requests: int = 0

    @property
    def memory(self) -> int:
        """Bytes; pages shared by several are counted for each."""
        return sum(row.state.memory for row in self.rows)

    @property
    def lag(self) -> int:
        return sum(row.lag or 0 for row in self.rows)

    @property
    def waiting(self) -> int:
        """Events that wait for Kafka. Replicas count the same ones, so the largest count of each service is taken."""
        largest: dict[str, int] = {}
        for row in self.rows:
            largest[row.state.role] = max(largest.get(row.state.role, 0), row.waiting or 0)
        return sum(largest.values())

    @property
    def unwell(self) -> list[str]:
        return [row.state.name for row in self.rows if row.state.state != HEALTHY]


@dataclass
class Watcher:
    """Takes snapshots; rates are differences to the one before."""

    control: Control
    _before: dict[str, float] = field(default_factory=dict)
    _moment: float = 0.0

    def look(self) -> Snapshot:
        """A snapshot of now; blocks for as long as the slowest process takes to answer, at most about a second."""
        with ThreadPoolExecutor(8) as pool:
            metrics = pool.map(self._metrics, self.control.services())
            states = self.control.states()
            told = dict(zip(self.control.services(), metrics, strict=True))
        counters = self._balancer()
        for state in states:
            if state.pid:
                counters[f"cpu:{state.pid}"] = sum(cpu_seconds(pid) for pid in (state.pid, *descendants(state.pid)))
        rates = self._rates(counters)
        return Snapshot(
            rows=tuple(_row(state, told.get(state.name, {}), rates) for state in states),
            rate=rates.get("requests:public", 0.0),
            errors=rates.get("errors:public", 0.0),
            open_requests=int(counters.get("open:public", 0)),
        )

    def _metrics(self, name: str) -> Mapping[str, float]:
        try:
            return sums(self.control.metrics(name))
        except OSError:
            return {}

    def _balancer(self) -> dict[str, float]:
        """Counters of HAProxy by what they count; none while it does not answer."""
        try:
            return counters_of(self.control.balancer())
        except OSError:
            return {}

    def _rates(self, counters: Mapping[str, float]) -> dict[str, float]:
        """Growth a second of what was known before; a counter that began anew gives none."""
        now = monotonic()
        passed = max(now - self._moment, 0.001)
        rates = {
            name: (value - self._before[name]) / passed
            for name, value in counters.items()
            if value >= self._before.get(name, float("inf"))
        }
        self._before, self._moment = dict(counters), now
        return rates


def sums(text: str) -> dict[str, float]:
    """Metrics in Prometheus' form, added up over their labels."""
    found: dict[str, float] = {}
    for name, value in _SAMPLE.findall(text):
        found[name] = found.get(name, 0.0) + float(value)
    return found


def counters_of(rows: Iterable[Mapping[str, str]]) -> dict[str, float]:
    """HAProxy's counters that we show, from its own table."""
    found = {}
    for row in rows:
        proxy, server = row["pxname"], row["svname"]
        if server == "FRONTEND" and proxy == "public":
            found["requests:public"] = float(row["req_tot"] or 0)
            found["errors:public"] = float(row["hrsp_5xx"] or 0)
            found["open:public"] = float(row["scur"] or 0)
        elif server not in {"FRONTEND", "BACKEND"}:
            found[f"requests:{server}"] = float(row["stot"] or 0)
    return found


def _row(state: State, metrics: Mapping[str, float], rates: Mapping[str, float]) -> Row:
    return Row(
        state,
        processor=rates.get(f"cpu:{state.pid}"),
        rate=rates.get(f"requests:{state.name}"),
        lag=_whole(metrics.get(_LAG)),
        waiting=_whole(metrics.get(_BACKLOG)),
    )


def _whole(value: float | None) -> int | None:
    return None if value is None or value != value else int(value)  # noqa: PLR0124 - not a number
