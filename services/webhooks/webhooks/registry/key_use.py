"""Which master keys endpoints need: a metric for the operator that rotates them, and a check that none is missing."""

from collections.abc import Mapping
from typing import ClassVar

import structlog

from chassis.loops import Loop
from chassis.postgres import Database
from webhooks import metrics
from webhooks.registry import store
from webhooks.secrets import MasterKeys

log = structlog.get_logger()


class MissingMasterKeysError(Exception):
    """Endpoints need master keys that are not in the settings, or whether they do was not counted yet."""


class MasterKeyUse(Loop):
    """Counts the endpoints of each master key. Endpoints whose master key is missing are not sent to."""

    name: ClassVar[str] = "webhook-master-keys"
    interval = 60.0

    def __init__(self, database: Database, keys: MasterKeys) -> None:
        super().__init__()
        self._database = database
        self._known = keys.ids
        self._missing: Mapping[str, int] | None = None

    async def run_once(self) -> bool:
        async with self._database.connection() as connection:
            counted = {use.master_key: use.endpoints for use in await store.count_key_uses(connection)}
        metrics.MASTER_KEY_USE.clear()  # of keys that are neither used nor known any more
        for key, endpoints in {**dict.fromkeys(self._known, 0), **counted}.items():
            metrics.MASTER_KEY_USE.labels(key).set(endpoints)
        self._note_missing({key: endpoints for key, endpoints in counted.items() if key not in self._known})
        return False

    async def check(self) -> None:
        """Raise MissingMasterKeysError unless every master key that an endpoint needs is in the settings."""
        if self._missing is None:
            raise MissingMasterKeysError("the endpoints of each master key were not counted yet")
        if self._missing:
            raise MissingMasterKeysError(_add_again(self._missing))

    def _note_missing(self, missing: Mapping[str, int]) -> None:
        metrics.MASTER_KEY_MISSING.set(sum(missing.values()))
        if missing and missing != self._missing:
            log.error("webhook master keys missing", error=_add_again(missing), endpoints=sum(missing.values()))
        self._missing = missing


def _add_again(missing: Mapping[str, int]) -> str:
    named = ", ".join(f"{key!r} ({endpoints})" for key, endpoints in sorted(missing.items()))
    return f"endpoints need master keys that are missing: {named}; add them to DARKROOM_WEBHOOKS_MASTER_KEYS again"
