"""How much may wait: bounds by model and by tenant, without a round trip for each request.

The bounds are held against a sample of the queue that is a couple of seconds old, plus what this process admitted
since. With several gateways a bound may be overshot by what the others admit within one interval.

While samples fail, what was counted is forgotten with age: jobs leave the queue unseen, and counts that only grow would
end in refusing everybody. Past FORGOTTEN_SECONDS neither the last sample nor an admission counts any more, so each
gateway then admits as many jobs as the bounds allow in each such period, and no more.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import ClassVar, TypeAlias
from uuid import UUID

from chassis.loops import Loop
from chassis.problems import ProblemError
from darkroom_contracts.errors import ApiError
from gateway.store import JobStore

INTERVAL_SECONDS = 2.0
DATABASE_SHARE = 0.05
"""Sampling may keep the database busy for this share of the time at the most."""
FORGOTTEN_SECONDS = 60.0
"""How long a count is trusted without a newer sample."""
INTERVALS_TRUSTED = 3
"""Where samples are costly, and so rare, a count is trusted for as many intervals if that is longer."""
RETRY_AFTER_SECONDS = 10

Jobs: TypeAlias = Counter[tuple[str, UUID]]
"""Jobs by model and tenant."""


class _Counted:
    """Jobs that were counted at a time: a sample, or what was admitted since."""

    def __init__(self, at: float, jobs: Jobs | None = None) -> None:
        self.at = at
        self.jobs: Jobs = jobs or Counter()


class Admission(Loop):
    """Refuses submissions beyond the bounds, from a sample that it refreshes."""

    name: ClassVar[str] = "admission"
    interval = INTERVAL_SECONDS

    def __init__(
        self,
        store: JobStore,
        models: list[str],
        per_model: int,
        per_tenant: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._store = store
        self._models = models
        self._per_model = per_model
        self._per_tenant = per_tenant
        self._clock = clock
        self._counted = deque([_Counted(clock())])
        """Oldest first: the last sample, then what was admitted in each interval since."""
        self._by_model: Counter[str] = Counter()
        self._by_tenant: Counter[UUID] = Counter()

    def admit(self, model: str, tenant_id: UUID) -> None:
        """Count a submission in. Raises ProblemError, 429 with Retry-After, when the model or the tenant is full."""
        if self._by_model[model] >= self._per_model:
            raise _refusal(ApiError.QUEUE_FULL, f"{self._per_model} jobs wait for {model} already.")
        if self._by_tenant[tenant_id] >= self._per_tenant:
            raise _refusal(ApiError.QUOTA_EXCEEDED, f"{self._per_tenant} of your jobs wait already.")
        self._counted[-1].jobs[model, tenant_id] += 1
        self._by_model[model] += 1
        self._by_tenant[tenant_id] += 1

    async def run_once(self) -> bool:
        """Take a new sample. What was admitted while it was taken counts on top, until the next one."""
        meanwhile = _Counted(self._clock())
        self._counted.append(meanwhile)
        try:
            sample = await self._sample()
        except Exception:
            self._count_anew(self._still_trusted())
            raise
        self._count_anew([sample, meanwhile])
        return False

    async def _sample(self) -> _Counted:
        started = self._clock()
        waiting = await self._store.count_waiting(self._models, self._per_model)
        self.interval = max(INTERVAL_SECONDS, (self._clock() - started) / DATABASE_SHARE)
        return _Counted(started, Counter({(those.model, those.tenant_id): those.jobs for those in waiting}))

    def _still_trusted(self) -> list[_Counted]:
        oldest = self._clock() - max(FORGOTTEN_SECONDS, INTERVALS_TRUSTED * self.interval)
        return [counted for counted in self._counted if counted.at >= oldest] or [_Counted(self._clock())]

    def _count_anew(self, counted: Iterable[_Counted]) -> None:
        self._counted = deque(counted)
        self._by_model.clear()
        self._by_tenant.clear()
        for part in self._counted:
            for (model, tenant_id), jobs in part.jobs.items():
                self._by_model[model] += jobs
                self._by_tenant[tenant_id] += jobs


def _refusal(code: ApiError, detail: str) -> ProblemError:
    return ProblemError(code, f"{detail} Try again later.", headers={"Retry-After": str(RETRY_AFTER_SECONDS)})
