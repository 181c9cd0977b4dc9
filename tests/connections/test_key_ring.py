"""Secrets at rest: what decrypts, and above all what does not."""

import base64
import itertools

import pytest

from service.domain.connection import Secret
from service.stores.key_ring import KeyRing, Place, SecretUnreadable, new_entry
from tests.connections.samples import KEY_1, KEY_2, RING

PLACE = Place("acme", "outreach", "credential")


def test_what_was_encrypted_decrypts() -> None:
    assert RING.decrypt(RING.encrypt("täst", PLACE), PLACE, "k1") == "täst"


def test_a_value_is_the_nonce_the_text_and_the_tag() -> None:
    assert len(RING.encrypt("12345", PLACE)) == 12 + 5 + 16


def test_each_encryption_has_a_nonce_of_its_own() -> None:
    values = [RING.encrypt("same", PLACE) for _ in range(100)]
    assert len({value[:12] for value in values}) == 100


@pytest.mark.parametrize(
    "other",
    [
        Place("globex", "outreach", "credential"),
        Place("acme", "salesloft", "credential"),
        Place("acme", "outreach", "refresh_token"),
    ],
)
def test_a_value_that_was_moved_does_not_decrypt(other: Place) -> None:
    with pytest.raises(SecretUnreadable, match="changed or moved"):
        RING.decrypt(RING.encrypt("text", PLACE), other, "k1")


def test_no_two_places_are_bound_alike() -> None:
    """The same letters, cut elsewhere, are another place."""
    places = [
        Place("ab", "c", "d"),
        Place("a", "bc", "d"),
        Place("a", "b", "cd"),
        Place("abcd", "", ""),
    ]
    for here, there in itertools.permutations(places, 2):
        with pytest.raises(SecretUnreadable):
            RING.decrypt(RING.encrypt("text", here), there, "k1")


def test_the_key_id_is_bound_too() -> None:
    """Two ids with the same key bytes: the id that is stored beside a value cannot be changed."""
    ring = KeyRing({"k1": KEY_1, "k2": KEY_1})
    with pytest.raises(SecretUnreadable):
        ring.decrypt(ring.encrypt("text", PLACE), PLACE, "k2")


def test_every_changed_byte_is_noticed() -> None:
    value = RING.encrypt("text", PLACE)
    for index in range(len(value)):
        changed = bytearray(value)
        changed[index] ^= 1
        with pytest.raises(SecretUnreadable):
            RING.decrypt(bytes(changed), PLACE, "k1")


@pytest.mark.parametrize("value", [b"", b"short", bytes(12), bytes(27)])
def test_a_value_that_is_too_short_is_unreadable(value: bytes) -> None:
    with pytest.raises(SecretUnreadable):
        RING.decrypt(value, PLACE, "k1")


def test_the_first_key_encrypts_and_all_decrypt() -> None:
    before = KeyRing({"k1": KEY_1})
    rotated = KeyRing({"k2": KEY_2, "k1": KEY_1})
    old, new = before.encrypt("old", PLACE), rotated.encrypt("new", PLACE)
    assert rotated.current.id == "k2"
    assert rotated.decrypt(old, PLACE, "k1") == "old"
    assert rotated.decrypt(new, PLACE, "k2") == "new"


def test_a_key_that_is_not_there_is_named() -> None:
    with pytest.raises(
        SecretUnreadable, match=r"customer acme at outreach .* key 'k9', which is not"
    ):
        RING.decrypt(RING.encrypt("text", PLACE), PLACE, "k9")


def test_without_a_key_nothing_starts() -> None:
    with pytest.raises(ValueError, match="there is no key"):
        KeyRing({})


@pytest.mark.parametrize("length", [0, 16, 24, 31, 33])
def test_a_key_of_another_length_is_refused_without_being_shown(length: int) -> None:
    encoded = base64.b64encode(b"s" * length).decode()
    with pytest.raises(ValueError, match=f"k1 has {length} bytes") as caught:
        KeyRing({"k1": Secret(encoded)})
    assert not encoded or encoded not in str(caught.value)


def test_a_fresh_entry_is_a_random_key_with_an_id() -> None:
    entries = [new_entry() for _ in range(10)]
    assert len(set(entries)) == 10
    for id_, _, key in (entry.partition(":") for entry in entries):
        ring = KeyRing({id_: Secret(key)})
        assert ring.decrypt(ring.encrypt("text", PLACE), PLACE, id_) == "text"
