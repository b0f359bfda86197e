"""``insuretech keys …``: the keys under which personal data are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from insuretech.cli.output import AsJson, tell
from insuretech.cli.session import with_marketplace
from insuretech.kit.settings import load_settings

if TYPE_CHECKING:
    from insuretech.compose.single import Composition

commands = typer.Typer(help="The keys under which personal data are kept.", no_args_is_help=True)


@commands.command()
def create(*, as_json: AsJson = False) -> None:
    """Make the key file if there is none yet; all replicas of all services are given the same."""
    from insuretech.kit.keyring import Keyring

    path = load_settings().keyring_path
    made = not path.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    ring = Keyring.open(path)
    sentence = f"Made {path}." if made else f"{path} is there already; key {ring.current} is in use."
    tell(sentence, {"file": str(path), "made": made, "current": ring.current}, as_json=as_json)


@commands.command()
def rotate(*, as_json: AsJson = False) -> None:
    """Make a new key and re-encrypt all personal data under it; older keys stay for reading backups.

    A running server takes the new key up by itself the first time it meets it.
    """
    from insuretech.kit.keyring import Keyring

    path = load_settings().keyring_path
    ring = Keyring.open(path).with_new_key()
    ring.save(path)
    counts = with_marketplace(_reencrypt)
    document = {"current": ring.current, "reencrypted": counts}
    tell(f"Key {ring.current} is in use; {sum(counts.values())} records re-encrypted.", document, as_json=as_json)


async def _reencrypt(marketplace: Composition) -> dict[str, int]:
    return {service.name: await service.reencrypt() for service in marketplace.services if service.reencrypt}
