"""How requests go through the twin, hop by hop: how many stay near, how many a copy answers, how long each hop takes.

Questions are asked from each region's network, by the names people know; what each hop counted meanwhile, in logs and
statistics of its own, says where it sent them. People who use the twin at the same time are counted along.
"""

import csv
import io
import json
import re
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table

from deploy.commands import run
from deploy.twin import person
from deploy.twin.inside import kubectl
from deploy.twin.machine import Running
from deploy.twin.whole import Twin

_ASKED = 200
"""Questions of each kind from each region."""
_LIST, _PAGE = "/api/v1/products", "/api/v1/products/osago"
_PASSED_ON = "Authorization: Bearer measuring"
"""A request with it is answered by no copy, so it goes all the way."""
_WRITTEN = "%{time_total} %header{x-point} %header{x-cache}\n"
_LIMIT = 120.0
_STATISTICS = 8404
_LOG = "/var/log/nginx/access.log"
_ANSWERED = re.compile(r'^insuretech_requests_total\{method="GET",status="200"\} (\S+)$', re.MULTILINE)
_METRICS = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8000/metrics', timeout=5).read().decode())"
_IN_POD = f"""
import http.client, time
c = http.client.HTTPConnection("127.0.0.1", 8000, timeout=5)
for _ in range({_ASKED}):
    t = time.perf_counter(); c.request("GET", "{_PAGE}"); c.getresponse().read(); print(time.perf_counter() - t)
"""


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """Of ``all`` calls of a hop, ``near`` ones stayed near, or were answered by a copy."""

    hop: str
    near: int
    all: int


class Took(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds, medians: ``whole`` from this hop to the answer and back, of which the hop itself ``added``."""

    region: str
    hop: str
    whole: float
    added: float


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What was found."""

    shares: tuple[Share, ...]
    hops: tuple[Took, ...]


def measure(twin: Twin) -> Measured:
    """Ask and count; half a minute."""
    regions = tuple(twin.inventory.ways)
    before = _Counted.of(twin)
    copies = {region: _asked(twin, region, _LIST) for region in regions}
    stayed: Counter[bool] = Counter()
    hops = tuple(one for region in regions for one in _hops(twin, region, stayed))
    after = _Counted.of(twin)
    pods = Share(hop="ingress → service of the same site", near=stayed[True], all=stayed.total())
    return Measured(shares=(*_points(twin, copies), *_sites(twin, before, after), pods, *_reads(twin)), hops=hops)


# ---------------------------------------------------------------- questions


def _asked(twin: Twin, region: str, path: str, *more: str) -> list[list[str]]:
    """For each of the questions what curl writes of it, as words; asked as a person of the region."""
    command = ("curl", "--silent", "--max-time", "10", "-o", "/dev/null", "-w", _WRITTEN, *more)
    words = person.words(twin, region, (*command, f"{person.ADDRESS}{path}?[1-{_ASKED}]"))
    told = run(*words, environment=_surroundings(twin), limit=_LIMIT).stdout
    return [line.split() for line in told.splitlines()]


def _surroundings(twin: Twin) -> dict[str, str]:
    return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"} | person.environment(twin)


def _median(seconds: Sequence[float]) -> float:
    return statistics.median(seconds) * 1000


def _hops(twin: Twin, region: str, stayed: Counter[bool]) -> Iterator[Took]:
    """The same question from ever nearer to its answer; what a hop adds is what the next one lacks.

    ``stayed`` counts the answers that came from a service of the ingress' own site, and those that did not.
    """
    site = twin.inventory.ways[region].sites[0]
    address = twin.inventory.addresses[site]
    seconds = {
        "CDN": [float(words[0]) for words in _asked(twin, region, _PAGE, "-H", _PASSED_ON)],
        "edge": [
            float(words[0])
            for words in _asked(
                twin, region, _PAGE, "-H", _PASSED_ON, "--connect-to", f"{person.HOST}:443:{address}:443"
            )
        ],
        "ingress": _at_ingress(twin, site, stayed),
        "service": _in_pod(twin, site),
    }
    wholes = {hop: _median(took) for hop, took in seconds.items()}
    following = [*list(wholes.values())[1:], 0.0]
    for (hop, whole), rest in zip(wholes.items(), following, strict=True):
        yield Took(region=region, hop=hop, whole=round(whole, 2), added=round(whole - rest, 2))


def _at_ingress(twin: Twin, site: str, stayed: Counter[bool]) -> list[float]:
    zones = _service_pods(twin)
    before = {pod: _answered(_python(twin, pod, _METRICS)) for pod in zones}
    edge = next(one for one in twin.chosen(["edge"]) if one.machine.site == site)
    node = next(one for one in twin.chosen(["worker"]) if one.machine.site == site)
    question = f"'http://{node.machine.address}:30080{_PAGE}?[1-{_ASKED}]'"
    told = edge.ssh(
        f"curl --silent --max-time 10 -o /dev/null -H 'Host: {person.HOST}' -w '%{{time_total}}\\n' {question}",
        limit=_LIMIT,
    ).stdout
    for pod, count in before.items():
        stayed[zones[pod] == site] += _answered(_python(twin, pod, _METRICS)) - count
    return [float(line) for line in told.split()]


def _in_pod(twin: Twin, site: str) -> list[float]:
    pod = next(name for name, zone in _service_pods(twin).items() if zone == site)
    return [float(line) for line in _python(twin, pod, _IN_POD).split()]


# ---------------------------------------------------------------- counts


class _Counted(msgspec.Struct, frozen=True, kw_only=True):
    """What the hops had counted at a moment."""

    backends: dict[str, dict[str, int]]
    logs: dict[str, int]

    @classmethod
    def of(cls, twin: Twin) -> "_Counted":
        return cls(
            backends={one.name: _backends(one.ssh("varnishstat -1 -f 'VBE.*.req'").stdout) for one in _cdn(twin)},
            logs={one.name: int(one.ssh(f"stat -c %s {_LOG}").stdout) for one in twin.chosen(["edge"]) if one.runs},
        )


def _cdn(twin: Twin) -> list[Running]:
    return [one for one in twin.chosen(["cdn"]) if one.runs]


def _backends(told: str) -> dict[str, int]:
    """Requests of a point by the backend that they went to."""
    found = {}
    for line in told.splitlines():
        name, value, *_ = line.split()
        found[name.split(".")[2]] = int(value)
    return found


def _answered(metrics: str) -> int:
    """How many GET requests a process has answered well."""
    return round(sum(float(value) for value in _ANSWERED.findall(metrics)))


def _points(twin: Twin, copies: Mapping[str, list[list[str]]]) -> Iterator[Share]:
    answers = [(region, words) for region, told in copies.items() for words in told]
    near = sum(words[1] == twin.inventory.ways[region].points[0] for region, words in answers)
    yield Share(hop="people → nearest point of the CDN", near=near, all=len(answers))
    hits = sum(words[2:] in (["hit"], ["stale"]) for _, words in answers)
    yield Share(hop="product list answered by a copy in the CDN", near=hits, all=len(answers))


def _sites(twin: Twin, before: _Counted, after: _Counted) -> Iterator[Share]:
    sent: Counter[bool] = Counter()
    for point, now in after.backends.items():
        first = twin.inventory.points[point][0]
        for backend, count in now.items():
            sent[backend in {first, "anyway"}] += count - before.backends.get(point, {}).get(backend, 0)
    yield Share(hop="CDN → nearest site", near=sent[True], all=sent.total())
    went: Counter[bool] = Counter()
    for one in twin.chosen(["edge"]):
        if one.name in after.logs and one.name in before.logs:
            lines = one.ssh(f"tail -c +{before.logs[one.name] + 1} {_LOG}", limit=_LIMIT).stdout.splitlines()
            net = twin.inventory.net(one.machine.site)
            went.update(_within(upstream, net) for upstream in _upstreams(lines))
    yield Share(hop="edge → ingress of the same site", near=went[True], all=went.total())


def _upstreams(lines: Sequence[str]) -> Iterator[str]:
    """To whom nginx passed each request in the end."""
    for line in lines:
        try:
            upstream = str(json.loads(line).get("upstream", ""))
        except ValueError:
            continue  # the line is being written
        if upstream not in {"", "-"}:
            yield re.split(r"[, ]+", upstream)[-1]


def _within(address: str, net: IPv4Network) -> bool:
    host = address.rpartition(":")[0]
    try:
        return IPv4Address(host) in net
    except ValueError:
        return False


def _reads(twin: Twin) -> Iterator[Share]:
    """Connections for reads that HAProxy has made since it started."""
    reading: Counter[bool] = Counter()
    for one in twin.chosen(["haproxy"]):
        if one.runs:
            told = one.ssh(f"curl --silent 'http://{one.machine.address}:{_STATISTICS}/;csv'").stdout
            for row in csv.DictReader(io.StringIO(told.lstrip("# "))):
                if row["svname"] not in {"FRONTEND", "BACKEND"} and row["pxname"] in {"near", "far"}:
                    reading[row["pxname"] == "near"] += int(row["stot"] or 0)
    if reading.total():
        yield Share(hop="HAProxy → standby of the same site (reads)", near=reading[True], all=reading.total())


# ---------------------------------------------------------------- pods


def _service_pods(twin: Twin) -> dict[str, str]:
    """Pods that answer people's questions, and the zone of each."""
    words = (*kubectl(twin), "--namespace", "insuretech")
    zones = {
        one["metadata"]["name"]: one["metadata"]["labels"].get("topology.kubernetes.io/zone", "")
        for one in json.loads(run(*words, "get", "nodes", "--output=json").stdout)["items"]
    }
    told = run(*words, "get", "pods", "--selector=insuretech/service=true", "--output=json").stdout
    return {
        one["metadata"]["name"]: zones.get(one["spec"].get("nodeName", ""), "")
        for one in json.loads(told)["items"]
        if one["metadata"]["labels"]["app.kubernetes.io/component"] in {"market", "catalogue"}
        and one["status"]["phase"] == "Running"
    }


def _python(twin: Twin, pod: str, program: str) -> str:
    words = (*kubectl(twin), "--namespace", "insuretech", "exec", pod, "--", "/usr/bin/python3", "-c", program)
    return run(*words, limit=_LIMIT).stdout


# ---------------------------------------------------------------- the screen


def screen(found: Measured) -> RenderableType:
    """For people."""
    shares = Table("hop", "stayed near", "of", "share", title="Where calls went")
    for one in found.shares:
        share = f"{one.near / one.all:.1%}" if one.all else "–"
        shares.add_row(one.hop, str(one.near), str(one.all), share)
    hops = Table("region", "from here on", "whole, ms", "the hop itself, ms", title="How long it took, medians")
    for took in found.hops:
        hops.add_row(took.region, took.hop, f"{took.whole:.2f}", f"{took.added:.2f}")
    return Group(shares, hops)
