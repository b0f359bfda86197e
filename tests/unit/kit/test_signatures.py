"""Messages signed with a shared secret."""

from datetime import UTC, datetime, timedelta

import pytest

from insuretech.kit.signatures import TOLERANCE, is_genuine, signed

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
BODY = '{"event": "готово"}'.encode()


def test_only_the_body_that_was_signed_is_genuine() -> None:
    """Otherwise a stranger speaks in an insurer's name."""
    header = signed("secret", BODY, NOW)

    assert is_genuine("secret", BODY, header, NOW)
    assert not is_genuine("other", BODY, header, NOW)
    assert not is_genuine("secret", BODY + b" ", header, NOW)


def test_the_moment_is_signed_and_must_be_near() -> None:
    """Otherwise a message overheard once can be repeated for ever."""
    header = signed("secret", BODY, NOW)

    assert is_genuine("secret", BODY, header, NOW + timedelta(seconds=TOLERANCE))
    assert not is_genuine("secret", BODY, header, NOW + timedelta(seconds=TOLERANCE + 1))
    assert not is_genuine("secret", BODY, header, NOW - timedelta(seconds=TOLERANCE + 1))
    later = NOW + timedelta(hours=1)
    assert not is_genuine(
        "secret", BODY, header.replace(f"t={NOW.timestamp():.0f}", f"t={later.timestamp():.0f}"), later
    )


@pytest.mark.parametrize("header", ["", "t=", "t=1", "t=x,v1=y", "t=,v1=", "t=²,v1=a", "t=9" * 99, "v1=ё", "t=1,v1=ё"])
def test_nonsense_is_not_genuine(header: str) -> None:
    """Otherwise a hostile header ends in a stack trace."""
    assert not is_genuine("secret", BODY, header, NOW)
