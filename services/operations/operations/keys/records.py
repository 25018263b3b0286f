"""Keys as operators see them."""

from datetime import datetime

import msgspec

from darkroom_contracts.api import Scope


class KeyRecord(msgspec.Struct, frozen=True):
    """A key without its secret."""

    id: str
    scope: Scope
    name: str
    tenant: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class NewKey(msgspec.Struct, frozen=True):
    """A key in clear text, which is shown only when the key is made."""

    id: str
    key: str
    scope: Scope
    name: str
    tenant: str
    created_at: datetime
    expires_at: datetime | None
