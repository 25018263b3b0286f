"""API keys: `dk_<scope>_<id>_<secret><checksum>`.

The checksum detects mistyped keys, and lets scanners recognise leaked ones, without a database. Only the SHA-256 of the
secret is stored: the secret has 160 bits of entropy, so a slow password hash would add nothing.
"""

import hashlib
import hmac
import re
import secrets
import string
import zlib

import msgspec

from darkroom_contracts.api import Scope

_ALPHABET = string.ascii_letters + string.digits
_ID_LENGTH, _SECRET_LENGTH, _CHECKSUM_LENGTH = 12, 27, 6
_SCOPES = "|".join(Scope)
_KEY = re.compile(
    rf"dk_({_SCOPES})_([A-Za-z0-9]{{{_ID_LENGTH}}})_([A-Za-z0-9]{{{_SECRET_LENGTH}}})([A-Za-z0-9]{{{_CHECKSUM_LENGTH}}})"
)


class ApiKey(msgspec.Struct, frozen=True):
    """A key in plain text. It is shown once, when it is created."""

    scope: Scope
    id: str
    secret: str

    @classmethod
    def generate(cls, scope: Scope) -> "ApiKey":
        return cls(scope, _random(_ID_LENGTH), _random(_SECRET_LENGTH))

    @classmethod
    def parse(cls, text: str) -> "ApiKey | None":
        """Return the key, or None if the text has a wrong form or a wrong checksum."""
        match = _KEY.fullmatch(text)
        if match is None or _checksum(text[:-_CHECKSUM_LENGTH]) != match[4]:
            return None
        return cls(Scope(match[1]), match[2], match[3])

    def reveal(self) -> str:
        """Return the key as clients send it."""
        head = f"dk_{self.scope}_{self.id}_{self.secret}"
        return head + _checksum(head)

    @property
    def secret_hash(self) -> bytes:
        return hashlib.sha256(self.secret.encode()).digest()

    def matches(self, stored_hash: bytes) -> bool:
        """Compare the secret with a stored hash, in constant time."""
        return hmac.compare_digest(self.secret_hash, stored_hash)


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def _checksum(head: str) -> str:
    number, digits = zlib.crc32(head.encode()), ""
    for _ in range(_CHECKSUM_LENGTH):
        number, digit = divmod(number, len(_ALPHABET))
        digits += _ALPHABET[digit]
    return digits
