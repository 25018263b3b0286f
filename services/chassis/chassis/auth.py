"""Authentication: the bearer key of a request identifies its caller, or the request is refused."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
from cachetools import TTLCache
from starlette.requests import HTTPConnection

from chassis.coalesce import Coalescer
from chassis.keys import ApiKey
from chassis.postgres import Database, load_queries
from chassis.problems import ProblemError
from darkroom_contracts.api import Scope
from darkroom_contracts.errors import ApiError

CACHE_SECONDS = 5.0
"""How long a looked-up key is cached, which is how long a revoked key may still work."""
_CACHE_SIZE = 10_000

_queries = load_queries("chassis")


class Caller(msgspec.Struct, frozen=True):
    """Who sent a request."""

    tenant_id: UUID
    key_id: str
    scope: Scope

    def may(self, scope: Scope) -> bool:
        """Return whether the caller's key allows `scope`. An operator's allows all; an observer's no client's."""
        return self.scope == scope or self.scope == Scope.OPERATOR


class _StoredKey(msgspec.Struct, frozen=True):
    caller: Caller
    secret_hash: bytes
    expires_at: datetime | None


class Authenticator:
    """Looks API keys up in Postgres and caches the result for CACHE_SECONDS, also for unknown keys."""

    def __init__(self, database: Database, note_use: Callable[[str], None] | None = None) -> None:
        """Look keys up in a pool, and pass the id of each genuine key, also of an expired one, to `note_use`."""
        self._database = database
        self._note_use = note_use
        self._cache: TTLCache[str, _StoredKey | None] = TTLCache(_CACHE_SIZE, CACHE_SECONDS)
        self._look_ups = Coalescer(self._look_up)

    async def authenticate(self, connection: HTTPConnection, scope: Scope) -> Caller:
        """Return who sent the request or opens the WebSocket.

        Raises ProblemError: 401 without a valid key, 403 when the key does not allow `scope`. Raises
        DatabaseUnavailableError and DatabaseBusyError when the key cannot be looked up.
        """
        scheme, _, text = connection.headers.get("authorization", "").partition(" ")
        key = ApiKey.parse(text.strip()) if scheme.lower() == "bearer" else None
        stored = await self._stored(key.id) if key else None
        if key is None or stored is None or not _is_genuine(key, stored):
            raise _unauthenticated("The request has no valid API key. Send one as `Authorization: Bearer dk_...`;")
        if self._note_use is not None:
            self._note_use(key.id)
        if stored.expires_at is not None and stored.expires_at <= datetime.now(UTC):
            raise _unauthenticated(f"The API key expired at {stored.expires_at:%Y-%m-%d %H:%M:%SZ};")
        if not stored.caller.may(scope):
            raise ProblemError(
                ApiError.FORBIDDEN,
                f"The API key has the scope {stored.caller.scope}, and this request needs {scope}. Use another key.",
            )
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


def _is_genuine(key: ApiKey, stored: _StoredKey) -> bool:
    return key.scope == stored.caller.scope and key.matches(stored.secret_hash)


def _unauthenticated(what: str) -> ProblemError:
    return ProblemError(
        ApiError.UNAUTHENTICATED,
        f"{what} an operator creates keys with `darkroom keys create`.",
        headers={"WWW-Authenticate": 'Bearer realm="darkroom"'},
    )
