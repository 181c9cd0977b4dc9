"""The key of the requests' fingerprints: made once for a database, and kept encrypted in it.

It is not a key of the ring: fingerprints stay what they are when keys are changed, and only this
one secret is encrypted anew.
"""

import secrets
from typing import Final

from service.domain.errors import ServiceError
from service.stores.key_ring import KeyRing, SecretUnreadable
from service.stores.sealed_rows import SERVICE_SECRETS, SealedRows
from service.stores.store_failure import DatabaseUnusable

KEY_BYTES: Final = 32
NAME: Final = "fingerprint_key"


async def fingerprint_key(rows: SealedRows, key_ring: KeyRing) -> bytes:
    """Return the database's key, which is made when there is none; all processes get the same.

    Raises:
        DatabaseUnusable: it does not decrypt with this ring, or the database fails.
    """
    place = SERVICE_SECRETS.place((NAME,), "secret")
    new = key_ring.encrypt(secrets.token_hex(KEY_BYTES), place)
    try:
        row = await rows.keep(NAME, key_ring.current.id, new)
        (sealed,) = row.sealed
        assert sealed is not None
        return bytes.fromhex(key_ring.decrypt(sealed, place, row.key_id))
    except SecretUnreadable as error:
        raise DatabaseUnusable(f"cannot use the database with these keys: {error}") from error
    except ServiceError as error:
        raise DatabaseUnusable(f"cannot use the database: {error.__cause__}") from error
