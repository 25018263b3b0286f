"""Who is calling: the bearer key of a request becomes a Caller, or the request is refused."""

import asyncio
from datetime import UTC, datetime
from uuid import UUID

import msgspec
from cachetools import TTLCache
from starlette.requests import Request

from chassis.keys import ApiKey
from chassis.postgres import Database, load_queries
from chassis.problems import ProblemError
from contracts.api import Scope
from contracts.errors import ApiError

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
        self._looking_up: dict[str, asyncio.Task[_StoredKey | None]] = {}

    async def authenticate(self, request: Request, scope: Scope) -> Caller:
        """Raises ProblemError: 401 without a valid key, 403 when the key's scope does not reach."""
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
        if key_id in self._cache:
            return self._cache[key_id]
        if key_id not in self._looking_up:
            # Concurrent requests share one lookup, which a client that goes away must not cancel.
            task = asyncio.create_task(self._look_up(key_id))
            self._looking_up[key_id] = task
            task.add_done_callback(lambda _: self._looking_up.pop(key_id))
        return await asyncio.shield(self._looking_up[key_id])

    async def _look_up(self, key_id: str) -> _StoredKey | None:
        async with self._database.connection() as connection:
            row = await _queries.find_key(connection, id=key_id)
        stored = None
        if row is not None:
            caller = Caller(row["tenant_id"], key_id, Scope(row["scope"]))
            stored = _StoredKey(caller, row["secret_hash"], row["expires_at"])
        self._cache[key_id] = stored
        return stored


def _valid(key: ApiKey, stored: _StoredKey) -> bool:
    in_time = stored.expires_at is None or stored.expires_at > datetime.now(UTC)
    return in_time and key.scope == stored.caller.scope and key.matches(stored.secret_hash)
