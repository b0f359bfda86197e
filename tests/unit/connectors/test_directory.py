"""The directory of insurers: what the packaged file says, what one's own may say, how mistakes are told."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from insuretech.connectors.directory import DirectoryInvalid, open_directory, read_profiles
from insuretech.connectors.json_callback import JsonCallback
from insuretech.connectors.json_polling import JsonPolling
from insuretech.connectors.xml_sync import XmlSync
from insuretech.kit.clock import FixedClock
from insuretech.kit.db import Database
from insuretech.kit.http import new_client
from insuretech.kit.keyring import Keyring
from insuretech.kit.live import LiveHub
from insuretech.kit.platform import Platform
from insuretech.kit.settings import Settings

ONE = """
insurers:
  - code: own
    name: {ru: Своя, en: Own}
    dialect: json_callback
    url: https://insurer.invalid/api
    claims_days: 3
    commission: "0.05"
    secret: OWN_SECRET
"""
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@pytest.fixture
async def surroundings() -> AsyncIterator[dict[str, object]]:
    """What a platform consists of beside its settings."""
    async with new_client() as http:
        yield {"clock": FixedClock(NOW), "keyring": Keyring.generate(), "http": http, "live": LiveHub()}


def platform(surroundings: dict[str, object], **settings: object) -> Platform:
    """A platform with these settings."""

    def no_database(service: str) -> Database:
        raise AssertionError(f"{service} needs no database here")

    return Platform(settings=Settings(**settings), database=no_database, **surroundings)  # type: ignore[arg-type]


def test_the_packaged_insurers_are_those_of_the_sandbox(surroundings: dict[str, object]) -> None:
    """A quote of a fresh installation would have fewer insurers than the sandbox plays, or speak the wrong dialect."""
    directory = open_directory(platform(surroundings, insurer_time_limit=20.0), {})
    dialects = {code: type(directory.connector(code)) for code in directory.codes()}
    assert dialects == {
        "bystra": XmlSync,
        "tihohod": JsonPolling,
        "kabinet": JsonPolling,
        "zvonok": JsonCallback,
        "mercator": XmlSync,
        "otkazov": JsonPolling,
        "peremena": JsonPolling,
        "tumanov": XmlSync,
        "zavis": XmlSync,
        "molchun": JsonPolling,
    }
    for code in directory.codes():
        profile = directory.profile(code)
        assert profile.name.ru
        assert profile.name.en.isascii()
        assert profile.time_limit == 20.0
        assert 0 < profile.commission < 1
        assert profile.claims_days > 0


def test_calls_go_to_the_sandbox_and_callbacks_come_to_us(surroundings: dict[str, object]) -> None:
    """With another address or port the marketplace would call itself somewhere else, or insurers call nobody."""
    around = platform(surroundings, public_url="https://market.invalid/", sandbox_url="http://play.invalid")
    connector = open_directory(around, {}).connector("zvonok")
    assert isinstance(connector, JsonCallback)
    assert connector.callback_url == "https://market.invalid/api/v1/callbacks/insurers/zvonok"
    assert connector.outbound._base_url == "http://play.invalid/sandbox/insurers/zvonok"
    assert connector.secret == Settings().sandbox_secret


def test_a_call_that_hangs_ends_before_its_quote(surroundings: dict[str, object]) -> None:
    """A hanging insurer would never count as failing, and every quote would wait for it anew."""
    directory = open_directory(platform(surroundings), {})
    connector = directory.connector("zavis")
    assert isinstance(connector, XmlSync)
    assert 0 < connector.outbound._time_limit < directory.profile("zavis").time_limit


def test_an_insurer_of_ones_own_with_its_secret(surroundings: dict[str, object], tmp_path: Path) -> None:
    """Connecting an insurer would need a change of code, or its secret lie in the file."""
    file, secret = tmp_path / "insurers.yaml", tmp_path / "secret"
    file.write_text(ONE, encoding="utf-8")
    secret.write_text("from a file\n", encoding="utf-8")
    around = platform(surroundings, insurers_file=file)
    for environ, expected in (
        ({"INSURETECH_OWN_SECRET": "plain"}, "plain"),
        ({"INSURETECH_OWN_SECRET_FILE": str(secret)}, "from a file"),
    ):
        directory = open_directory(around, environ)
        connector = directory.connector("own")
        assert isinstance(connector, JsonCallback)
        assert connector.secret == expected
        assert directory.codes() == ("own",)
        assert directory.profile("own").commission == Decimal("0.05")
    with pytest.raises(DirectoryInvalid, match="INSURETECH_OWN_SECRET"):
        open_directory(around, {})
    with pytest.raises(DirectoryInvalid, match="cannot be read"):
        open_directory(around, {"INSURETECH_OWN_SECRET_FILE": str(tmp_path / "nowhere")})


def test_a_missing_file_is_told_in_a_sentence(surroundings: dict[str, object], tmp_path: Path) -> None:
    """The server would end with a stack trace."""
    with pytest.raises(DirectoryInvalid, match=r"cannot be read: No such file or directory\."):
        open_directory(platform(surroundings, insurers_file=tmp_path / "nowhere.yaml"), {})


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("insurers:", "companies:"), "needs a list `insurers`"),
        (("claims_days: 3", "claims_days: soon"), r"insurer 1: .*\$\.claims_days"),
        (("dialect: json_callback", "dialect: fax"), "insurer 1: .*fax"),
        (("claims_days: 3", "claim_days: 3"), "insurer 1: unknown field claim_days"),
        (("claims_days: 3", "claims_days: 3\n    time_limit: 0"), "insurer 1: time_limit and concurrency"),
        (("name: {", "name: {{"), "is not YAML"),
    ],
)
def test_mistakes_in_the_file_are_told_with_their_place(change: tuple[str, str], told: str) -> None:
    """Whoever connects an insurer would search the file for what is wrong."""
    with pytest.raises(DirectoryInvalid, match=told):
        read_profiles(ONE.replace(*change), "own.yaml", 60)


def test_two_insurers_of_one_code_are_refused() -> None:
    """The second would silently take the place of the first."""
    with pytest.raises(DirectoryInvalid, match="own is listed twice"):
        read_profiles(ONE + ONE.removeprefix("\ninsurers:\n"), "own.yaml", 60)
