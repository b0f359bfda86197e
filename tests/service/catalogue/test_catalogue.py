"""The catalogue against a real PostgreSQL and behind the edge every process has."""

import asyncio
from collections.abc import AsyncIterator, Callable
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import copytree
from typing import Any

import httpx
import jsonschema_rs
import msgspec
import pytest
import sqlalchemy as sa

from insuretech.catalogue.app import Catalogue, build
from insuretech.catalogue.commands import NotOnSale, VersionTaken
from insuretech.catalogue.product_files import packaged_files
from insuretech.catalogue.tables import messaging, product_pages
from insuretech.compose.edge import application
from insuretech.contracts.events import ProductPublished, ProductWithdrawn
from insuretech.contracts.products import ProductDefinition
from insuretech.kit.clock import FixedClock
from insuretech.kit.db import Database
from insuretech.kit.events import Envelope
from insuretech.kit.http import OutgoingClient, new_client
from insuretech.kit.keyring import Keyring
from insuretech.kit.live import LiveHub
from insuretech.kit.platform import Platform
from insuretech.kit.relay import deliver
from insuretech.kit.settings import Settings
from tests.unit.catalogue.insurers import NamedInsurers

CASE: dict[str, Any] = {
    "vehicle": {"category": "B", "power_hp": "87", "purpose": "personal", "trailer": False},
    "owner": {"kind": "individual", "region": "Москва", "territory": "Москва"},
    "drivers": {
        "limited": True,
        "list": [{"birth_date": "1988-01-01", "licence_since": "2008-01-01", "kbm_class": "4"}],
    },
    "use": {"starts_on": "2026-03-10", "months": 12},
}
CORRIDOR = "/api/v1/products/osago/corridor"


class World:
    """A catalogue with its surroundings."""

    def __init__(self, database: Database, http: OutgoingClient, folder: Path) -> None:
        self.database = database
        self.folder = copytree(str(packaged_files()), folder / "data")
        self.clock = FixedClock(datetime(2026, 6, 21, 20, 59, 59, tzinfo=UTC))
        settings = Settings(home=folder, public_url="https://example.org")
        platform = Platform(settings, self.clock, Keyring.generate(), http, LiveHub(), lambda _: database)
        self.catalogue: Catalogue = build(platform, insurers=NamedInsurers())
        app = application(list(self.catalogue.service.routes), settings)
        transport = httpx.ASGITransport(app)  # type: ignore[arg-type]  # the two name the same protocol differently
        self.client = httpx.AsyncClient(
            transport=transport, base_url="http://test", headers={"Accept-Encoding": "identity"}
        )

    async def start(self) -> None:
        for hook in [*self.catalogue.service.seed, *self.catalogue.service.on_start]:
            await hook()

    async def events(self) -> list[Envelope]:
        """What the catalogue told so far."""
        columns = messaging.outbox.c
        async with self.database.reading() as connection:
            rows = (await connection.execute(sa.select(messaging.outbox).order_by(columns.position))).mappings().all()
        return [
            Envelope(
                **{name: row[name] for name in ("id", "type", "topic", "key", "occurred_at", "trace_id")},
                payload=msgspec.Raw(row["payload"]),
            )
            for row in rows
        ]

    async def hear(self, envelope: Envelope) -> None:
        """Let the pages follow one event."""
        (reaction,) = self.catalogue.service.reactions
        assert await deliver(reaction, envelope, attempts=1, backoff=0)

    async def settle(self) -> None:
        """Deliver the newest event and wait until the process has the new pages in memory."""
        before = await self.tags()
        await self.hear((await self.events())[-1])
        following = [asyncio.ensure_future(loop.run()) for loop in self.catalogue.service.background]
        for _ in range(500):
            if await self.tags() != before:
                break
            await asyncio.sleep(0.01)
        for task in following:
            task.cancel()
        assert await self.tags() != before

    async def tags(self) -> list[str | None]:
        paths = ("", "/osago", "/mortgage", "/travel")
        return [(await self.get(f"/api/v1/products{path}")).headers.get("etag") for path in paths]

    def change(self, name: str, old: str, new: str) -> None:
        path = self.folder / name
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self.client.get(path, headers=headers)

    async def corridor(self, body: object, language: str = "ru") -> httpx.Response:
        return await self.client.post(CORRIDOR, json=body, headers={"Accept-Language": language})


@pytest.fixture
async def world(database: Callable[[str], Database], tmp_path: Path) -> AsyncIterator[World]:
    """A catalogue that has started on an empty database."""
    async with new_client() as http:
        world = World(database("catalogue"), http, tmp_path)
        await world.start()
        async with world.client:
            yield world


async def test_what_the_package_brings_is_on_sale_at_once(world: World) -> None:
    """A buyer who comes the moment the site is up must find all products, OSAGO first."""
    answer = (await world.get("/api/v1/products")).json()
    assert [item["code"] for item in answer["items"]] == ["osago", "mortgage", "travel"]
    assert answer["items"][0]["title"] == {"ru": "ОСАГО", "en": "OSAGO"}


async def test_a_product_page_holds_all_a_client_needs(world: World) -> None:
    """A wizard draws from this alone; a missing part would leave a buyer before an empty page."""
    page = (await world.get("/api/v1/products/osago")).json()
    assert page["question_set"]["properties"]["vehicle"]["properties"]["plate"]["x-label"]["en"] == "Registration plate"
    assert page["steps"][0]["fields"] == ["/vehicle/plate", "/vehicle/vin"]
    assert page["insurers"][0] == {
        "code": "bystra",
        "name": {"ru": "Имя bystra", "en": "Name bystra"},
        "claims_days": 9,
        "commission": "0.10",
    }
    assert page["price_corridor"]["href"] == CORRIDOR
    consent = page["consents"][0]
    assert (consent["code"], consent["version"], consent["required"]) == ("personal-data", "1", True)
    assert consent["url"] == "/consents/personal-data/1"
    assert page["cancellation"]["refundable_share"] == "0.77"


@pytest.mark.parametrize(
    ("path", "operation"),
    [
        ("/api/v1/products", "/api/v1/products"),
        ("/api/v1/products/osago", "/api/v1/products/{code}"),
        ("/api/v1/products/mortgage", "/api/v1/products/{code}"),
        ("/api/v1/products/travel", "/api/v1/products/{code}"),
        ("/api/v1/products/osago/territories", "/api/v1/products/osago/territories"),
        ("/api/v1/consents/news/1", "/api/v1/consents/{code}/{version}"),
    ],
)
async def test_answers_are_what_the_description_says(world: World, path: str, operation: str) -> None:
    """A client generated from the OpenAPI document must be able to read every stored page."""
    document = (await world.get("/schema/openapi.json")).json()
    content = document["paths"][operation]["get"]["responses"]["200"]["content"]
    schema = {**content["application/json"]["schema"], "components": document["components"]}
    answer = await world.get(path)
    assert answer.headers["content-type"] == "application/json"
    assert [error.message for error in jsonschema_rs.iter_errors(schema, answer.json())] == []


async def test_consents_keep_their_text(world: World) -> None:
    """Whoever agreed once must be able to read what to."""
    text = (await world.get("/api/v1/consents/news/1")).json()
    assert text["title"]["en"] == "Send me reminders and news"
    assert (await world.get("/api/v1/consents/news/2")).status_code == 404


async def test_an_unknown_product_is_a_problem_document(world: World) -> None:
    """A mistyped address must say so in a form a program reads."""
    answer = await world.get("/api/v1/products/kasko")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


async def test_pages_are_cacheable_and_known_by_their_tag(world: World) -> None:
    """A browser that has the page must not download it again; one that has an older one must."""
    first = await world.get("/api/v1/products/osago")
    assert first.headers["cache-control"].startswith("public, max-age=60")
    again = await world.get("/api/v1/products/osago", **{"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    other = await world.get("/api/v1/products/osago", **{"If-None-Match": '"older"'})
    assert other.status_code == 200


async def test_compressed_pages_are_the_same_pages(world: World) -> None:
    """Half the bytes on a phone must still be the same product, and be told apart by caches."""
    plain = await world.get("/api/v1/products/osago")
    small = await world.get("/api/v1/products/osago", **{"Accept-Encoding": "gzip"})
    assert small.json() == plain.json()
    assert small.headers["content-encoding"] == "gzip"
    assert small.headers["etag"] != plain.headers["etag"]
    assert "Accept-Encoding" in small.headers["vary"]
    assert int(small.headers["content-length"]) * 2 < int(plain.headers["content-length"])
    again = await world.get(
        "/api/v1/products/osago", **{"Accept-Encoding": "gzip", "If-None-Match": small.headers["etag"]}
    )
    assert again.status_code == 304


async def test_hot_reads_do_not_need_the_database(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Product pages must stay up while the database is away."""
    for way in ("reading", "transaction"):
        monkeypatch.setattr(world.database, way, None)
    assert (await world.get("/api/v1/products")).status_code == 200
    assert (await world.get("/api/v1/products/travel")).status_code == 200
    assert (await world.get("/api/v1/products/osago/territories")).status_code == 200


async def test_the_places_to_choose_from_change_with_the_edition(world: World) -> None:
    """A town whose coefficient has expired must go from the list at midnight in Moscow."""

    async def towns() -> list[str]:
        answer = (await world.get("/api/v1/products/osago/territories")).json()
        return next(item["territories"] for item in answer["items"] if item["region"] == "Новосибирская область")

    assert "Искитим" in await towns()
    world.clock.advance(timedelta(seconds=1))
    assert "Искитим" not in await towns()


async def test_a_whole_region_is_offered_by_its_name(world: World) -> None:
    """A buyer in the Moscow region must see words, not our mark for a whole region, and get a corridor with them."""
    answer = (await world.get("/api/v1/products/osago/territories")).json()
    region = next(item for item in answer["items"] if item["region"] == "Московская область")
    assert region == {"region": "Московская область", "territories": ["Московская область"], "whole_region": True}
    case = deepcopy(CASE)
    case["owner"] = {"kind": "individual", "region": "Московская область", "territory": "Московская область"}
    assert (await world.corridor({"concluded_on": "2026-03-01", "answers": case})).status_code == 200


async def test_the_corridor_is_told_with_its_factors(world: World) -> None:
    """The limits beside the form, with each coefficient's ground."""
    answer = await world.corridor({"concluded_on": "2026-03-01", "answers": CASE}, "en-GB,en;q=0.9")
    assert answer.status_code == 200
    corridor = answer.json()
    assert corridor["edition"] == "7204-U"
    assert corridor["min"] == {"amount": "2576.12", "currency": "RUB"}
    assert corridor["max"] == {"amount": "15955.73", "currency": "RUB"}
    assert corridor["factors"][0]["code"] == "TB"
    assert (corridor["factors"][0]["min"], corridor["factors"][0]["max"]) == ("1399", "8665")
    assert corridor["factors"][1]["value"] == "1.8"
    assert corridor["factors"][1]["why"] == "Where the owner is registered: Москва"
    assert answer.headers["cache-control"] == "no-store"


async def test_a_place_without_a_coefficient_is_refused(world: World) -> None:
    """No guess: the buyer reads which answer leads out of the tables."""
    case = deepcopy(CASE)
    case["owner"].update(region="Тверская область", territory="Ржев")
    answer = await world.corridor({"concluded_on": "2026-03-01", "answers": case})
    assert answer.status_code == 422
    problem = answer.json()
    assert problem["type"] == "https://example.org/problems/tariff-unavailable"
    assert [error["pointer"] for error in problem["errors"]] == ["/answers/owner/territory"]


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({"answers": CASE}, ["/concluded_on"]),
        ({"concluded_on": "2026-02-30", "answers": CASE}, ["/concluded_on"]),
        ({"concluded_on": "2026-03-01", "answers": []}, ["/answers"]),
        ({"concluded_on": "2026-03-01", "answers": CASE, "promo": "x"}, ["/promo"]),
        (
            {"concluded_on": "2026-03-01", "answers": {**CASE, "use": {"months": 13}, "extra": 1}},
            ["/answers/extra", "/answers/use/months"],
        ),
    ],
)
async def test_wrong_requests_name_every_field(world: World, body: object, pointers: list[str]) -> None:
    """A client must learn everything wrong in one answer, in a 422 and never a 500."""
    answer = await world.corridor(body)
    assert answer.status_code == 422
    assert sorted(error["pointer"] for error in answer.json()["errors"]) == pointers


async def test_quotes_get_the_same_corridor_without_http(world: World) -> None:
    """The corridor shown and the one offers are held against must be one."""
    shown = (await world.corridor({"concluded_on": "2026-03-01", "answers": CASE})).json()
    used = await world.catalogue.corridor(datetime(2026, 3, 1, tzinfo=UTC).date(), CASE, "ru")
    assert msgspec.json.decode(msgspec.json.encode(used)) == shown


async def test_loading_again_changes_nothing(world: World) -> None:
    """A restart must not publish every product anew."""
    before = len(await world.events())
    loaded = await world.catalogue.load(None)
    assert {each.outcome for each in loaded} == {"unchanged"}
    assert len(await world.events()) == before == 3


async def test_a_new_version_reaches_the_page_and_other_services(world: World) -> None:
    """A changed question must be asked from the next page view on, and quotes must hear of it."""
    old = await world.get("/api/v1/products/travel")
    world.change("products/travel.yaml", 'version: "1"', 'version: "2"')
    world.change("products/travel.yaml", "maxItems: 30", "maxItems: 31")
    loaded = {each.code: each.outcome for each in await world.catalogue.load(world.folder)}
    assert loaded == {"osago": "unchanged", "mortgage": "unchanged", "travel": "published"}
    newest = (await world.events())[-1]
    assert newest.type == ProductPublished.type_name()
    definition: ProductDefinition = msgspec.json.decode(newest.payload, type=ProductPublished).definition
    assert (definition.code, definition.version) == ("travel", "2")
    await world.settle()
    new = await world.get("/api/v1/products/travel", **{"If-None-Match": old.headers["etag"]})
    assert new.status_code == 200
    assert new.json()["question_set"]["properties"]["travellers"]["maxItems"] == 31


async def test_a_published_version_cannot_change_its_questions(world: World) -> None:
    """People bought under version 1: its questions must stay what they were, and nothing is loaded half."""
    world.change("products/travel.yaml", "maxItems: 30", "maxItems: 31")
    world.change("products/mortgage.yaml", 'version: "1"', 'version: "2"')
    with pytest.raises(VersionTaken, match="Version 1 of the product travel"):
        await world.catalogue.load(world.folder)
    assert {each.code: each.version for each in await world.catalogue.products()}["mortgage"] == "1"
    assert len(await world.events()) == 3


async def test_a_consent_people_gave_cannot_change_its_text(world: World) -> None:
    """What somebody agreed to must stay readable word by word."""
    world.change("consents/news.yaml", "Send me reminders and news", "Send me everything")
    with pytest.raises(VersionTaken, match="Version 1 of the consent news"):
        await world.catalogue.load(world.folder)


async def test_wording_of_a_page_may_be_mended_in_place(world: World) -> None:
    """A misprint in the questions and answers needs no new version."""
    world.change("products/travel.yaml", "Which sum should I choose?", "Which sum shall I choose?")
    loaded = {each.code: each.outcome for each in await world.catalogue.load(world.folder)}
    assert loaded["travel"] == "texts changed"
    await world.settle()
    page = (await world.get("/api/v1/products/travel")).json()
    assert page["faq"][0]["question"]["en"] == "Which sum shall I choose?"


async def test_a_withdrawn_product_is_gone_and_stays_gone(world: World) -> None:
    """A product no longer sold must not come back with a restart, only with a new version."""
    await world.catalogue.withdraw("travel")
    assert (await world.events())[-1].type == ProductWithdrawn.type_name()
    await world.settle()
    assert (await world.get("/api/v1/products/travel")).status_code == 404
    listed = (await world.get("/api/v1/products")).json()["items"]
    assert [item["code"] for item in listed] == ["osago", "mortgage"]
    assert {each.code: each.outcome for each in await world.catalogue.load(None)}["travel"] == "withdrawn before"
    with pytest.raises(NotOnSale):
        await world.catalogue.withdraw("travel")
    world.change("products/travel.yaml", 'version: "1"', 'version: "2"')
    loaded = {each.code: each.outcome for each in await world.catalogue.load(world.folder)}
    assert loaded["travel"] == "published"


async def test_the_projection_is_rebuilt_from_the_products(world: World) -> None:
    """After an accident with the projection one command must bring the pages back, byte by byte."""
    before = (await world.get("/api/v1/products/osago")).headers["etag"]
    async with world.database.transaction() as connection:
        await connection.execute(sa.delete(product_pages))
    assert await world.catalogue.service.projections["pages"]() == 1 + 3 + 5
    await world.start()
    assert (await world.get("/api/v1/products/osago")).headers["etag"] == before


async def test_two_processes_that_start_together_publish_once(world: World) -> None:
    """Each product must be announced once, however many processes come up at the same time."""
    world.change("products/travel.yaml", 'version: "1"', 'version: "2"')
    await asyncio.gather(*(world.catalogue.load(world.folder) for _ in range(3)))
    kinds = [envelope.type for envelope in await world.events()]
    assert kinds.count(ProductPublished.type_name()) == 4
