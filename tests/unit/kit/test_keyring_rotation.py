"""Keys can be changed under a running server."""

from pathlib import Path

from insuretech.kit.keyring import Keyring


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
