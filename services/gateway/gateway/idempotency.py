"""Submissions that were accepted earlier under the same idempotency key."""

from collections.abc import Mapping

from chassis.coalesce import Coalescer
from gateway.store import JobStore
from gateway.submission import EarlierJob, Outcome, Request, TenantKey, replay


class EarlierSubmissions:
    """Look-ups by idempotency key that concurrent submissions share: a full queue needs one for each of them."""

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self._look_ups: Coalescer[TenantKey, EarlierJob] = Coalescer(self._look_up)

    async def outcome(self, request: Request) -> Outcome | None:
        """Return the outcome if the request's key is taken. Raises what `Coalescer.find` and `replay` raise."""
        key = request.tenant_key
        recorded = await self._look_ups.find(key) if key else None
        return replay(request, recorded) if recorded else None

    async def _look_up(self, keys: list[TenantKey]) -> Mapping[TenantKey, EarlierJob]:
        return await self._store.find_by_keys(keys)
