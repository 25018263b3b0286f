"""Signatures of webhooks, as Standard Webhooks 1.0.0 defines them. Pure functions on bytes.

`v1` is HMAC-SHA256 under a secret that both sides hold. `v1a` is Ed25519; it needs a library that this package does not
import, so here are only its key formats and the content that is signed.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterator, Sequence

ID_HEADER = "webhook-id"
"""Identifies the delivery: the same in every attempt."""
TIMESTAMP_HEADER = "webhook-timestamp"
"""Unix time of the attempt, in whole seconds."""
SIGNATURE_HEADER = "webhook-signature"
"""Signatures `<version>,<base64>`, separated by spaces: two of a version while a secret is rotated."""

SYMMETRIC = "v1"
ASYMMETRIC = "v1a"
SECRET_PREFIX = "whsec_"  # noqa: S105 - the prefix of every secret
PRIVATE_KEY_PREFIX = "whsk_"
PUBLIC_KEY_PREFIX = "whpk_"
SECRET_BYTES = 32
"""Bytes of a new secret; the specification allows 24 to 64."""
TOLERANCE_SECONDS = 300
"""How far the timestamp may lie from the receiver's clock; it bounds how long a recorded request can be replayed."""


def encode_key(key: bytes, prefix: str = SECRET_PREFIX) -> str:
    """Return the key as people copy it: its prefix, then base64."""
    return prefix + base64.b64encode(key).decode()


def decode_key(text: str, prefix: str = SECRET_PREFIX) -> bytes:
    """Return the bytes of a key. Raises ValueError for another prefix, other characters than base64, or no bytes."""
    if not text.startswith(prefix):
        raise ValueError(f"The key does not start with {prefix}.")
    try:
        key = base64.b64decode(text.removeprefix(prefix), validate=True)
    except binascii.Error as error:
        raise ValueError(f"The key is not base64 after {prefix}; copy it again.") from error
    if not key:
        raise ValueError(f"The key is empty after {prefix}; copy it again.")
    return key


def signed_content(delivery_id: str, timestamp: int, body: bytes) -> bytes:
    """Return what every version signs."""
    # Header values may hold lone surrogates, which stand for bytes that are not text.
    return b"%b.%d.%b" % (delivery_id.encode(errors="surrogatepass"), timestamp, body)


def sign(secret: str, delivery_id: str, timestamp: int, body: bytes) -> str:
    """Return the `v1` signature. Raises ValueError for a malformed secret."""
    return signature(SYMMETRIC, _mac(decode_key(secret), signed_content(delivery_id, timestamp, body)))


def signature(version: str, value: bytes) -> str:
    """Return one entry of the signature header."""
    return f"{version},{base64.b64encode(value).decode()}"


def signature_header(secrets: Sequence[str], delivery_id: str, timestamp: int, body: bytes) -> str:
    """Return the header with a signature by each secret: the current one, and the previous one during a rotation."""
    return " ".join(sign(secret, delivery_id, timestamp, body) for secret in secrets)


def verify(secret: str, delivery_id: str, timestamp: int, body: bytes, header: str) -> bool:
    """Return whether one of the header's `v1` signatures is by the secret. Comparisons take constant time.

    The caller checks the timestamp, by `is_recent`. Raises ValueError for a malformed secret.
    """
    expected = _mac(decode_key(secret), signed_content(delivery_id, timestamp, body))
    matches = [hmac.compare_digest(expected, value) for value in signatures(header, SYMMETRIC)]
    return any(matches)


def signatures(header: str, version: str) -> Iterator[bytes]:
    """Yield the header's signatures of a version. Malformed ones, and those of other versions, are skipped."""
    for entry in header.split():
        found, _, value = entry.partition(",")
        if found == version:
            try:
                yield base64.b64decode(value, validate=True)
            except ValueError:  # also where the text is not ASCII
                continue


def is_recent(timestamp: int, now: float, tolerance_seconds: float = TOLERANCE_SECONDS) -> bool:
    """Return whether the timestamp lies within the tolerance around `now`, both in Unix seconds."""
    return abs(now - timestamp) <= tolerance_seconds


def _mac(key: bytes, content: bytes) -> bytes:
    return hmac.new(key, content, hashlib.sha256).digest()
