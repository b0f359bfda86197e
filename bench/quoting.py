"""Our part of a quote, with insurers that need no time, and thousands of live quotes open at once."""

import asyncio
import json
import re
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import monotonic, perf_counter
from typing import cast
from uuid import uuid4

import httpx

from bench import load, stage
from bench.report import Figure
from insuretech.connectors.directory import read_profiles
from insuretech.kit.settings import Settings
from tests.system.answers import ANSWERS

PRODUCT = "osago"
HOLDING = "zvonok"
AMOUNT = re.compile(rb'"amount": ?"([0-9.]+)"')


@contextmanager
def insurers_file(port: int) -> Iterator[dict[str, str]]:
    """Settings that lead every insurer of the directory to the quick ones."""
    packaged = Path("src/insuretech/connectors/data/insurers.yaml").read_text(encoding="utf-8")
    profiles = read_profiles(packaged, "insurers.yaml", 60.0)
    entries = [
        {
            "code": code,
            "name": {"ru": profile.name.ru, "en": profile.name.en},
            "dialect": "json_callback",
            "url": f"http://127.0.0.1:{port}/{code}",
            "claims_days": profile.claims_days,
            "commission": str(profile.commission),
            "time_limit": 600,
            "concurrency": 512,
        }
        for code, profile in profiles.items()
    ]
    with TemporaryDirectory(prefix="insuretech-bench-") as folder:
        file = Path(folder) / "insurers.yaml"
        file.write_text(json.dumps({"insurers": entries}), encoding="utf-8")  # JSON is YAML
        yield {"INSURETECH_INSURERS_FILE": str(file)}


async def control(port: int, http: httpx.AsyncClient, *holding: str) -> None:
    """Let the quick insurers begin anew, at premiums inside the legal corridor."""
    body = {"concluded_on": ANSWERS["osago"]()["use"]["starts_on"], "answers": ANSWERS["osago"]()}
    corridor = (await http.post("/api/v1/products/osago/corridor", json=body)).raise_for_status().json()
    mood = {"base": corridor["min"]["amount"], "holding": holding, "secret": Settings().sandbox_secret}
    async with stage.client(f"http://127.0.0.1:{port}") as insurers:
        (await insurers.put("/control", json=mood)).raise_for_status()


# ---------------------------------------------------------------- our part


async def measure_our_part(quotes: int) -> Figure:
    """One buyer at a time, from the request to the event that the last insurer has ended."""
    with stage.quick_insurers() as port, insurers_file(port) as settings, stage.marketplace(settings) as market:
        await stage.answering(port)
        async with stage.client(market.base_url) as http:
            await control(port, http)
            slowest, ours = [], []
            for number in range(quotes + 20):
                reference = [await slowest_insurer(port), await one_quote(market.port)]
                if number >= 20:
                    slowest.append(reference[0])
                    ours.append(reference[1])
    above = (load.percentile(ours, 0.99) - median(slowest)) * 1000
    return Figure(
        name="our part of a quote, p99",
        value=above,
        value_unit="ms above the slowest insurer",
        direction="at most",
        aim=15.0,
        ours=load.percentile(ours, 0.99) * 1000,
        limit=median(slowest) * 1000,
        unit="ms",
        notes=f"{quotes} OSAGO quotes of ten insurers one after another, from the request to the last event; "
        f"median {median(ours) * 1000:.1f} ms; the limit is the slowest of ten insurers asked directly",
    )


async def slowest_insurer(port: int) -> float:
    """Seconds until the last of ten insurers has answered when asked directly, all at once."""
    body = json.dumps({"external_id": str(uuid4()), "callback_url": "http://127.0.0.1/"}).encode()
    sent = load.request("POST", "/any/partner/quotes", body=body)
    left = iter([sent] * 10)
    began = perf_counter()
    run = await load.drive(port, lambda: next(left, None), connections=10)
    assert not run.failures, run.failures[0]
    assert began
    return max(run.latencies)


async def one_quote(port: int) -> float:
    """Seconds from the request for a quote to the event that all have ended, over one connection each."""
    body = json.dumps({"product": PRODUCT, "answers": ANSWERS[PRODUCT]()}).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    following, followed = await asyncio.open_connection("127.0.0.1", port)
    try:
        began = perf_counter()
        writer.write(load.request("POST", "/api/v1/quotes", headers={"Content-Type": "application/json"}, body=body))
        created = json.loads(await answer_of(reader))
        followed.write(follow(created))
        await following.readuntil(b"event: completed")
        return perf_counter() - began
    finally:
        writer.close()
        followed.close()


async def answer_of(reader: asyncio.StreamReader) -> bytes:
    """The body of an answer with a Content-Length."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    assert length, head
    body = await reader.readexactly(int(length[1]))
    assert head.startswith(b"HTTP/1.1 201"), head + body
    return body


def follow(created: dict[str, str]) -> bytes:
    """The request for a quote's live stream."""
    token = {"Authorization": f"Bearer {created['access_token']}"}
    return load.request("GET", f"/api/v1/quotes/{created['id']}/events", headers=token)


# ---------------------------------------------------------------- many open at once


async def measure_live(quotes: int, rate: float) -> list[Figure]:
    """Open quotes that all wait for one insurer, then let it answer at an even pace."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4 * quotes)), hard))
    with stage.quick_insurers() as port, insurers_file(port) as settings, stage.marketplace(settings) as market:
        await stage.answering(port)
        async with stage.client(market.base_url) as http, stage.client(f"http://127.0.0.1:{port}") as insurers:
            await control(port, http, HOLDING)
            await asyncio.gather(*(ask(http) for _ in range(32)))  # what every process needs once
            before = stage.memory_of(market.pid)
            created = await asked(http, quotes)
            viewers = await opened(market.port, created)
            open_now = stage.memory_of(market.pid)
            delays = await released(insurers, viewers, rate)
    each = (open_now.resident - before.resident) * 1024 / quotes
    return [
        Figure(
            name=f"{quotes:,} live quotes, answer to event, p99",
            value=load.percentile(delays, 0.99) * 1000,
            value_unit="ms",
            direction="at most",
            aim=100.0,
            ours=load.percentile(delays, 0.99) * 1000,
            limit=None,
            unit="ms",
            notes=f"from the insurer's callback to the event at the client, {rate:g} answers a second; "
            f"median {median(delays) * 1000:.1f} ms, worst {max(delays) * 1000:.0f} ms, {len(delays)} seen",
        ),
        Figure(
            name=f"{quotes:,} live quotes, memory of each",
            value=each,
            value_unit="KB",
            direction="at most",
            aim=100.0,
            ours=open_now.resident,
            limit=before.resident,
            unit="MB of the process",
            notes="resident memory with all of them open, above that before the first, by their number",
        ),
    ]


async def released(insurers: httpx.AsyncClient, viewers: list["Viewer"], rate: float) -> list[float]:
    """Let held answers go; the seconds from each to its event at a viewer. The viewers hang up."""
    (await insurers.post("/release", json={"rate": rate})).raise_for_status()
    await asyncio.wait_for(asyncio.gather(*(viewer.told for viewer in viewers)), 120 + len(viewers) / rate)
    moments = (await insurers.get("/moments")).raise_for_status().json()
    for viewer in viewers:
        viewer.close()
    return [viewer.seen[premium] - moment for viewer in viewers for premium, moment in moments.items()
            if premium in viewer.seen]  # fmt: skip


async def ask(http: httpx.AsyncClient) -> dict[str, str]:
    """Submit a quote."""
    body = {"product": PRODUCT, "answers": ANSWERS[PRODUCT]()}
    created: dict[str, str] = (await http.post("/api/v1/quotes", json=body)).raise_for_status().json()
    return created


async def asked(http: httpx.AsyncClient, quotes: int) -> list[dict[str, str]]:
    """So many quotes, sixteen at a time."""
    created: list[dict[str, str]] = []
    numbers = iter(range(quotes))

    async def one_after_another() -> None:
        for _ in numbers:
            created.append(await ask(http))  # noqa: PERF401 - sixteen tasks share the list

    await asyncio.gather(*(one_after_another() for _ in range(16)))
    return created


async def opened(port: int, created: list[dict[str, str]]) -> list["Viewer"]:
    """A live stream for each quote, each with the nine early offers told."""
    loop = asyncio.get_running_loop()
    viewers = [Viewer(follow(each)) for each in created]
    for start in range(0, len(viewers), 100):
        some = viewers[start : start + 100]
        await asyncio.gather(*(loop.create_connection(one.itself, "127.0.0.1", port) for one in some))
        await asyncio.wait_for(asyncio.gather(*(viewer.early for viewer in some)), 60)
    return viewers


class Viewer(asyncio.Protocol):
    """One open stream; ``seen`` is when each premium was told."""

    def __init__(self, sent: bytes) -> None:
        loop = asyncio.get_running_loop()
        self.early: asyncio.Future[None] = loop.create_future()
        self.told: asyncio.Future[None] = loop.create_future()
        self.seen: dict[str, float] = {}
        self._sent = sent
        self._offers = 0
        self._got = b""

    def itself(self) -> "Viewer":
        return self

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)
        self._transport.write(self._sent)

    def data_received(self, data: bytes) -> None:
        now = monotonic()
        self._got += data
        whole, end, self._got = self._got.rpartition(b"\n\n")
        for found in AMOUNT.finditer(whole + end):
            self._offers += 1
            self.seen[str(Decimal(found[1].decode()))] = now
        if self._offers >= 9 and not self.early.done():
            self.early.set_result(None)
        if b"event: completed" in whole and not self.told.done():
            self.told.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        for waited in (self.early, self.told):
            if not waited.done():
                waited.set_exception(ConnectionError(f"the stream ended: {exc}"))

    def close(self) -> None:
        self._transport.close()
