"""What the master keys protect: secrets that are derived, not stored, and headers that are stored encrypted.

Every purpose has a key of its own, derived by HKDF (RFC 5869) with a distinct `info`, so that none helps to find
another. A secret belongs to a master key, an endpoint and a rotation; the database has these three.
"""

import os
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from uuid import UUID

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from chassis.settings import SettingsError
from darkroom_contracts.webhooks.signing import PUBLIC_KEY_PREFIX, SECRET_BYTES, encode_key

_SETTING = "DARKROOM_WEBHOOKS_MASTER_KEYS"
_KEY = re.compile("(?P<id>[a-z0-9-]{1,64}):(?P<key>[0-9a-fA-F]{64})")
_SECRET, _ED25519, _HEADERS, _FINGERPRINT = (
    b"darkroom webhook %b\0" % purpose for purpose in (b"secret", b"ed25519", b"headers", b"fingerprint")
)
_NONCE_BYTES = 12
_SIGNING_KEYS_KEPT = 1024
"""Making one takes 0.1 ms."""


class MasterKeyError(Exception):
    """What a master key protects can't be used with the keys in the settings."""


class UnknownMasterKeyError(MasterKeyError):
    """The master key of an endpoint is not in the settings."""

    def __init__(self, key_id: str) -> None:
        super().__init__(f"The master key {key_id!r} is not in {_SETTING}. Add it again.")


class UnreadableHeadersError(MasterKeyError):
    """An endpoint's headers were not encrypted by the master key that its row names, or not for this endpoint."""

    def __init__(self, key_id: str) -> None:
        super().__init__(
            f"The master key {key_id!r} does not decrypt an endpoint's headers. Set it in {_SETTING} as it was, or"
            " send the endpoint's headers again."
        )


class MasterKeys:
    """The master keys by their ids. The primary one, which is the first, protects what is new."""

    def __init__(self, texts: Iterable[str]) -> None:
        """Take keys as `<id>:<32 bytes in hexadecimal>`. Raises SettingsError, which does not quote them."""
        parsed = list(map(_parse, texts))
        self._keys = dict(parsed)
        if len(self._keys) < len(parsed):
            raise SettingsError(f"{_SETTING}: two keys have the same id.")
        self.primary = next(iter(self._keys))
        self._signing_key = lru_cache(_SIGNING_KEYS_KEPT)(self._make_signing_key)

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of all keys, the primary one first."""
        return tuple(self._keys)

    @property
    def fingerprints(self) -> dict[str, bytes]:
        """What identifies each key without helping to find it, by id."""
        return {key_id: self._derive(key_id, _FINGERPRINT) for key_id in self._keys}

    def secret(self, key_id: str, endpoint_id: UUID, rotation: int) -> str:
        """Return an endpoint's secret as Standard Webhooks writes it, `whsec_...`. Raises UnknownMasterKeyError."""
        return encode_key(self._derive(key_id, _of_rotation(_SECRET, endpoint_id, rotation)))

    def public_key(self, key_id: str, endpoint_id: UUID, rotation: int) -> str:
        """Return the key that verifies an endpoint's Ed25519 signatures, `whpk_...`. Raises UnknownMasterKeyError."""
        key = self._signing_key(key_id, endpoint_id, rotation).public_key()
        return encode_key(key.public_bytes_raw(), PUBLIC_KEY_PREFIX)

    def sign_ed25519(self, key_id: str, endpoint_id: UUID, rotation: int, content: bytes) -> bytes:
        """Return the Ed25519 signature of the content, 64 bytes. Raises UnknownMasterKeyError."""
        return self._signing_key(key_id, endpoint_id, rotation).sign(content)

    def encrypt_headers(self, endpoint_id: UUID, headers: Mapping[str, str]) -> bytes:
        """Return an endpoint's static headers, encrypted under the primary master key."""
        nonce = os.urandom(_NONCE_BYTES)
        content = msgspec.json.encode(dict(headers))
        return nonce + self._headers_cipher(self.primary, endpoint_id).encrypt(nonce, content, endpoint_id.bytes)

    def decrypt_headers(self, key_id: str, endpoint_id: UUID, encrypted: bytes) -> dict[str, str]:
        """Return an endpoint's static headers. Raises UnknownMasterKeyError and UnreadableHeadersError."""
        cipher = self._headers_cipher(key_id, endpoint_id)
        nonce, content = encrypted[:_NONCE_BYTES], encrypted[_NONCE_BYTES:]
        try:
            return msgspec.json.decode(cipher.decrypt(nonce, content, endpoint_id.bytes), type=dict[str, str])
        except (InvalidTag, ValueError):  # a ValueError where the nonce is cut off
            raise UnreadableHeadersError(key_id) from None

    def _make_signing_key(self, key_id: str, endpoint_id: UUID, rotation: int) -> Ed25519PrivateKey:
        seed = self._derive(key_id, _of_rotation(_ED25519, endpoint_id, rotation))
        return Ed25519PrivateKey.from_private_bytes(seed)

    def _headers_cipher(self, key_id: str, endpoint_id: UUID) -> AESGCM:
        return AESGCM(self._derive(key_id, _HEADERS + endpoint_id.bytes))

    def _derive(self, key_id: str, info: bytes) -> bytes:
        if key_id not in self._keys:
            raise UnknownMasterKeyError(key_id)
        return HKDF(algorithm=SHA256(), length=SECRET_BYTES, salt=None, info=info).derive(self._keys[key_id])


def _of_rotation(purpose: bytes, endpoint_id: UUID, rotation: int) -> bytes:
    return purpose + endpoint_id.bytes + rotation.to_bytes(4, "big")


def _parse(text: str) -> tuple[str, bytes]:
    match = _KEY.fullmatch(text)
    if match is None:
        raise SettingsError(f"{_SETTING}: each key must be an id, a colon, and 64 hexadecimal digits.")
    return match["id"], bytes.fromhex(match["key"])
