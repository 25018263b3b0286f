"""Ed25519 signatures of webhooks, `v1a`. Needs the extra `darkroom-client[ed25519]`."""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from darkroom_contracts.webhooks.signing import (
    ASYMMETRIC,
    PUBLIC_KEY_PREFIX,
    decode_key,
    signatures,
    signed_content,
)


def verify(public_key: str, delivery_id: str, timestamp: int, body: bytes, header: str) -> bool:
    """Return whether one of the header's `v1a` signatures is by the key, `whpk_...`.

    Raises ValueError for a malformed key.
    """
    key = Ed25519PublicKey.from_public_bytes(decode_key(public_key, PUBLIC_KEY_PREFIX))
    content = signed_content(delivery_id, timestamp, body)
    return any(_is_valid(key, value, content) for value in signatures(header, ASYMMETRIC))


def _is_valid(key: Ed25519PublicKey, value: bytes, content: bytes) -> bool:
    try:
        key.verify(value, content)
    except InvalidSignature:
        return False
    return True
