"""Job ids: UUIDv7 (RFC 9562, section 5.7), so that new rows fall at the end of the index."""

import secrets
import time
from uuid import UUID

_VERSION = 0x7 << 76
_VARIANT = 0b10 << 62


def uuid7() -> UUID:
    """Return a new id. Ids are ordered by their creation time in milliseconds."""
    milliseconds = time.time_ns() // 1_000_000
    random = secrets.randbits(74)
    return UUID(int=milliseconds << 80 | _VERSION | (random >> 62) << 64 | _VARIANT | random & (1 << 62) - 1)
