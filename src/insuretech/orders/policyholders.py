"""The one place where the person of an order is encrypted and decrypted.

Today one key of the ring serves all orders; a key per person (so that erasing a person is destroying a key) changes
this file and its table only.
"""

from uuid import UUID

import msgspec

from insuretech.contracts.insurers import Policyholder
from insuretech.kit.keyring import Keyring


class SealedPolicyholder(msgspec.Struct, frozen=True):
    """An encrypted policyholder and the id of the key it is encrypted under."""

    key_id: str
    sealed: bytes


class PolicyholderVault:
    """Seals the person of one order for that order's row only."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    @property
    def current_key(self) -> str:
        return self._keyring.current

    def seal(self, order_id: UUID, person: Policyholder) -> SealedPolicyholder:
        sealed = self._keyring.encrypt(msgspec.json.encode(person), _context(order_id))
        return SealedPolicyholder(self._keyring.current, sealed)

    def open(self, order_id: UUID, sealed: bytes) -> Policyholder:
        """The person; raises ``kit.keyring.CiphertextInvalid`` when the bytes belong to another order."""
        return msgspec.json.decode(self._keyring.decrypt(sealed, _context(order_id)), type=Policyholder)


def _context(order_id: UUID) -> str:
    return f"orders.order:{order_id}"
