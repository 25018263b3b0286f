"""Idempotency keys, and the submissions that were accepted under them."""

import re
from collections.abc import Mapping

from chassis.coalesce import Coalescer
from gateway.decoding import invalid
from gateway.store import JobStore
from gateway.submission import DeletedJob, Outcome, RecordedJob, Submission, TenantKey, replay

_KEY = re.compile(r"[\x21-\x7e]{1,255}")


def check_key(key: str | None) -> None:
    """Raise a ProblemError for a key that is not acceptable."""
    if key is not None and not _KEY.fullmatch(key):
        raise invalid("Idempotency-Key", "must be 1 to 255 visible ASCII characters, without spaces")


class EarlierSubmissions:
    """Look-ups by idempotency key that concurrent submissions share: a full queue needs one for each of them."""

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self._look_ups: Coalescer[TenantKey, RecordedJob | DeletedJob] = Coalescer(self._look_up)

    async def outcome(self, submission: Submission) -> Outcome | None:
        """Return the outcome if the submission's key is taken. Raises what `Coalescer.find` raises."""
        key = submission.tenant_key
        recorded = await self._look_ups.find(key) if key else None
        return replay(submission, recorded) if recorded else None

    async def _look_up(self, keys: list[TenantKey]) -> Mapping[TenantKey, RecordedJob | DeletedJob]:
        return await self._store.find_by_keys(keys)
