"""``insuretech keys …``: the keys under which personal data are kept."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import typer

from insuretech.cli.output import AsJson, tell
from insuretech.cli.session import with_marketplace
from insuretech.kit.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from insuretech.compose.single import Composition
    from insuretech.kit.keyring import Keyring

commands = typer.Typer(help="The keys under which personal data are kept.", no_args_is_help=True)


@commands.command()
def create(*, as_json: AsJson = False) -> None:
    """Make the key file if there is none yet; all replicas of all services are given the same."""
    path = load_settings().keyring_path
    made = not path.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    ring = _ring()
    sentence = f"Made {path}." if made else f"{path} is there already; key {ring.current} is in use."
    tell(sentence, {"file": str(path), "made": made, "current": ring.current}, as_json=as_json)


@commands.command()
def rotate(*, as_json: AsJson = False) -> None:
    """Make a new key and re-encrypt all personal data under it; older keys stay for reading backups.

    For processes that read the same file, which take it up by themselves. Where each has a copy of its own, do it in
    steps, and hand the file out after each: `keys add`, `keys use`, `keys reencrypt`.
    """
    from insuretech.kit.keyring import TAKEN_UP

    _save(lambda ring: ring.with_new_key())
    time.sleep(2 * TAKEN_UP)  # whoever runs encrypts under it from now on
    reencrypt(as_json=as_json)


@commands.command()
def add(*, as_json: AsJson = False) -> None:
    """Make a new key that is not used yet, so that everybody can read it before anybody uses it."""
    ring = _save(lambda ring: ring.with_coming_key())
    tell(f"Made key {ring.newest}; {ring.current} is in use.", _state(ring), as_json=as_json)


@commands.command()
def use(*, as_json: AsJson = False) -> None:
    """Encrypt under the newest key from now on."""
    ring = _save(lambda ring: ring.with_newest_key())
    tell(f"Key {ring.current} is in use.", _state(ring), as_json=as_json)


@commands.command()
def reencrypt(*, as_json: AsJson = False) -> None:
    """Re-encrypt all personal data that lie under older keys."""
    ring = _ring()
    counts = with_marketplace(_reencrypt)
    document = {"current": ring.current, "reencrypted": counts}
    tell(f"Key {ring.current} is in use; {sum(counts.values())} records re-encrypted.", document, as_json=as_json)


def _save(change: Callable[[Keyring], Keyring]) -> Keyring:
    ring = change(_ring())
    ring.save(load_settings().keyring_path)
    return ring


def _ring() -> Keyring:
    from insuretech.kit.keyring import Keyring

    return Keyring.open(load_settings().keyring_path)


def _state(ring: Keyring) -> dict[str, str]:
    return {"current": ring.current, "newest": ring.newest}


async def _reencrypt(marketplace: Composition) -> dict[str, int]:
    return {service.name: await service.reencrypt() for service in marketplace.services if service.reencrypt}
