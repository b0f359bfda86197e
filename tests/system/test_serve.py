"""Starting and stopping, as a person with a terminal sees it."""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.system.buyer import PATIENCE
from tests.system.running import COMMAND, RunningMarketplace, strain

pytestmark = pytest.mark.single


def refused(home: Path, **settings: str) -> str:
    """What ``insuretech serve`` says when it cannot start: one line, no stack trace, and exit code 1."""
    market = RunningMarketplace(home, settings)
    ended = subprocess.run(
        [str(COMMAND), "serve"], env=market.environment(), capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert ended.returncode == 1, ended.stderr
    assert ended.stdout == ""
    assert ended.stderr.count("\n") == 1, ended.stderr
    assert ended.stderr.endswith(".\n")
    return ended.stderr.strip()


def test_ready_line_and_what_to_open(market: RunningMarketplace) -> None:
    """Otherwise scripts that wait for the line wait for ever, and people do not find the site."""
    lines = market.log.read_text(encoding="utf-8").splitlines()

    start = lines.index(f"Ready: {market.base_url}")
    assert [line.split()[-1] for line in lines[start + 1 : start + 4]] == [
        market.base_url,
        f"{market.base_url}/docs",
        f"{market.base_url}/sandbox",
    ]


def test_cold_start_on_new_and_on_known_data(tmp_path: Path) -> None:
    """Otherwise people look at nothing for longer than they wait; the bounds grow with the strain of the machine."""
    market = RunningMarketplace(tmp_path / "home")
    for _ in range(2):
        with market:
            assert market.ready_after < 15 * strain()
            assert market.stop() < 5 * strain()


def test_taken_port_is_said_in_one_sentence(tmp_path: Path) -> None:
    """Otherwise the second terminal shows a stack trace, or two servers share the port and halve the requests."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        said = refused(tmp_path / "home", PORT=str(port))

    assert said.startswith(f"Port {port} on 127.0.0.1 is taken by another program")
    assert not (tmp_path / "home").exists()


def test_port_of_a_running_marketplace_is_taken(market: RunningMarketplace, tmp_path: Path) -> None:
    """Otherwise the kernel spreads a buyer's requests over two marketplaces with different data."""
    assert "is taken by another program" in refused(tmp_path / "home", PORT=str(market.port))


@pytest.mark.parametrize("port", ["eighty", "70000", "-1"])
def test_port_that_is_none_is_said_in_one_sentence(tmp_path: Path, port: str) -> None:
    """Otherwise a typing error shows a stack trace."""
    assert "port" in refused(tmp_path / "home", PORT=port).lower()


def test_folder_that_cannot_be_written_is_said_in_one_sentence(tmp_path: Path) -> None:
    """Otherwise a wrong INSURETECH_HOME shows a stack trace."""
    (tmp_path / "file").write_text("not a folder")

    said = refused(tmp_path / "file" / "home")

    assert said == f"The folder {tmp_path}/file/home cannot be written: Not a directory."


def test_folder_in_use_is_said_in_one_sentence(market: RunningMarketplace) -> None:
    """Otherwise two marketplaces write over each other's data."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]

    said = refused(market.home, PORT=str(free))

    assert f"already in use by another running instance (process {market.pid})." in said


def test_broken_data_are_said_in_one_sentence(tmp_path: Path) -> None:
    """Otherwise damage to the disk looks like an error of the program."""
    data = tmp_path / "home" / "postgres" / "data"
    data.mkdir(parents=True, mode=0o700)
    (data / "PG_VERSION").write_text("18\n")

    assert f"The database in {data} does not start: " in refused(tmp_path / "home")


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("postgresql://nobody@127.0.0.1:1/shop", "cannot be used"),
        ("mysql://nobody@127.0.0.1/shop", "PostgreSQL is needed"),
        ("rubbish", "is not an address"),
    ],
)
def test_database_that_does_not_answer_is_said_in_one_sentence(tmp_path: Path, address: str, said: str) -> None:
    """Otherwise a slip in DATABASE_URL shows a stack trace, or the password in it."""
    assert said in refused(tmp_path / "home", DATABASE_URL=address)


def heed_interrupts() -> None:
    """Tests that run in the background of a shell inherit that SIGINT is ignored; a person's terminal does not."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("after", [1.0, 1.7])
def test_ctrl_c_during_the_start_leaves_nothing_behind(tmp_path: Path, after: float) -> None:
    """Otherwise an impatient person has a database running that nobody knows of."""
    market = RunningMarketplace(tmp_path / "home")
    with subprocess.Popen(
        [str(COMMAND), "serve"],
        env=market.environment(),
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=heed_interrupts,  # noqa: PLW1509 - no other thread runs here
    ) as process:
        time.sleep(after)
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=PATIENCE)

    assert b"Traceback" not in said
    assert not list(market.processes())


def test_ctrl_c_twice_is_one_clean_stop(tmp_path: Path) -> None:
    """Otherwise make, which hands SIGTERM on, turns every stop into an interrupted one."""
    market = RunningMarketplace(tmp_path / "home")
    with market:
        os.killpg(market.pid, signal.SIGINT)
        assert market.stop() < 5 * strain()
    assert "Traceback" not in market.tail()


async def test_product_files_that_contradict_the_data_are_said_in_one_sentence(tmp_path: Path) -> None:
    """Otherwise a version that was changed and not raised stops the shop with a page of stack trace."""
    market = RunningMarketplace(tmp_path / "home")
    with market:
        await market.rows(
            "update catalogue.product_versions set content = convert_to("
            "replace(convert_from(content, 'UTF8'), '\"kind\":\"compulsory\"', '\"kind\":\"voluntary\"'), 'UTF8')"
        )
        market.stop()

    said = refused(market.home)

    assert said.startswith("Version ")
    assert said.endswith(" is on record with other content; raise its version.")
