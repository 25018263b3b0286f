"""What the master keys protect: secrets, key pairs and headers of endpoints."""

from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from chassis.settings import SettingsError
from darkroom import ed25519
from darkroom_contracts.webhooks.signing import ASYMMETRIC, PUBLIC_KEY_PREFIX, decode_key, signature, signed_content
from webhooks.secrets import MasterKeyError, MasterKeys, UnknownMasterKeyError, UnreadableHeadersError

FIRST, SECOND = f"first:{'a1' * 32}", f"second:{'b2' * 32}"
HEADERS = {"authorization": "Bearer token", "x-shop": "7"}


def test_a_secret_is_derived() -> None:
    """The same key, endpoint and rotation give the same 32 bytes, and nothing else does."""
    keys, endpoint_id = MasterKeys([FIRST, SECOND]), uuid4()
    secret = keys.secret("first", endpoint_id, 0)
    assert len(decode_key(secret)) == 32
    assert MasterKeys([SECOND, FIRST]).secret("first", endpoint_id, 0) == secret
    others = [
        keys.secret("second", endpoint_id, 0),
        keys.secret("first", uuid4(), 0),
        keys.secret("first", endpoint_id, 1),
    ]
    assert len({secret, *others}) == 4


def test_new_endpoints_use_the_first_key() -> None:
    """A master key is rotated by putting another before it."""
    assert MasterKeys([FIRST]).primary == "first"
    assert MasterKeys([SECOND, FIRST]).primary == "second"


def test_a_missing_key_is_named() -> None:
    """The message says which key to add again."""
    with pytest.raises(UnknownMasterKeyError, match="'third' is not in DARKROOM_WEBHOOKS_MASTER_KEYS"):
        MasterKeys([FIRST]).secret("third", uuid4(), 0)


@pytest.mark.parametrize("text", ["", "first", f":{'a1' * 32}", "first:a1", f"first:{'g' * 64}", f"first:{'a1' * 33}"])
def test_a_malformed_key_is_refused(text: str) -> None:
    """The message does not quote it."""
    with pytest.raises(SettingsError, match="DARKROOM_WEBHOOKS_MASTER_KEYS") as refused:
        MasterKeys([text])
    assert "a1" not in str(refused.value)


def test_two_keys_need_two_ids() -> None:
    """Otherwise one of them would be lost without a sign."""
    with pytest.raises(SettingsError, match="two keys have the same id"):
        MasterKeys([FIRST, f"first:{'b2' * 32}"])


def test_an_ed25519_signature_verifies_under_the_public_key() -> None:
    """As receivers verify it; another rotation, endpoint or master key has another key pair."""
    keys, endpoint_id = MasterKeys([FIRST, SECOND]), uuid4()
    signed = keys.sign_ed25519("first", endpoint_id, 3, signed_content("id", 7, b"{}"))
    header = signature(ASYMMETRIC, signed)
    public_key = keys.public_key("first", endpoint_id, 3)
    assert ed25519.verify(public_key, "id", 7, b"{}", header)
    assert MasterKeys([FIRST]).public_key("first", endpoint_id, 3) == public_key
    others = [
        keys.public_key("second", endpoint_id, 3),
        keys.public_key("first", uuid4(), 3),
        keys.public_key("first", endpoint_id, 2),
    ]
    assert len({public_key, *others}) == 4
    assert not any(ed25519.verify(other, "id", 7, b"{}", header) for other in others)


def test_no_purpose_reveals_another_s_key() -> None:
    """The secret that a tenant sees is not the seed of the key pair."""
    keys, endpoint_id = MasterKeys([FIRST]), uuid4()
    from_secret = Ed25519PrivateKey.from_private_bytes(decode_key(keys.secret("first", endpoint_id, 0)))
    raw = decode_key(keys.public_key("first", endpoint_id, 0), PUBLIC_KEY_PREFIX)
    assert from_secret.public_key().public_bytes_raw() != raw


def test_headers_are_encrypted() -> None:
    """Under the primary master key, and never the same twice."""
    keys, endpoint_id = MasterKeys([FIRST, SECOND]), uuid4()
    encrypted = keys.encrypt_headers(endpoint_id, HEADERS)
    assert b"token" not in encrypted
    assert keys.encrypt_headers(endpoint_id, HEADERS) != encrypted
    assert MasterKeys([SECOND, FIRST]).decrypt_headers("first", endpoint_id, encrypted) == HEADERS


def test_headers_that_were_changed_or_moved_are_unreadable() -> None:
    """Those of another endpoint, of another master key, cut off or with one bit changed."""
    keys, endpoint_id = MasterKeys([FIRST, SECOND]), uuid4()
    encrypted = keys.encrypt_headers(endpoint_id, HEADERS)
    changed = encrypted[:-1] + bytes([encrypted[-1] ^ 1])
    attempts = [
        ("first", uuid4(), encrypted),
        ("second", endpoint_id, encrypted),
        ("first", endpoint_id, changed),
        ("first", endpoint_id, encrypted[:20]),
        ("first", endpoint_id, encrypted[:7]),
        ("first", endpoint_id, b""),
    ]
    for key_id, owner, content in attempts:
        with pytest.raises(UnreadableHeadersError):
            keys.decrypt_headers(key_id, owner, content)


def test_a_fingerprint_identifies_a_key() -> None:
    """It is equal for the same key alone, under whatever id."""
    renamed = MasterKeys([f"third:{'a1' * 32}"]).fingerprints["third"]
    prints = MasterKeys([FIRST, SECOND]).fingerprints
    assert prints["first"] == renamed != prints["second"]
    assert "a1" * 32 not in renamed.hex()


def test_every_use_of_a_missing_key_says_so() -> None:
    """Dispatch treats them alike."""
    keys, endpoint_id = MasterKeys([FIRST]), uuid4()
    for use in (
        lambda: keys.secret("gone", endpoint_id, 0),
        lambda: keys.public_key("gone", endpoint_id, 0),
        lambda: keys.sign_ed25519("gone", endpoint_id, 0, b""),
        lambda: keys.decrypt_headers("gone", endpoint_id, b""),
    ):
        with pytest.raises(MasterKeyError, match="'gone' is not in"):
            use()
    assert (MasterKeys([SECOND, FIRST]).ids, keys.ids) == (("second", "first"), ("first",))
