"""Admission control: bounds on waiting jobs by model and by tenant, without a round trip for each request.

The bounds are compared with a sample of the queue that is a few seconds old, plus the admissions of this process since.
With several gateways a bound may be exceeded by what the others admit within one interval.

While samples fail, counts expire: jobs leave the queue unseen, and counts that only grow would finally refuse every
request. After FORGOTTEN_SECONDS neither the last sample nor an admission counts, so each gateway then admits as many
jobs as the bounds allow in each such period.
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
"""Largest share of the time for which sampling may keep the database busy."""
FORGOTTEN_SECONDS = 60.0
"""How long a count is trusted without a newer sample."""
INTERVALS_TRUSTED = 3
"""Number of intervals for which a count is trusted, if that is longer: expensive samples are rare."""
RETRY_AFTER_SECONDS = 10

Jobs: TypeAlias = Counter[tuple[str, UUID]]
"""Jobs by model and tenant."""


class _Counted:
    """Jobs that were counted at a time: a sample, or the admissions since."""

    def __init__(self, at: float, jobs: Jobs | None = None) -> None:
        self.at = at
        self.jobs: Jobs = jobs or Counter()


class Admission(Loop):
    """Refuses submissions beyond the bounds, using a sample that it refreshes."""

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
        """Oldest first: the last sample, then the admissions of each interval since."""
        self._by_model: Counter[str] = Counter()
        self._by_tenant: Counter[UUID] = Counter()

    def admit(self, model: str, tenant_id: UUID) -> None:
        """Count a submission. Raises ProblemError, 429 with Retry-After, if the model or the tenant is at its bound."""
        if self._by_model[model] >= self._per_model:
            raise _refusal(ApiError.QUEUE_FULL, f"The queue of {model} is full: {self._per_model} jobs wait.")
        if self._by_tenant[tenant_id] >= self._per_tenant:
            raise _refusal(ApiError.QUOTA_EXCEEDED, f"Your quota is used up: {self._per_tenant} of your jobs wait.")
        self._counted[-1].jobs[model, tenant_id] += 1
        self._by_model[model] += 1
        self._by_tenant[tenant_id] += 1

    async def run_once(self) -> bool:
        """Take a new sample. Admissions during the query are added to it until the next sample."""
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
    return ProblemError(
        code, f"{detail} Try again after {RETRY_AFTER_SECONDS} s.", headers={"Retry-After": str(RETRY_AFTER_SECONDS)}
    )
