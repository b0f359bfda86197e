"""Who gets in, who does not, and what stays of it."""

from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from insuretech.kit.clock import FixedClock
from insuretech.settlement.staff.commands import NameUnusable
from insuretech.settlement.staff.domain import NameTaken, NoSuchPerson
from tests.service.settlement.desk.conftest import Desk, proof

PAGES = (
    "/staff/settlement",
    "/staff/settlement/bystra/2026-10",
    "/staff/settlement/discrepancies",
    "/staff/settlement/discrepancies.csv",
    "/staff/deeds",
)


async def test_visitors_see_no_data(desk: Desk) -> None:
    """A stranger must learn nothing, not even that there are parties of that name."""
    async with desk.browser(accept="text/html") as browser:
        for path in PAGES:
            answer = await browser.get(path)
            assert answer.status_code == 401, path
            assert "Быстра" not in answer.text
            assert "личную ссылку" in answer.text
        api = await browser.get("/staff/api/v1/reconciliations/2026-10")
        assert (api.status_code, api.json()["type"]) == (401, "http://desk.test/problems/sign-in-needed")
        assert (await browser.get("/staff/settlement", headers={"cookie": "staff=guessed"})).status_code == 401


async def test_a_link_works_once_and_only_by_its_button(desk: Desk) -> None:
    """Programs that open links in letters must not use them up, nor must a copied link let a second person in."""
    link = (await desk.office.staff.add("olga", "settlement")).removeprefix("http://desk.test")
    async with desk.browser(accept="text/html") as browser:
        for _ in range(2):
            assert "olga" in (await browser.get(link)).text
        token = link.rpartition("token=")[2]
        answer = await browser.post("/staff/sign-in", data={"token": token})
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=lax" in cookie
        assert (await browser.get("/staff/settlement")).status_code == 200
        assert (await browser.post("/staff/sign-in", data={"token": token})).status_code == 410
        assert (await browser.get(link)).status_code == 410


async def test_tokens_are_not_kept(desk: Desk) -> None:
    """Who reads the database must not be able to sign in."""
    browser = await desk.signed_in()
    secret = browser.cookies["staff"].encode()
    async with desk.books.database.reading() as connection:
        kept = (await connection.execute(sa.text("select token_hash from settlement.staff_sessions"))).scalars().all()
    assert len(kept) == 1
    assert secret not in kept


async def test_sessions_and_links_end(desk: Desk, clock: FixedClock) -> None:
    """A link in an old letter and a browser left open are ways in."""
    token = (await desk.office.staff.add("ivan", "viewer")).rpartition("token=")[2]
    clock.advance(timedelta(minutes=31))
    async with desk.browser() as browser:
        assert (await browser.post("/staff/sign-in", data={"token": token})).status_code == 410
    browser = await desk.signed_in()
    clock.advance(timedelta(hours=1))
    assert (await browser.get("/staff/settlement")).status_code == 200
    clock.advance(timedelta(hours=1, minutes=30))
    assert (await browser.get("/staff/settlement")).status_code == 200
    clock.advance(timedelta(hours=2, minutes=1))
    assert (await browser.get("/staff/settlement")).status_code == 401


async def test_signing_out_and_closing_an_account(desk: Desk) -> None:
    """Who has left the company is out at once, in every browser."""
    browser = await desk.signed_in()
    await browser.post("/staff/sign-out", data={"csrf": await proof(browser)})
    assert (await browser.get("/staff/settlement")).status_code == 401
    other = await desk.signed_in("ivan")
    await desk.office.staff.disable("ivan")
    assert (await other.get("/staff/settlement")).status_code == 401
    with pytest.raises(NoSuchPerson):
        await desk.office.staff.link("ivan")


async def test_names(desk: Desk) -> None:
    """A name signs notes for ever: it must be one, and one person's."""
    await desk.office.staff.add("olga", "viewer")
    with pytest.raises(NameTaken):
        await desk.office.staff.add("olga", "settlement")
    for name in ("", "Ольга", "command:root", "a b", "../x"):
        with pytest.raises(NameUnusable):
            await desk.office.staff.add(name, "viewer")


async def test_viewers_look_and_change_nothing(desk: Desk) -> None:
    """Those who only look must not be able to write off money."""
    viewer = await desk.signed_in("ivan", "viewer")
    page = await viewer.get("/staff/settlement/bystra/2026-10")
    assert page.status_code == 200
    assert "data-upload" not in page.text
    form = {"csrf": await proof(viewer, "/staff/settlement")}
    path = "/staff/settlement/bystra/2026-10/comparison"
    assert (await viewer.post(path, data=form)).status_code == 403
    header = {"x-csrf-token": form["csrf"]}
    path = "/staff/api/v1/reconciliations/bystra/2026-10/comparison"
    assert (await viewer.post(path, headers=header)).status_code == 403


async def test_forms_from_elsewhere_are_refused(desk: Desk) -> None:
    """Another site must not be able to make a signed-in browser act."""
    browser = await desk.signed_in()
    path, form = "/staff/settlement/bystra/2026-10/comparison", {"csrf": await proof(browser)}
    assert (await browser.post(path)).status_code == 403
    assert (await browser.post(path, data={"csrf": "0" * 64})).status_code == 403
    assert (await browser.post(path, data=form, headers={"sec-fetch-site": "cross-site"})).status_code == 403
    assert (await browser.post(path, data=form, headers={"origin": "https://evil.example"})).status_code == 403
    assert (await browser.post(path, data=form)).status_code == 409
    api = "/staff/api/v1/reconciliations/bystra/2026-10/comparison"
    assert (await browser.post(api)).status_code == 403
    assert (await browser.post(api, headers={"x-csrf-token": form["csrf"]})).status_code == 409


async def test_the_journal_keeps_everything_and_cannot_be_changed(desk: Desk) -> None:
    """Who did what must be known a year later, whoever has access to the service."""
    browser = await desk.signed_in()
    page = await browser.get("/staff/deeds", headers={"accept-language": "en"})
    assert "signed in" in page.text
    assert "account opened" in page.text
    with pytest.raises(DBAPIError, match="refused"):
        async with desk.books.database.transaction() as connection:
            await connection.execute(sa.text("delete from settlement.staff_deeds"))


async def test_programs_sign_in_with_a_token(desk: Desk) -> None:
    """A program has no browser: it trades a link's token for a bearer token."""
    token = (await desk.office.staff.add("robot", "settlement")).rpartition("token=")[2]
    async with desk.browser() as program:
        session = (await program.post("/staff/api/v1/session", json={"token": token})).json()
        bearer = {"authorization": f"Bearer {session['token']}"}
        me = (await program.get("/staff/api/v1/me", headers=bearer)).json()
        assert (me["name"], me["role"]) == ("robot", "settlement")
        assert (await program.delete("/staff/api/v1/session", headers=bearer)).status_code == 204
        assert (await program.get("/staff/api/v1/me", headers=bearer)).status_code == 401
