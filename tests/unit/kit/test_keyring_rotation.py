"""Keys can be changed under a running server."""

import time
from pathlib import Path

import pytest

from insuretech.kit.keyring import TAKEN_UP, CiphertextInvalid, Keyring


def test_key_added_by_another_process_is_taken_up(tmp_path: Path) -> None:
    """Otherwise every order page fails between ``insuretech keys rotate`` and the next restart."""
    path = tmp_path / "keyring.json"
    running = Keyring.open(path)
    old = running.encrypt(b"Ivanova", "orders.order:1")
    rotated = Keyring.open(path).with_new_key()
    rotated.save(path)

    fresh = rotated.encrypt(b"Petrova", "orders.order:2")

    assert running.decrypt(fresh, "orders.order:2") == b"Petrova"
    assert running.decrypt(old, "orders.order:1") == b"Ivanova"
    assert running.key_id(running.encrypt(b"new", "orders.order:3")) == rotated.current


def test_a_key_in_use_elsewhere_is_used_here_too(tmp_path: Path) -> None:
    """Otherwise rows written after everything was re-encrypted still lie under the key that is to be retired."""
    path = tmp_path / "keyring.json"
    running = Keyring.open(path)
    running.encrypt(b"before", "orders.order:1")
    rotated = Keyring.open(path).with_new_key()
    rotated.save(path)
    time.sleep(TAKEN_UP + 0.1)
    assert running.key_id(running.encrypt(b"after", "orders.order:2")) == rotated.current


def test_a_key_can_be_known_before_it_is_used() -> None:
    """Otherwise replicas with copies of the file cannot read what the first one to get the new copy writes."""
    ring = Keyring.generate()
    coming = ring.with_coming_key()
    assert coming.current == ring.current
    using = coming.with_newest_key()
    assert using.current == coming.newest != ring.current
    assert coming.decrypt(using.encrypt(b"Ivanova", "orders.order:1"), "orders.order:1") == b"Ivanova"


def test_a_broken_file_changes_nothing(tmp_path: Path) -> None:
    """Otherwise a file caught half-written by a hand takes down what runs."""
    path = tmp_path / "keyring.json"
    running = Keyring.open(path)
    sealed = running.encrypt(b"Ivanova", "orders.order:1")
    path.write_text("{")
    with pytest.raises(CiphertextInvalid):
        running.decrypt(Keyring.generate().with_new_key().encrypt(b"", "x"), "x")
    assert running.decrypt(sealed, "orders.order:1") == b"Ivanova"
