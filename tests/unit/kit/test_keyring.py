"""Personal data at rest can be read with the right key, in the right place, unaltered, and in no other way."""

import stat
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from insuretech.kit.keyring import CiphertextInvalid, Keyring, KeyringInvalid

RING = Keyring.generate()
PLACE = "orders.order:1"


@given(st.binary(max_size=2000), st.text(max_size=50))
def test_what_was_encrypted_can_be_read_in_its_place(plaintext: bytes, context: str) -> None:
    """Otherwise a policyholder's data are lost."""
    assert RING.decrypt(RING.encrypt(plaintext, context), context) == plaintext


@given(st.binary(min_size=1, max_size=50), st.data())
def test_any_altered_byte_is_noticed(plaintext: bytes, data: st.DataObject) -> None:
    """Otherwise whoever can write to the disk can change a name or a document."""
    sealed = bytearray(RING.encrypt(plaintext, PLACE))
    at = data.draw(st.integers(0, len(sealed) - 1))
    sealed[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(CiphertextInvalid):
        RING.decrypt(bytes(sealed), PLACE)


@given(st.data())
def test_a_shortened_ciphertext_is_noticed(data: st.DataObject) -> None:
    """Otherwise half a record after a crash would break the page instead of being told apart."""
    sealed = RING.encrypt(b"Ivanova", PLACE)
    with pytest.raises(CiphertextInvalid):
        RING.decrypt(sealed[: data.draw(st.integers(0, len(sealed) - 1))], PLACE)


@given(st.binary(max_size=200))
def test_rubbish_is_not_a_ciphertext(rubbish: bytes) -> None:
    """Otherwise a damaged row raises something nobody handles."""
    with pytest.raises(CiphertextInvalid):
        RING.decrypt(rubbish, PLACE)


def test_a_ciphertext_does_not_open_in_another_place() -> None:
    """Otherwise one buyer's data could be put into another's order and shown to them."""
    sealed = RING.encrypt(b"Ivanova", PLACE)
    with pytest.raises(CiphertextInvalid, match="belongs elsewhere"):
        RING.decrypt(sealed, "orders.order:2")


def test_the_same_text_never_looks_the_same() -> None:
    """Otherwise equal names can be found by comparing rows."""
    assert len({RING.encrypt(b"Ivanova", PLACE) for _ in range(100)}) == 100
    assert b"Ivanova" not in RING.encrypt(b"Ivanova", PLACE)


def test_after_rotation_old_data_are_read_and_new_data_use_the_new_key() -> None:
    """Otherwise a key could never be changed."""
    old = RING.encrypt(b"Ivanova", PLACE)
    rotated = RING.with_new_key().with_new_key()
    assert rotated.decrypt(old, PLACE) == b"Ivanova"
    fresh = rotated.encrypt(b"Ivanova", PLACE)
    assert (RING.key_id(old), rotated.key_id(fresh)) == ("k1", "k3")
    with pytest.raises(CiphertextInvalid, match="'k3' is not in the ring"):
        RING.decrypt(fresh, PLACE)


def test_the_file_is_for_its_owner_alone_and_survives(tmp_path: Path) -> None:
    """Otherwise any user of the machine has the key to all personal data, or a restart loses it."""
    path = tmp_path / "keyring.json"
    sealed = Keyring.open(path).encrypt(b"Ivanova", PLACE)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Keyring.open(path).decrypt(sealed, PLACE) == b"Ivanova"
    Keyring.open(path).with_new_key().save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Keyring.open(path).decrypt(sealed, PLACE) == b"Ivanova"
    assert [file.name for file in tmp_path.iterdir()] == ["keyring.json"], "no copy of a key is left lying about"


def test_a_file_left_by_a_crash_does_not_weaken_the_next(tmp_path: Path) -> None:
    """Otherwise a half-written, readable file of before would lend its permissions to the new keys."""
    part = tmp_path / "keyring.part"
    part.write_text("half")
    part.chmod(0o644)
    Keyring.open(tmp_path / "keyring.json")
    assert stat.S_IMODE((tmp_path / "keyring.json").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b'{"current": "k2", "keys": {"k1": "%s"}}',
        b'{"current": "k1", "keys": {"k1": "c2hvcnQ="}}',
        b'{"current": "k1", "keys": {"k1": "!"}}',
        b'{"current": "k1"}',
        b"\xff\xfe",
    ],
)
def test_an_unusable_file_is_told_with_its_name(tmp_path: Path, content: bytes) -> None:
    """Otherwise the program starts with a new key, and all old data are unreadable."""
    path = tmp_path / "keyring.json"
    path.write_bytes(content.replace(b"%s", msgspec.json.encode(b"k" * 32).strip(b'"')))
    before = path.read_bytes()
    with pytest.raises(KeyringInvalid, match=str(path)):
        Keyring.open(path)
    assert path.read_bytes() == before


def test_a_folder_that_is_not_there_is_told_with_its_name(tmp_path: Path) -> None:
    """Otherwise a mistyped path gives a stack trace."""
    with pytest.raises(KeyringInvalid, match="nowhere"):
        Keyring.open(tmp_path / "nowhere" / "keyring.json")
