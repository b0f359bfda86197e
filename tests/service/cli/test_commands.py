"""The commands that look after a marketplace, as programs and people call them."""

import asyncio
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import msgspec
import pytest
from sqlalchemy.engine import URL
from structlog.testing import capture_logs

from insuretech.cli import serve, session
from insuretech.cli.main import main
from insuretech.kit.roles import role_password


@dataclass(frozen=True)
class Ended:
    """A command that has run."""

    code: int
    said: str
    complained: str

    def document(self) -> Any:
        """What it printed for programs."""
        assert self.code == 0, self.complained
        return msgspec.json.decode(self.said)


Command = Callable[..., Ended]
Sql = Callable[..., Any]


@pytest.fixture
def insuretech(
    admin_url: URL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Command]:
    """Runs ``insuretech`` on the test's database, in this process as that is ten times as quick."""
    address = admin_url.set(drivername="postgresql").render_as_string(hide_password=False)
    # The log would stay bound to what pytest captures in this test; unbound it would go to where documents do.
    monkeypatch.setattr(session, "configure_logging", lambda _: None)
    settings = {"DATABASE_URL": address, "INSURETECH_HOME": str(tmp_path), "NO_COLOR": "1", "COLUMNS": "120"}

    def run(*arguments: str, **more: str) -> Ended:
        for name, value in (settings | more).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["insuretech", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return Ended(int(ended.value.code or 0), said.out, said.err)

    with capture_logs():
        yield run


@pytest.fixture
def sql(admin_url: URL) -> Sql:
    """Looks at the database, or changes it behind the commands' back; gives the first row."""

    async def ask(statement: str, *values: object) -> Any:
        connection = await asyncpg.connect(
            host=str(admin_url.query["host"]), user=admin_url.username, database=admin_url.database
        )
        try:
            return await connection.fetchrow(statement, *values)
        finally:
            await connection.close()

    return lambda statement, *values: asyncio.run(ask(statement, *values))


def test_products_are_loaded_and_listed(insuretech: Command) -> None:
    """Otherwise nobody can put a product on sale."""
    loaded = (insuretech("products", "load", "--json")).document()
    listed = (insuretech("products", "list", "--json")).document()

    assert {product["outcome"] for product in loaded} == {"published"}
    assert {product["code"] for product in listed} == {product["code"] for product in loaded} >= {"osago"}
    for_people = insuretech("products", "list")
    assert "osago" in for_people.said
    assert "{" not in for_people.said


def test_faults_in_product_files_are_told_by_line(insuretech: Command, tmp_path: Path) -> None:
    """Otherwise the person who wrote the product searches for the slip alone."""
    (tmp_path / "mine" / "products").mkdir(parents=True)
    (tmp_path / "mine" / "consents").mkdir()
    (tmp_path / "mine" / "products" / "flat.yaml").write_text("code: flat\nversion: [\n")

    ended = insuretech("products", "load", str(tmp_path / "mine"))

    assert ended.code == 1
    assert ended.complained.startswith("flat.yaml:")
    assert "Traceback" not in ended.complained


def test_outbox_is_counted_and_sent_again(insuretech: Command, sql: Sql) -> None:
    """Otherwise nobody sees that events pile up, and a consumer that lost its data gets nothing back."""
    insuretech("products", "load")
    before = outbox_of_catalogue(insuretech)
    assert before["waiting"] > 0
    assert before["oldest"]

    sql("update catalogue.outbox set published_at = now()")
    assert (outbox_of_catalogue(insuretech))["waiting"] == 0
    future = (insuretech("outbox", "replay", "catalogue", "--since", "2200-01-01", "--json")).document()
    assert future["events"] == 0
    again = (
        insuretech("outbox", "replay", "catalogue", "--type", "catalogue.product.v1.published", "--json")
    ).document()

    assert again["events"] == before["waiting"]
    assert outbox_of_catalogue(insuretech) == before

    sql("update catalogue.outbox set published_at = now()")
    everybody = insuretech("outbox", "replay", "--json").document()

    assert everybody == {"service": None, "events": before["waiting"]}


def outbox_of_catalogue(insuretech: Command) -> dict[str, Any]:
    """The catalogue's line of ``outbox status``."""
    states = (insuretech("outbox", "status", "--json")).document()
    return next(dict(state) for state in states if state["service"] == "catalogue")


def test_a_service_that_is_none_is_refused(insuretech: Command) -> None:
    """Otherwise a slip in the name looks like success."""
    ended = insuretech("outbox", "replay", "catalog")

    assert ended.code == 2
    assert "catalogue" in ended.complained


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["service", "nothing"], "There is no service nothing"),
        (["service", "orders", "orders"], "once in a process"),
    ],
)
def test_services_that_cannot_be_served_are_said_in_one_sentence(
    insuretech: Command, monkeypatch: pytest.MonkeyPatch, words: list[str], complaint: str
) -> None:
    """Otherwise a slip in a deployment is a process that starts, fails and starts again without a reason."""
    monkeypatch.setattr(serve, "configure_logging", lambda _: None)
    ended = insuretech(*words)
    assert ended.code == 1
    assert complaint in ended.complained
    assert len(ended.complained.splitlines()) == 1


@pytest.mark.parametrize("words", [["service"], ["service", "--nothing"], ["serve", "more"]])
def test_what_cannot_be_read_is_explained(insuretech: Command, words: list[str]) -> None:
    """The short way to a serving process must not take what only the command line can explain."""
    ended = insuretech(*words)
    assert ended.code == 2
    assert "Usage: insuretech" in ended.said + ended.complained


def test_dead_letters_are_listed_shown_and_replayed(insuretech: Command, sql: Sql) -> None:
    """Otherwise a message that failed once is lost for good."""
    insuretech("products", "load")
    letter = bury_a_product(sql)

    listed = (insuretech("dead-letters", "list", "--json")).document()
    assert [(one["id"], one["reason"]) for one in listed] == [(letter, "it was tired")]
    shown = (insuretech("dead-letters", "show", letter)).document()
    assert shown[0]["envelope"]["payload"]["definition"]["code"]
    assert (insuretech("dead-letters", "replay")).code == 2
    assert (insuretech("dead-letters", "replay", str(uuid4()))).code == 2

    assert (insuretech("dead-letters", "replay", letter, "--json")).document() == {"tried": 1, "handled": 1}
    assert (insuretech("dead-letters", "list", "--json")).document() == []
    assert sql("select count(*) from quotes.products")[0] == 1


def bury_a_product(sql: Sql) -> str:
    """Let quotes have given up on one product event; the letter's id."""
    event = dict(sql("select id, type, topic, key, occurred_at, trace_id, payload from catalogue.outbox limit 1"))
    letter = uuid4()
    sql(
        "insert into quotes.dead_letters (id, consumer, event_id, type, envelope, reason, attempts) "
        "values ($1, 'quotes.products', $2, $3, $4, 'it was tired', 5)",
        letter,
        event["id"],
        event["type"],
        msgspec.json.encode({**event, "payload": msgspec.json.decode(event["payload"])}),
    )
    return str(letter)


def test_a_letter_that_fails_again_stays(insuretech: Command, sql: Sql) -> None:
    """Otherwise a script takes a replay for success and the message is gone."""
    insuretech("products", "load")
    letter = bury_a_product(sql)
    sql("update quotes.dead_letters set consumer = 'quotes.nobody'")

    ended = insuretech("dead-letters", "replay", "--all", "--json")

    assert ended.code == 1
    assert msgspec.json.decode(ended.said) == {"tried": 1, "handled": 0}
    assert [one["id"] for one in (insuretech("dead-letters", "list", "--json")).document()] == [letter]


def test_projections_are_rebuilt(insuretech: Command, sql: Sql) -> None:
    """Otherwise pages that were lost or are wrong stay so until the next change of a product."""
    insuretech("products", "load")

    rebuilt = (insuretech("projections", "rebuild", "catalogue.pages", "--json")).document()

    assert rebuilt[0]["entries"] == sql("select count(*) from catalogue.product_pages")[0] > 0
    unknown = insuretech("projections", "rebuild", "catalogue.leaves")
    assert unknown.code == 2
    assert "catalogue.pages" in unknown.complained


def test_projections_are_listed_and_checked(insuretech: Command) -> None:
    """Nobody would know which there are; those in the memory of another process are not for a command to judge."""
    listed = {row["projection"]: row["lies"] for row in insuretech("projections", "list", "--json").document()}
    assert listed["catalogue.pages"].startswith("in")
    assert {"quotes.offers", "orders.order"} <= set(listed)
    assert insuretech("projections", "check", "--json").document() == []


def test_keys_are_rotated(insuretech: Command) -> None:
    """Otherwise a key that leaked stays in use."""
    first = (insuretech("keys", "rotate", "--json")).document()
    second = (insuretech("keys", "rotate", "--json")).document()

    assert (first["current"], second["current"]) == ("k2", "k3")
    assert {"quotes", "orders"} <= set(second["reencrypted"])


def test_keys_are_handed_out_before_they_are_used(insuretech: Command) -> None:
    """Otherwise machines with copies of the key file cannot change a key without errors."""
    made, again = insuretech("keys", "create", "--json").document(), insuretech("keys", "create", "--json").document()
    assert (made["made"], again["made"]) == (True, False)
    coming = insuretech("keys", "add", "--json").document()
    assert (coming["current"], coming["newest"]) == ("k1", "k2")
    assert insuretech("keys", "use", "--json").document()["current"] == "k2"
    assert insuretech("keys", "reencrypt", "--json").document()["current"] == "k2"


def test_a_service_is_told_its_own_way_to_the_database(insuretech: Command) -> None:
    """Otherwise every process has to hold the secret from which all passwords follow."""
    address = "postgresql://deployer:secret@db.example:5432/shop"
    found = insuretech("database", "address", "orders", "--json", DATABASE_URL=address, INSURETECH_DATABASE_SECRET="s")
    password = role_password("s", "orders")
    assert found.document()["database_url"] == f"postgresql://orders:{password}@db.example:5432/shop"
    assert insuretech("database", "address", "nobody", DATABASE_URL=address).code == 2


def test_documents_are_checked(insuretech: Command, sql: Sql) -> None:
    """Otherwise a lost policy is found by the buyer who needs it, and a nightly check cannot raise an alarm."""
    assert insuretech("documents", "check", "--json").document() == []
    digest = "ab" * 32
    sql(
        """insert into documents.documents (id, policy_id, order_id, owner, number, state, storage_key, sha256, size,
        created_at) values ($1, $2, $3, 'buyer:x', 'X 1', 'in_force', $4, $5, 1, now())""",
        *(uuid4(), uuid4(), uuid4()),
        *(f"policies/ab/{digest}.k1", digest),
    )
    ended = insuretech("documents", "check", "--json")
    (found,) = msgspec.json.decode(ended.said)
    assert (ended.code, found["fault"], found["repaired"]) == (1, "missing", False)
    assert insuretech("documents", "check", "--repair").code == 1, "what it was printed from is not there"


def test_a_storage_that_is_away_is_one_sentence(insuretech: Command) -> None:
    """Otherwise an outage looks like the loss of every document."""
    keys = {"INSURETECH_S3_ACCESS_KEY": "k", "INSURETECH_S3_SECRET_KEY": "s"}
    ended = insuretech("documents", "check", INSURETECH_S3_URL="http://127.0.0.1:1", **keys)
    assert ended.code == 1
    assert ended.complained.startswith("The bucket insuretech cannot be used: ")
    assert ended.complained.count("\n") == 1


def test_migrations_may_be_run_at_any_time(insuretech: Command) -> None:
    """Otherwise a deployment that runs them first fails when there is nothing to do."""
    assert "orders" in (insuretech("migrate", "--json")).document()["services"]


def test_sandbox_without_a_marketplace_is_said_in_one_sentence(insuretech: Command) -> None:
    """Otherwise the person reads a stack trace and not that it has to be started."""
    ended = insuretech("sandbox", "books", PORT="1")

    assert ended.code == 1
    assert ended.complained == (
        "No marketplace answers at http://127.0.0.1:1/sandbox/api/books: "
        "start it with `insuretech serve`, or say with PORT= where it listens.\n"
    )


def test_words_are_completed(insuretech: Command) -> None:
    """Otherwise TAB in the shell does nothing."""
    ended = insuretech(_INSURETECH_COMPLETE="complete_bash", COMP_WORDS="insuretech pro", COMP_CWORD="1")

    assert ended.said.split() == ["products", "projections"]


def test_partitions_are_listed_and_looked_after(insuretech: Command) -> None:
    """Otherwise nobody can see why the disk fills, or put it right without waiting for the next round."""
    kept = {one["table"]: one for one in (insuretech("partitions", "maintain", "--json")).document()}
    listed = (insuretech("partitions", "list", "--json")).document()

    assert {"orders.inbox", "quotes.lines", "documents.outbox"} <= set(kept)
    assert not any(one["postponed"] or one["held"] or one["out_of_place"] for one in kept.values())
    assert all((part["lower"] or "") < part["upper"] for part in listed if not part["default"])
    assert {part["table"] for part in listed if part["default"]} == set(kept)
