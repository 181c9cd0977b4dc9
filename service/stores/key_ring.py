"""Encrypts the secrets of a row with AES-256-GCM, bound to the place where they are stored.

The associated data are the row's customer, provider and column and the key's id, so that a value
that was moved to another place does not decrypt. Each encryption draws a nonce of 96 random bits;
with one key that is sound for some billions of values.
"""

import base64
import os
import secrets
from collections.abc import Mapping
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from service.domain.connection import Secret
from service.domain.value_class import value_class

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12


class SecretUnreadable(Exception):  # noqa: N818 - a fact about a row, not a fault of ours
    """A stored secret cannot be decrypted; the message names the place and the key's id."""


@value_class
class Place:
    """Where a secret is stored; one of the service's own has no customer and no provider."""

    customer_id: str
    provider: str
    column: str

    def __str__(self) -> str:
        if not self.customer_id:
            return f"{self.column} of the service"
        return f"{self.column} of customer {self.customer_id} at {self.provider}"


@value_class
class EncryptionKey:
    """One key of the ring; its cipher does not print."""

    id: str
    cipher: AESGCM


class KeyRing:
    """All keys that stored secrets may be encrypted with; the first encrypts new ones."""

    def __init__(self, keys: Mapping[str, Secret]) -> None:
        """Take the keys by their ids, in order; a key is 32 random bytes in base64.

        Raises:
            ValueError: There is none, or one is not of that form.
        """
        if not keys:
            raise ValueError("connections are only stored encrypted, and there is no key")
        self._keys = {id_: _encryption_key(id_, key) for id_, key in keys.items()}
        self.current = next(iter(self._keys.values()))

    def encrypt(self, text: str, place: Place) -> bytes:
        """Encrypt with the current key; the answer is the nonce, the encrypted text and the tag."""
        nonce = os.urandom(NONCE_BYTES)
        data = _associated_data(place, self.current.id)
        return nonce + self.current.cipher.encrypt(nonce, text.encode(), data)

    def decrypt(self, sealed: bytes, place: Place, key_id: str) -> str:
        """Undo `encrypt`.

        Raises:
            SecretUnreadable: The key is not in the ring, or this was not encrypted for this place.
        """
        key = self._keys.get(key_id)
        if key is None:
            raise SecretUnreadable(
                f"the {place} is encrypted with key {key_id!r}, which is not among the given keys"
            )
        nonce, encrypted = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
        try:
            return key.cipher.decrypt(nonce, encrypted, _associated_data(place, key_id)).decode()
        except (InvalidTag, ValueError):
            # The cause stays out of the chain: a decoding error holds the text.
            raise SecretUnreadable(
                f"the {place} does not decrypt with key {key_id!r}: it was changed or moved, or "
                "the key is another one with the same id"
            ) from None


def new_entry() -> str:
    """Return a fresh random key, as an entry of a key ring."""
    key = base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()
    return f"k{secrets.token_hex(4)}:{key}"


def _encryption_key(id_: str, key: Secret) -> EncryptionKey:
    raw = base64.b64decode(key.reveal(), validate=True)
    if len(raw) != KEY_BYTES:  # AES would take shorter ones too.
        raise ValueError(f"key {id_} has {len(raw)} bytes, not {KEY_BYTES}")
    return EncryptionKey(id_, AESGCM(raw))


def _associated_data(place: Place, key_id: str) -> bytes:
    """Join the parts, each behind its length, so that no two places give the same bytes."""
    parts = (place.customer_id, place.provider, place.column, key_id)
    encoded = [part.encode() for part in parts]
    return b"".join([len(part).to_bytes(4, "big") + part for part in encoded])
