"""What may be an Idempotency-Key."""

import pytest

from insuretech.kit.idempotency import Scope, checked_key, fingerprint, required_key
from insuretech.kit.problems import BadRequest, IdempotencyKeyMissing


@pytest.mark.parametrize("value", [None, ""])
def test_a_missing_key_is_a_problem_of_its_own(value: str | None) -> None:
    """Otherwise a client cannot tell what to add."""
    with pytest.raises(IdempotencyKeyMissing):
        required_key(value)


@pytest.mark.parametrize(
    ("value", "key"),
    [
        ("a", "a"),
        ('"8e03978e-40d5-43e8-bc93-6894a57f9324"', "8e03978e-40d5-43e8-bc93-6894a57f9324"),
        ("x" * 255, "x" * 255),
    ],
)
def test_a_key_may_stand_in_quotes_as_the_draft_wants_it(value: str, key: str) -> None:
    """Otherwise one client's quoted and unquoted retries are two orders."""
    assert required_key(value) == key


@pytest.mark.parametrize("value", ["x" * 256, "ключ", "a\tb", "a\nb", "\x7f"])
def test_what_cannot_be_a_key_is_refused(value: str) -> None:
    """Otherwise it fails in the database."""
    with pytest.raises(BadRequest):
        checked_key(value)


def test_locks_and_fingerprints_differ_where_requests_do() -> None:
    """Otherwise two buyers wait for each other, or a changed body goes unnoticed."""
    scopes = [Scope("a", "b", "c"), Scope("ab", "", "c"), Scope("a", "bc", ""), Scope("", "ab", "c")]
    assert len({scope.lock for scope in scopes}) == 4
    assert all(-(2**63) <= scope.lock < 2**63 for scope in scopes)
    assert fingerprint(b"1") != fingerprint(b"1 ")
