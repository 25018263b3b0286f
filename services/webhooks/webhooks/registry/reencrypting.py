"""Moving headers to the primary master key, so that the key before it can be removed from the settings."""

from collections.abc import Sequence
from typing import ClassVar
from uuid import UUID

import structlog

from chassis.loops import Loop
from chassis.postgres import Database
from webhooks.registry import store
from webhooks.registry.records import HeadersOf
from webhooks.secrets import MasterKeys, UnreadableHeadersError

log = structlog.get_logger()

BATCH = 100
"""Endpoints of a transaction."""
_FIRST = UUID(int=0)


class Reencrypting(Loop):
    """Encrypts headers anew that another master key of the settings encrypted, a batch at a time."""

    name: ClassVar[str] = "webhook-reencryption"
    interval = 60.0

    def __init__(self, database: Database, keys: MasterKeys) -> None:
        super().__init__()
        self._database = database
        self._keys = keys
        self._after = _FIRST
        """The pass is beyond this id, also where headers are unreadable: they don't keep others from being found."""

    async def run_once(self) -> bool:
        async with self._database.transaction() as connection:
            primary = self._keys.primary
            locked = await store.lock_headers(connection, self._after, self._keys.ids, primary, BATCH)
            if fresh := self._encrypt(locked):
                await store.replace_headers(connection, fresh, primary)
                log.info("headers of webhook endpoints encrypted anew", count=len(fresh), master_key=primary)
        more = len(locked) == BATCH
        self._after = locked[-1].id if more else _FIRST
        return more

    def _encrypt(self, locked: Sequence[HeadersOf]) -> list[HeadersOf]:
        fresh = []
        for each in locked:
            try:
                headers = self._keys.decrypt_headers(each.headers_key, each.id, each.headers)
            except UnreadableHeadersError as error:
                log.error("headers of a webhook endpoint unreadable", endpoint_id=str(each.id), error=str(error))  # noqa: TRY400 - foreseen, no traceback
                continue
            fresh.append(HeadersOf(each.id, self._keys.encrypt_headers(each.id, headers), self._keys.primary))
        return fresh
