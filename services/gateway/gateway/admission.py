"""How much may wait: bounds by model and by tenant, without a round trip for each request.

The bounds are held against a sample of the queue that is a couple of seconds old, plus what this process admitted
since. With several gateways a bound may be overshot by what the others admit within one interval.
"""

import time
from collections import Counter
from typing import ClassVar
from uuid import UUID

from chassis.loops import Loop
from chassis.problems import ProblemError
from contracts.errors import ApiError
from gateway.store import JobStore

INTERVAL_SECONDS = 2.0
DATABASE_SHARE = 0.05
"""Sampling may keep the database busy for this share of the time at the most."""
RETRY_AFTER_SECONDS = 10


class Admission(Loop):
    """Refuses submissions beyond the bounds, from a sample that it refreshes."""

    name: ClassVar[str] = "admission"
    interval = INTERVAL_SECONDS

    def __init__(self, store: JobStore, models: list[str], per_model: int, per_tenant: int) -> None:
        super().__init__()
        self._store = store
        self._models = models
        self._per_model = per_model
        self._per_tenant = per_tenant
        self._by_model: Counter[str] = Counter()
        self._by_tenant: Counter[UUID] = Counter()
        self._since: Counter[tuple[str, UUID]] = Counter()

    def admit(self, model: str, tenant_id: UUID) -> None:
        """Count a submission in. Raises ProblemError, 429 with Retry-After, when the model or the tenant is full."""
        if self._by_model[model] >= self._per_model:
            raise _refusal(ApiError.QUEUE_FULL, f"{self._per_model} jobs wait for {model} already.")
        if self._by_tenant[tenant_id] >= self._per_tenant:
            raise _refusal(ApiError.QUOTA_EXCEEDED, f"{self._per_tenant} of your jobs wait already.")
        self._count(model, tenant_id, 1)
        self._since[model, tenant_id] += 1

    async def run_once(self) -> bool:
        """Take a new sample. What was admitted while it was taken counts on top, until the next one."""
        self._since.clear()
        started = time.monotonic()
        sample = await self._store.count_waiting(self._models, self._per_model)
        self.interval = max(INTERVAL_SECONDS, (time.monotonic() - started) / DATABASE_SHARE)
        self._by_model.clear()
        self._by_tenant.clear()
        for waiting in sample:
            self._count(waiting.model, waiting.tenant_id, waiting.jobs)
        for (model, tenant_id), jobs in self._since.items():
            self._count(model, tenant_id, jobs)
        return False

    def _count(self, model: str, tenant_id: UUID, jobs: int) -> None:
        self._by_model[model] += jobs
        self._by_tenant[tenant_id] += jobs


def _refusal(code: ApiError, detail: str) -> ProblemError:
    return ProblemError(429, code, f"{detail} Try again later.", headers={"Retry-After": str(RETRY_AFTER_SECONDS)})
