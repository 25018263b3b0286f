"""Who is calling: the bearer key of a request becomes a Caller, or the request is refused."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
from cachetools import TTLCache
from starlette.requests import Request

from chassis.coalesce import Coalescer
from chassis.keys import ApiKey
from chassis.postgres import Database, load_queries
from chassis.problems import ProblemError
from darkroom_contracts.api import Scope
from darkroom_contracts.errors import ApiError

CACHE_SECONDS = 5.0
"""How long a looked-up key is trusted, and so how long a revoked one may still work."""
_CACHE_SIZE = 10_000

_queries = load_queries("chassis")


class Caller(msgspec.Struct, frozen=True):
    tenant_id: UUID
    key_id: str
    scope: Scope

    def may(self, scope: Scope) -> bool:
        return self.scope == scope or self.scope == Scope.OPERATOR


class _StoredKey(msgspec.Struct, frozen=True):
    caller: Caller
    secret_hash: bytes
    expires_at: datetime | None


class Authenticator:
    """Looks keys up in Postgres and remembers the answer for CACHE_SECONDS, unknown keys included."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._cache: TTLCache[str, _StoredKey | None] = TTLCache(_CACHE_SIZE, CACHE_SECONDS)
        self._look_ups = Coalescer(self._look_up)

    async def authenticate(self, request: Request, scope: Scope) -> Caller:
        """Raises ProblemError: 401 without a valid key, 403 when the key's scope does not reach.

        And DatabaseUnavailableError or DatabaseBusyError when the key can't be looked up; nothing is in doubt then.
        """
        scheme, _, text = request.headers.get("authorization", "").partition(" ")
        key = ApiKey.parse(text.strip()) if scheme.lower() == "bearer" else None
        stored = await self._stored(key.id) if key else None
        if key is None or stored is None or not _valid(key, stored):
            raise ProblemError(
                401,
                ApiError.UNAUTHENTICATED,
                "Send a valid key as `Authorization: Bearer dk_...`; `darkroom keys create` makes one.",
                headers={"WWW-Authenticate": 'Bearer realm="darkroom"'},
            )
        if not stored.caller.may(scope):
            raise ProblemError(403, ApiError.FORBIDDEN, f"This needs a key of scope {scope}.")
        return stored.caller

    async def _stored(self, key_id: str) -> _StoredKey | None:
        try:
            return self._cache[key_id]
        except KeyError:
            stored = self._cache[key_id] = await self._look_ups.find(key_id)
            return stored

    async def _look_up(self, key_ids: list[str]) -> dict[str, _StoredKey]:
        async with self._database.connection() as connection:
            return {row["id"]: _stored_key(row) async for row in _queries.find_keys(connection, ids=key_ids)}


def _stored_key(row: Any) -> _StoredKey:
    caller = Caller(row["tenant_id"], row["id"], Scope(row["scope"]))
    return _StoredKey(caller, row["secret_hash"], row["expires_at"])


def _valid(key: ApiKey, stored: _StoredKey) -> bool:
    in_time = stored.expires_at is None or stored.expires_at > datetime.now(UTC)
    return in_time and key.scope == stored.caller.scope and key.matches(stored.secret_hash)
