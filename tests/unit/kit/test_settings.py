"""Settings fail with a sentence, never silently and never with a stack trace."""

from pathlib import Path

import pytest

from insuretech.kit.settings import Settings, SettingsInvalid, load_settings


def test_nothing_set_is_enough() -> None:
    """Otherwise `make run` would need something by hand."""
    settings = load_settings({"PATH": "/bin", "HOME": "/root"})
    assert settings == Settings()
    assert settings.base_url == "http://127.0.0.1:8000"
    assert settings.payment_url == "http://127.0.0.1:8000/sandbox/yookassa/v3"


def test_settings_come_from_the_environment_in_their_types() -> None:
    """Otherwise what an operator sets has no effect."""
    settings = load_settings(
        {
            "PORT": "9000",
            "INSURETECH_HOME": "~/data",
            "INSURETECH_SANDBOX_ENABLED": "false",
            "INSURETECH_QUOTE_TTL": "600",
            "INSURETECH_PUBLIC_URL": "https://example.org/",
        }
    )
    assert settings.port == 9000
    assert settings.home == Path.home() / "data"
    assert settings.sandbox_enabled is False
    assert settings.quote_ttl == 600
    assert settings.base_url == "https://example.org"


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        ({"PORT": "web"}, "The setting PORT is wrong: Expected `int`, got `str`."),
        ({"INSURETECH_QUOTE_TTL": "-1"}, "The setting INSURETECH_QUOTE_TTL is wrong: Expected `float` > 0.0."),
        ({"INSURETECH_BODY_LIMIT": "0"}, "The setting INSURETECH_BODY_LIMIT is wrong: Expected `int` >= 1."),
        ({"INSURETECH_LOG_LEVEL": "LOUD"}, "The setting INSURETECH_LOG_LEVEL is wrong: Invalid enum value 'LOUD'."),
        ({"INSURETECH_QUOTE_TLL": "1"}, "There is no setting INSURETECH_QUOTE_TLL; did you mean INSURETECH_QUOTE_TTL?"),
        ({"INSURETECH_Q": "1"}, "There is no setting INSURETECH_Q."),
        (
            {"INSURETECH_SANDBOX_SECRET_FILE": "/nowhere/secret"},
            "INSURETECH_SANDBOX_SECRET_FILE names /nowhere/secret, which cannot be read: No such file or directory.",
        ),
    ],
)
def test_a_wrong_setting_is_named_in_one_sentence(environ: dict[str, str], sentence: str) -> None:
    """Otherwise an operator reads a stack trace, or runs with a default instead of what was meant."""
    with pytest.raises(SettingsInvalid) as caught:
        load_settings(environ)
    assert str(caught.value) == sentence


@pytest.mark.parametrize("value", ["nan", "inf", "1e300"])
def test_a_time_that_never_ends_is_refused(value: str) -> None:
    """Otherwise an insurer could be waited for without end."""
    with pytest.raises(SettingsInvalid, match="INSURETECH_INSURER_TIME_LIMIT"):
        load_settings({"INSURETECH_INSURER_TIME_LIMIT": value})


def test_a_secret_may_come_from_a_file(tmp_path: Path) -> None:
    """Otherwise secrets must stand in the environment, where every child process sees them."""
    file = tmp_path / "secret"
    file.write_text("from the file\n")
    settings = load_settings({"INSURETECH_YOOKASSA_SECRET_KEY_FILE": str(file)})
    assert settings.yookassa_secret_key == "from the file"


@pytest.mark.parametrize(("content", "reason"), [(b"", "is empty"), (b"\xff\xfe", "is not a text file")])
def test_an_unusable_secret_file_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    """Otherwise calls go out signed with nothing."""
    file = tmp_path / "secret"
    file.write_bytes(content)
    with pytest.raises(SettingsInvalid, match=reason):
        load_settings({"INSURETECH_SANDBOX_SECRET_FILE": str(file)})


def test_only_secrets_may_come_from_files(tmp_path: Path) -> None:
    """Otherwise a misplaced name would be read as a file although the setting has no such form."""
    with pytest.raises(SettingsInvalid, match="There is no setting INSURETECH_QUOTE_TTL_FILE"):
        load_settings({"INSURETECH_QUOTE_TTL_FILE": str(tmp_path)})
