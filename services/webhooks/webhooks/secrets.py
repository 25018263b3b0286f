"""The secrets that sign deliveries, derived from a master key, so that the database holds none."""

import re
from collections.abc import Iterable
from uuid import UUID

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from chassis.settings import SettingsError
from darkroom_contracts.webhooks.signing import SECRET_BYTES, encode_key

_KEY = re.compile("(?P<id>[a-z0-9-]{1,64}):(?P<key>[0-9a-fA-F]{64})")


class UnknownMasterKeyError(Exception):
    """An endpoint's secret was derived from a master key that is not in the settings."""

    def __init__(self, key_id: str) -> None:
        super().__init__(f"The master key {key_id!r} is not in DARKROOM_WEBHOOKS_MASTER_KEYS. Add it again.")


class MasterKeys:
    """The master keys by their ids. New endpoints use the first one."""

    def __init__(self, texts: Iterable[str]) -> None:
        """Take keys as `<id>:<32 bytes in hexadecimal>`. Raises SettingsError, which does not quote them."""
        self._keys = dict(_parse(text) for text in texts)
        self.primary = next(iter(self._keys))

    def secret(self, key_id: str, endpoint_id: UUID, rotation: int) -> str:
        """Return an endpoint's secret as Standard Webhooks writes it, `whsec_...`. Raises UnknownMasterKeyError."""
        if key_id not in self._keys:
            raise UnknownMasterKeyError(key_id)
        context = b"darkroom webhook secret\0" + endpoint_id.bytes + rotation.to_bytes(4, "big")
        derive = HKDF(algorithm=SHA256(), length=SECRET_BYTES, salt=None, info=context).derive
        return encode_key(derive(self._keys[key_id]))


def _parse(text: str) -> tuple[str, bytes]:
    match = _KEY.fullmatch(text)
    if match is None:
        raise SettingsError(
            "DARKROOM_WEBHOOKS_MASTER_KEYS: each key must be an id, a colon, and 64 hexadecimal digits."
        )
    return match["id"], bytes.fromhex(match["key"])
